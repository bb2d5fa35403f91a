"""App options -> settings, messages in its words."""

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from wyoming_pocket_tts.config.fields import is_path
from wyoming_pocket_tts.core.errors import ConfigError
from wyoming_pocket_tts.kokoro.synthesizer import VOICE_FOLDER, VoiceManifest
from wyoming_pocket_tts.voices.resolver import check_settings

Values = dict[str, Any]

PLAIN: Mapping[str, str] = {
    "models": "models.names",
    "precision": "models.precision",
    "model_voices": "models.voices",
    "memory_mb": "models.memory_budget_mb",
    "threads": "models.threads",
    "offline": "models.local_files_only",
    "voice": "voice.default",
    "normalize": "text.normalize",
    "emoji": "text.emoji",
    "real_time": "server.limits.limit_to_realtime",
    "overload": "server.limits.on_overload",
    "log_level": "log.level",
}
"""Option -> setting."""

WORDS: Mapping[str, str] = {"replacements": "text.replacements", "pronunciations": "text.pronunciations"}
"""Option, a list of ``written`` and ``spoken`` -> setting, which maps one to the other."""

_MANNER = frozenset({"description", "temperature", "speed", "volume", "pause", "leading_silence", "trailing_silence"})
NAMED: Mapping[str, frozenset[str]] = {
    "voices": _MANNER | {"from", "model", "language"},
    "satellites": _MANNER | {"voice", "address", "port", "listed"},
}
"""Option, a list of items with a ``name`` -> other fields of an item. An app's page has no free keys."""

FORMER: Mapping[str, str] = {"pause": "sentence_silence", "listed": "visible"}
"""Field of an item -> setting, where the setting has a newer name."""

PLACE = "the app's options"
"""Name of the page in messages."""

TOKEN = "hub_token"  # noqa: S105  (the option's name)
"""No setting: huggingface_hub reads it from the environment."""

FIXED: Mapping[str, object] = {"discovery.announce": False}
"""Settings without an option: announcements do not leave Docker's network."""


def settings_of(options: Mapping[str, Any], *, data: Path, recordings: Path) -> Values:
    """Translate ``options.json``; an empty option counts as unset, relative paths begin in ``recordings``."""
    values: Values = {}
    mistakes: list[str] = []
    for key, value in (*FIXED.items(), ("data_dir", str(data))):
        _put(values, key, value)
    for name, value in options.items():
        if name != TOKEN and not _is_empty(value):
            try:
                _translate(name, value, values, recordings)
            except ConfigError as error:
                mistakes.append(f"{PLACE}: {name}: {error}")
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    return values


def option_of(setting: str) -> str:
    """The option for a setting, both as dotted keys: ``voice`` for ``voice.default``."""
    for option, key in {**PLAIN, **WORDS}.items():
        if setting == key or setting.startswith(f"{key}."):
            return option + setting.removeprefix(key)
    fields = {setting: field for field, setting in FORMER.items()}
    section, _, last = setting.rpartition(".")
    return f"{section}.{fields[last]}" if section.startswith(tuple(NAMED)) and last in fields else setting


def _translate(name: str, value: Any, values: Values, recordings: Path) -> None:  # noqa: ANN401  (what JSON holds)
    if name in PLAIN:
        _put(values, PLAIN[name], value)
    elif name in WORDS:
        _put(values, WORDS[name], _by_name(value, "written", lambda item: item.get("spoken", "")))
    elif name in NAMED:
        _put(values, name, _by_name(value, "name", lambda item: _item(item, recordings)))
    else:
        known = ", ".join(sorted([*PLAIN, *WORDS, *NAMED, TOKEN]))
        raise ConfigError(f"no such option; there are {known}")


def _item(item: Mapping[str, Any], recordings: Path) -> Values:
    values = {FORMER.get(key, key): value for key, value in item.items() if key != "name" and not _is_empty(value)}
    source = values.get("from")
    if isinstance(source, str) and is_path(source):
        values["from"] = str(recordings / source)
    address = values.get("address")
    if isinstance(address, str):
        values["address"] = [part.strip() for part in address.split(",") if part.strip()]
    return values


def _by_name(items: Sequence[Mapping[str, Any]], key: str, make: Callable[[Mapping[str, Any]], object]) -> Values:
    named: Values = {}
    for item in items:
        name = item.get(key)
        if _is_empty(name):
            raise ConfigError(f"each needs its '{key}'")
        if name in named:
            raise ConfigError(f"'{name}' is there twice")
        named[str(name)] = make(item)
    return named


def _put(values: Values, key: str, value: object) -> None:
    *sections, last = key.split(".")
    for section in sections:
        values = values.setdefault(section, {})
    values[last] = value


def _is_empty(value: object) -> bool:
    return value is None or value in ("", [])


def mistakes(settings: Path, environment: Mapping[str, str]) -> list[str]:
    """All problems and warnings of the written settings; empty if they can be used or could not be written."""
    embedded = [speaker.voice.name for speaker in VoiceManifest.load(VOICE_FOLDER / "voice.json").speakers]
    try:
        report = check_settings(settings, environment=environment, embedded=embedded)
    except ConfigError:
        return []
    return [*report.problems, *report.warnings] if report.problems else []


def explained(text: str, settings: Path) -> str:
    def option(found: re.Match[str]) -> str:
        return f"{PLACE}: {option_of(found['setting'])}"

    return re.sub(rf"{re.escape(str(settings))}(, line \d+)?: (?P<setting>[^:\n]*)", option, text)


def explain_log(settings: Path) -> None:
    for handler in logging.getLogger().handlers:
        handler.addFilter(_Explanation(settings))


class _Explanation(logging.Filter):
    def __init__(self, settings: Path) -> None:
        super().__init__()
        self._settings = settings

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if str(self._settings) in text:
            record.msg, record.args = explained(text, self._settings), ()
        return True
