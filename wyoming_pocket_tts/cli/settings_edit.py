"""Write a choice into a settings file (round trip)."""

import copy
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from wyoming_pocket_tts.cli.model_choice import family
from wyoming_pocket_tts.config.loader import merge_sources
from wyoming_pocket_tts.core.errors import ConfigError, TtsError
from wyoming_pocket_tts.pocket.model_spec import NONE
from wyoming_pocket_tts.pocket.registry import model_names
from wyoming_pocket_tts.voices.resolver import check_settings

_SECTION, _NAMES, _PRECISION = "models", "names", "precision"


@dataclass(frozen=True, slots=True)
class TextEdit:
    """Characters of a text, and what is to stand there instead."""

    start: int
    end: int
    text: str


def write_choice(file: Path, model: str, precision: str) -> None:
    """Let a settings file name a model; one of the same language that it names gives way, others stay.

    Args:
        file: the settings; made if it is not there.
        model: the released model.
        precision: what to compute in.

    Raises:
        ConfigError: the file is wrong already, cannot be changed without changing more than that, or holds something
            else that needs the model that would give way.
        SpeechError: it cannot be written.
    """
    try:
        with _aside(file.resolve(), _changed(file, model, precision)) as aside:
            _refuse_new_problems(file, aside, model)
            aside.replace(file.resolve())
    except OSError as error:
        raise _unwritable(file, error) from error


def check_writable(file: Path, model: str, precision: str) -> None:
    """See whether a choice could be written, before anybody waits minutes for it; changes nothing.

    Raises:
        ConfigError: the file is wrong already, or cannot be changed without changing more than the model.
        SpeechError: it cannot be written.
    """
    try:
        with _aside(file.resolve(), _changed(file, model, precision)):
            pass
    except OSError as error:
        raise _unwritable(file, error) from error


def _unwritable(file: Path, error: OSError) -> TtsError:
    cure = "run it with sudo, or name another file" if isinstance(error, PermissionError) else "name another file"
    return TtsError(f"{file}: cannot be written: {error.strerror or error}: {cure}")


def _changed(file: Path, model: str, precision: str) -> str:
    """What is to stand in the file."""
    if file.exists():
        merge_sources(file=file)  # what is wrong already is not ours to repair
    old = file.read_bytes().decode() if file.exists() else ""  # bytes: line ends stay what they are
    new = with_choice(old, model, precision)
    if new is None:
        raise ConfigError(
            f"{file}: cannot be changed without touching more than the model: write it yourself, under"
            f" '{_SECTION}': {_NAMES}: [{model}] and {_PRECISION}: {precision}"
        )
    return new


def _refuse_new_problems(file: Path, changed: Path, model: str) -> None:
    """A voice, say, may need the model that gives way: then the service would no longer start."""
    old = {_without_line(line) for line in _problems(file)} if file.exists() else set()
    new = [line.replace(str(changed), str(file)) for line in _problems(changed)]
    if added := [line for line in new if _without_line(line) not in old]:
        raise ConfigError("\n".join([f"{file}: nothing was written, as with {model} the rest no longer fits:", *added]))


def _problems(file: Path) -> list[str]:
    return check_settings(file, environment={}, embedded=()).problems


def _without_line(problem: str) -> str:
    """Lines move when something is put in front of them."""
    return re.sub(r", line \d+: ", ": ", problem, count=1)


def with_choice(text: str, model: str, precision: str) -> str | None:
    """The text of a settings file with this model; None where that cannot be done by changing values alone."""
    before = yaml.safe_load(text) or {}
    if not isinstance(before, dict):
        return None
    expected: dict[str, Any] = copy.deepcopy(before)
    section = expected.get(_SECTION) or {}
    if not isinstance(section, dict):
        return None
    names = _listed(section.get(_NAMES))
    expected[_SECTION] = section | {_NAMES: _named(names, model), _PRECISION: precision}
    new = _edited(text, names, model, precision)
    try:
        after = yaml.safe_load(new)
    except yaml.YAMLError:
        return None
    if isinstance(after, dict) and isinstance(after.get(_SECTION), dict):
        after[_SECTION][_NAMES] = _listed(after[_SECTION].get(_NAMES))
    return new if after == expected else None


