"""Says what is wrong with text that is not YAML, where a person made the mistake. Knows YAML's errors, and no setting.

The parser names the place where it cannot go on, which is often a line behind the mistake.
"""

import re
from dataclasses import dataclass

import yaml

_BLANK = re.compile(r"\s*(#.*)?")


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong."""

    line: int
    """From 1; 0 where nobody knows."""
    text: str


def trouble(error: yaml.MarkedYAMLError, text: str) -> Trouble:
    """Explain an error of the parser about a text."""
    problem, context = error.problem or "", error.context or ""
    noticed = error.problem_mark.line + 1 if error.problem_mark else 0
    began = error.context_mark.line + 1 if error.context_mark else noticed
    lines = text.splitlines()
    if "'\\t'" in problem:
        return Trouble(noticed, "there is a tab; indent with spaces")
    if problem == "could not find expected ':'":
        return Trouble(began, _no_colon(lines[began - 1]))
    if problem == "mapping values are not allowed here" or "<document start>" in problem:
        return _colon_too_many(lines, noticed)
    return _unfinished(problem, context, noticed=noticed, began=began)


def _unfinished(problem: str, context: str, *, noticed: int, began: int) -> Trouble:
    """What began at a line and does not end as it should; or else what the parser says."""
    if "quoted scalar" in context and "end of stream" in problem:
        return Trouble(began, "the quotation mark that is opened here is not closed")
    if found := re.search(r"parsing a flow (sequence|mapping)", context):
        opened, closed = ("[", "]") if found[1] == "sequence" else ("{", "}")
        where = "here" if noticed == began else f"at line {noticed}"
        return Trouble(began, f"the '{opened}' of this line is not closed: a '{closed}' or a comma is missing {where}")
    if "<block end>" in problem:
        return Trouble(noticed, f"the line is not indented like those that it belongs to, from line {began} on")
    return Trouble(noticed, problem or context)


def _colon_too_many(lines: list[str], number: int) -> Trouble:
    """A key that has no colon and the next line are one text for YAML, in which a colon is one too many."""
    before = next((at for at in range(number - 1, 0, -1) if not _BLANK.fullmatch(lines[at - 1])), 0)
    if before and ":" not in lines[before - 1]:
        return Trouble(before, _no_colon(lines[before - 1]))
    return Trouble(number, "a colon too many, or too deep an indent; text with ': ' needs quotes")


def _no_colon(line: str) -> str:
    key = line.partition("#")[0].strip()
    return f"a colon is missing: '{key}:'" if re.fullmatch(r"[\w-]+", key) else f"a colon is missing in '{key}'"
