"""Write a choice into a settings file (round trip)."""

import copy
import io
import os
import re
import stat
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError
from ruamel.yaml.util import load_yaml_guess_indent

from wyoming_pocket_tts.cli.model_choice import family
from wyoming_pocket_tts.config.loader import load_settings
from wyoming_pocket_tts.core.errors import ConfigError, TtsError
from wyoming_pocket_tts.core.system import atomic_path
from wyoming_pocket_tts.pocket.model_spec import NONE
from wyoming_pocket_tts.pocket.registry import model_names
from wyoming_pocket_tts.voices.resolver import check_settings


def write_choice(file: Path, model: str, precision: str) -> None:
    """Set a released model and the precision; a model of the same language is replaced, others stay.

    Raises ConfigError if the file has mistakes, cannot be changed without changing more, or needs the replaced model.
    """
    with _changed(file, model, precision) as changed:
        old = {_without_line(line) for line in _problems(file)} if file.exists() else set()
        new = [line.replace(str(changed), str(file)) for line in _problems(changed)]
        if added := [line for line in new if _without_line(line) not in old]:  # a voice of the replaced model, say
            heading = f"{file}: nothing was written, as with {model} the rest no longer fits:"
            raise ConfigError("\n".join([heading, *added]))


def check_writable(file: Path, model: str, precision: str) -> None:
    """Raise the errors of ``write_choice``, but for those of the replaced model; changes nothing."""
    with suppress(_Discarded), _changed(file, model, precision):
        raise _Discarded


class _Discarded(Exception):  # noqa: N818  (a state, not a fault)
    """The changed copy is not wanted."""


def with_choice(text: str, model: str, precision: str) -> str | None:
    """The text of a settings file with this model; None if that changes other settings or loses comments."""
    old = yaml.safe_load(text) or {}
    if not isinstance(old, dict) or not isinstance(old.get("models") or {}, dict):
        return None
    expected: dict[str, Any] = copy.deepcopy(old)
    expected["models"] = (old.get("models") or {}) | {"precision": precision}
    names = _listed(expected["models"].get("names"))
    place = _place(names, model)
    expected["models"]["names"] = [model, *names] if place is None else [*names[:place], model, *names[place + 1 :]]
    try:
        new = _edited(text, expected["models"]["names"], precision, place)
        found = yaml.safe_load(new)
    except (YAMLError, yaml.YAMLError):
        return None
    return new if found == expected and not _comments(text) - _comments(new) else None


def _edited(text: str, names: list[str], precision: str, place: int | None) -> str:
    unix_text = text.replace("\r\n", "\n")
    round_trip = YAML()
    round_trip.preserve_quotes = True
    round_trip.width = 1 << 16
    data, indent, offset = load_yaml_guess_indent(unix_text, yaml=round_trip)
    chosen = CommentedSeq(names)
    chosen.fa.set_flow_style()
    if data is None:
        data, prefix = CommentedMap(), unix_text if not unix_text or unix_text.endswith("\n") else f"{unix_text}\n"
    else:
        prefix = ""
    section = data.get("models")
    if section is None:
        data["models"] = section = CommentedMap()
    found = section.get("names")
    if "names" not in section:
        section.insert(0, "names", chosen)
    elif not isinstance(found, CommentedSeq):
        section["names"] = chosen
    elif place is None:
        found.insert(0, names[0])
    else:
        found[place] = names[place]
    if "precision" in section:
        section["precision"] = precision
    else:
        section.insert(1 if found is None else 0, "precision", precision)
    if nested := re.search(r"^( +)[^\s#-]", unix_text, re.MULTILINE):
        round_trip.indent(mapping=len(nested[1]))
    if offset is not None:
        round_trip.indent(sequence=indent, offset=offset)
    stream = io.StringIO()
    round_trip.dump(data, stream)
    new = prefix + stream.getvalue()
    return new.replace("\n", "\r\n") if "\r\n" in text else new


def _comments(text: str) -> Counter[str]:
    return Counter(re.findall(r"(?<!\S)#[^\r\n]*", text))


def _listed(names: object) -> list[str]:
    if isinstance(names, str):
        return [name.strip() for name in names.split(",") if name.strip()]
    return [str(name) for name in names] if isinstance(names, list) else []


def _place(names: list[str], model: str) -> int | None:
    """Index of the name to replace: the model's own, one of its language, or ``none``."""
    if model in names:
        return names.index(model)
    released = model_names()
    for index, name in enumerate(names):
        if name.lower() == NONE or (name in released and family(name) == family(model)):
            return index
    return None


def _problems(file: Path) -> list[str]:
    return check_settings(file, environment={}, embedded=()).problems


def _without_line(problem: str) -> str:
    return re.sub(r", line \d+: ", ": ", problem, count=1)


@contextmanager
def _changed(file: Path, model: str, precision: str) -> Iterator[Path]:
    """A changed copy beside the file, with its owner and permissions; replaces it when the block ends without error."""
    target = file.resolve()
    try:
        old = target.stat() if target.exists() else None
        if old is not None:
            load_settings(file=file, check_conflicts=False)  # existing mistakes are not repaired here
        new = with_choice(target.read_bytes().decode() if old is not None else "", model, precision)
        if new is None:
            raise ConfigError(
                f"{file}: cannot be changed without touching more than the model: write it yourself, under"
                f" 'models': names: [{model}] and precision: {precision}"
            )
        with atomic_path(target) as aside:
            # Unreadable for others until it has the permissions of the old one.
            with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
                stream.write(new.encode())
                if old is not None and (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
                    os.fchown(stream.fileno(), old.st_uid, old.st_gid)
                os.fchmod(stream.fileno(), stat.S_IMODE(old.st_mode) if old is not None else 0o644)
            yield aside
    except OSError as error:
        cure = "run it with sudo, or name another file" if isinstance(error, PermissionError) else "name another file"
        raise TtsError(f"{file}: cannot be written: {error.strerror or error}: {cure}") from error