def _listed(names: object) -> list[str]:
    """Names as settings take them: a list, or a text with commas."""
    if isinstance(names, str):
        return [name.strip() for name in names.split(",") if name.strip()]
    return [str(name) for name in names] if isinstance(names, list) else []


def _named(names: list[str], model: str) -> list[str]:
    """The names with the model: in the place of one of its language, or else first."""
    place = _place(names, model)
    return [model, *names] if place is None else [*names[:place], model, *names[place + 1 :]]


def _place(names: list[str], model: str) -> int | None:
    """Which name gives way: the model's own, one of its language, or ``none``."""
    if model in names:
        return names.index(model)
    released = model_names()
    for index, name in enumerate(names):
        if name.lower() == NONE or (name in released and family(name) == family(model)):
            return index
    return None


def _edited(text: str, names: list[str], model: str, precision: str) -> str:
    both = f"{_NAMES}: [{', '.join(_named(names, model))}]", f"{_PRECISION}: {precision}"
    key, section = _child(yaml.compose(text, Loader=yaml.SafeLoader), _SECTION)
    if key is None or section is None:
        return f"{text}{'' if not text or text.endswith(chr(10)) else chr(10)}{_SECTION}:\n  {both[0]}\n  {both[1]}\n"
    if not isinstance(section, yaml.MappingNode):  # nothing below it yet
        end = text.find("\n", key.end_mark.index)
        end = len(text) if end < 0 else end
        return f"{text[:end]}\n  {both[0]}\n  {both[1]}{text[end:]}"
    if not section.value:
        return _applied(text, [TextEdit(section.start_mark.index, section.end_mark.index, f"{{{both[0]}, {both[1]}}}")])
    edits: list[TextEdit] = []
    missing: list[str] = []
    for name, line in zip((_NAMES, _PRECISION), both, strict=True):
        _, value = _child(section, name)
        if value is None:
            missing.append(line)
        elif name == _NAMES and isinstance(value, yaml.SequenceNode) and value.value:
            edits.append(_item_edit(text, value, names, model))
        else:
            edits.append(TextEdit(value.start_mark.index, value.end_mark.index, line.partition(": ")[2]))
    if missing:
        edits.append(_insertion(text, section, missing))
    return _applied(text, edits)


def _item_edit(text: str, sequence: yaml.SequenceNode, names: list[str], model: str) -> TextEdit:
    """Replace the item that gives way, or put one in front."""
    place = _place(names, model)
    first = sequence.value[0].start_mark
    if place is not None:
        item = sequence.value[place]
        return TextEdit(item.start_mark.index, item.end_mark.index, model)
    between = ", " if sequence.flow_style else f"\n{text[first.index - first.column : first.index]}"
    return TextEdit(first.index, first.index, f"{model}{between}")


def _insertion(text: str, section: yaml.MappingNode, lines: list[str]) -> TextEdit:
    """Put keys in front of the first one of a section."""
    first = section.value[0][0].start_mark
    between = ", " if section.flow_style else f"\n{text[first.index - first.column : first.index]}"
    return TextEdit(first.index, first.index, "".join(f"{line}{between}" for line in lines))


def _child(node: yaml.Node | None, name: str) -> tuple[yaml.Node | None, yaml.Node | None]:
    """A key of a mapping, and its value."""
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return next(((key, value) for key, value in pairs if key.value == name), (None, None))


def _applied(text: str, edits: list[TextEdit]) -> str:
    for edit in sorted(edits, key=lambda each: each.start, reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text


@contextmanager
def _aside(file: Path, text: str) -> Iterator[Path]:
    """The new text beside the file, with the old one's owner and permissions, to take its place in one go."""
    aside = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    old = file.stat() if file.exists() else None
    try:
        # Nobody else reads it before it has the permissions of the old one.
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as writing:
            writing.write(text.encode())
            if old is not None and (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(writing.fileno(), old.st_uid, old.st_gid)
            os.fchmod(writing.fileno(), stat.S_IMODE(old.st_mode) if old is not None else 0o644)
            writing.flush()
            os.fsync(writing.fileno())  # a machine that loses power keeps the old one or the new one
        yield aside
    finally:
        aside.unlink(missing_ok=True)
