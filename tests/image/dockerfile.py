"""Reads a Dockerfile, as far as ours goes: stages, and instructions with their variables filled in. Runs nothing."""

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""What a base image begins with."""
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_FILLED_IN = ("FROM", "ENV", "LABEL", "COPY", "USER", "WORKDIR", "VOLUME", "EXPOSE")
"""Where Docker fills variables in; a RUN's are the shell's."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction: ``RUN``, and what follows."""

    keyword: str
    text: str
    variables: Mapping[str, str] = field(default_factory=dict)
    """Arguments and environment as they are here."""

    @property
    def words(self) -> list[str]:
        """What follows, as a list: JSON where it is JSON, otherwise as a shell splits it."""
        words = json.loads(self.text) if self.text.startswith("[") else shlex.split(self.text)
        return [str(word) for word in words]


@dataclass(slots=True)
class Stage:
    """What one ``FROM`` begins."""

    base: str
    name: str
    arguments: dict[str, str]
    environment: dict[str, str] = field(default_factory=dict)
    instructions: list[Instruction] = field(default_factory=list)

    def last(self, keyword: str) -> Instruction:
        """The instruction of this kind that counts."""
        return next(each for each in reversed(self.instructions) if each.keyword == keyword)

    def has(self, keyword: str) -> bool:
        """Whether there is an instruction of this kind."""
        return any(each.keyword == keyword for each in self.instructions)

    def labels(self) -> dict[str, str]:
        """All labels."""
        words = [word for each in self.instructions if each.keyword == "LABEL" for word in each.words]
        return dict(word.split("=", 1) for word in words)


def read_dockerfile(path: Path, arguments: Mapping[str, str] | None = None) -> list[Stage]:
    """Read the stages, in order; ``arguments`` are what ``--build-arg`` would give."""
    given = dict(arguments or {})
    stages: list[Stage] = []
    shared: dict[str, str] = {}
    for keyword, raw in _instructions(path.read_text(encoding="utf-8")):
        if keyword == "ARG":
            name, _, default = raw.partition("=")
            (stages[-1].arguments if stages else shared)[name] = given.get(name, shared.get(name, default.strip('"')))
        elif keyword == "FROM":
            base, *rest = _filled(raw, shared).split()
            stages.append(_stage(base, rest[1] if rest else "", stages))
        else:
            stage = stages[-1]
            known = {**stage.arguments, **stage.environment}
            text = _filled(raw, known) if keyword in _FILLED_IN else raw
            if keyword == "ENV":
                stage.environment |= dict(word.split("=", 1) for word in shlex.split(text))
            stage.instructions.append(Instruction(keyword, text, {**stage.arguments, **stage.environment}))
    return stages


def _stage(base: str, name: str, before: Sequence[Stage]) -> Stage:
    """A stage that begins with another has its variables, but for arguments."""
    origin = next((stage for stage in before if stage.name == base), None)
    return Stage(base, name, arguments={}, environment=dict(origin.environment if origin else {"PATH": SYSTEM_PATH}))


def _instructions(text: str) -> list[tuple[str, str]]:
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [
        (keyword.upper(), rest.strip()) for keyword, _, rest in (line.partition(" ") for line in joined.splitlines())
    ]


def _filled(text: str, known: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda found: known.get(found[1] or found[2], found[0]), text)
