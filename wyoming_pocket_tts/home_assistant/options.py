"""App options -> settings, messages in its words."""

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from wyoming_pocket_tts.config.fields import is_path
from wyoming_pocket_tts.core.errors import ConfigError

Values = dict[str, Any]

PLAIN: Mapping[str, str] = {
    "models": "models.names",
    "precision": "models.precision",
    "model_voices": "models.voices",
    "memory_mb": "models.memory_mb",
    "threads": "models.threads",
    "offline": "models.local_files_only",
    "voice": "voice.default",
    "normalize": "text.normalize",
    "emoji": "text.emoji",
    "real_time": "server.limits.real_time",
    "overload": "server.limits.overload",
    "log_level": "log.level",
}
"""Option -> the setting that it is."""

WORDS: Mapping[str, str] = {"replacements": "text.replacements", "pronunciations": "text.pronunciations"}
"""Option that is a list of ``written`` and ``spoken`` -> the setting that maps one to the other."""

NAMED: Mapping[str, frozenset[str]] = {
    "voices": frozenset({"from", "model", "language", "description", "temperature"})
    | {"speed", "volume", "pause", "leading_silence", "trailing_silence"},
    "satellites": frozenset({"voice", "description", "address", "port", "listed", "temperature"})
    | {"speed", "volume", "pause", "leading_silence", "trailing_silence"},
}
"""Option that is a list of named things -> what an item has beside its name, which are the settings of that name."""

PLACE = "the app's options"
"""How messages call where a person changes them."""

TOKEN = "hub_token"  # noqa: S105  (the option's name)
"""The one option that is no setting: the model hub's own library reads it from the environment."""

FIXED: Mapping[str, object] = {"discovery.announce": False}
"""Settings that an app has no choice about: behind Docker's network nobody hears an announcement."""


def settings_of(options: Mapping[str, Any], *, data: Path, recordings: Path) -> Values:
    """Translate what stands in ``options.json``; an empty option counts as unset.

    Args:
        options: as the Supervisor writes them.
        data: the app's own directory.
        recordings: where relative paths of recordings begin.

    Raises:
        ConfigError: an option is none of ours, or two items of a list have the same name; a line for each.
    """
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
    """What stands on the page for a setting, as dotted keys: ``voice`` for ``voice.default``."""
    for option, key in {**PLAIN, **WORDS}.items():
        if setting == key or setting.startswith(f"{key}."):
            return option + setting.removeprefix(key)
    return setting


def _translate(name: str, value: Any, values: Values, recordings: Path) -> None:  # noqa: ANN401  (what JSON holds)
    if name in PLAIN:
        _put(values, PLAIN[name], value)
    elif name in WORDS:
        _put(values, WORDS[name], _by_name(value, "written", lambda item: item.get("spoken", "")))
    elif name in NAMED:
        _put(values, name, _by_name(value, "name", lambda item: _thing(item, recordings)))
    else:
        known = ", ".join(sorted([*PLAIN, *WORDS, *NAMED, TOKEN]))
        raise ConfigError(f"no such option; there are {known}")


def _thing(item: Mapping[str, Any], recordings: Path) -> Values:
    """What stands behind a name: a voice or satellite."""
    thing = {key: value for key, value in item.items() if key != "name" and not _is_empty(value)}
    source = thing.get("from")
    if isinstance(source, str) and is_path(source):
        thing["from"] = str(recordings / source)
    address = thing.get("address")
    if isinstance(address, str):
        thing["address"] = [part.strip() for part in address.split(",") if part.strip()]
    return thing


def _by_name(items: Sequence[Mapping[str, Any]], key: str, make: Callable[[Mapping[str, Any]], object]) -> Values:
    named: Values = {}
    for item in items:
        name = item.get(key)
        if _is_empty(name):
            raise ConfigError(f"each needs its '{key}'")
        if name in named:
            raise ConfigError(f"'{name}' stands there twice")
        named[str(name)] = make(item)
    return named


def _put(values: Values, key: str, value: object) -> None:
    *sections, last = key.split(".")
    for section in sections:
        values = values.setdefault(section, {})
    values[last] = value


def _is_empty(value: object) -> bool:
    return value is None or value in ("", [])


def option_errors(settings: Path, environment: Mapping[str, str]) -> list[str]:
    """All that is wrong with the settings that the options became, and what is doubtful; nothing if they would do."""
    from wyoming_pocket_tts.kokoro.synthesizer import VOICE_FOLDER, VoiceManifest  # noqa: PLC0415  (numpy)
    from wyoming_pocket_tts.voices.resolver import check_settings  # noqa: PLC0415  (pydantic)

    embedded = [speaker.voice.name for speaker in VoiceManifest.load(VOICE_FOLDER / "voice.json").speakers]
    try:
        examined = check_settings(settings, environment=environment, embedded=embedded)
    except ConfigError:  # it was not even written
        return []
    return [*examined.problems, *examined.warnings] if examined.problems else []


def in_option_names(text: str, settings: Path) -> str:
    """The same lines with the option in place of the file's line and the setting."""

    def of_the_page(found: re.Match[str]) -> str:
        return f"{PLACE}: {option_of(found['setting'])}"

    return re.sub(rf"{re.escape(str(settings))}(, line \d+)?: (?P<setting>[^:\n]*)", of_the_page, text)


def rename_in_log(settings: Path) -> None:
    """Have the log say it so, too, from now on."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(_Explanation(settings))


class _Explanation(logging.Filter):
    """Changes what names the file, and lets everything through."""

    def __init__(self, settings: Path) -> None:
        super().__init__()
        self._settings = settings

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if str(self._settings) in text:
            record.msg, record.args = in_option_names(text, self._settings), ()
        return True
