"""Says what is wrong with the options to somebody who sees the app's page, and no file of settings.

Knows the file by its path alone; what is wrong with it ``config check`` finds.
"""

import logging
import re
from collections.abc import Mapping
from pathlib import Path

from wyoming_pocket_tts.errors import ConfigError


def mistakes(settings: Path, environment: Mapping[str, str]) -> list[str]:
    """All that is wrong with the settings that the options became, and what is doubtful; nothing if they would do."""
    from wyoming_pocket_tts.commands.config import examine  # noqa: PLC0415  (pydantic)
    from wyoming_pocket_tts.kokoro.runtime import VOICE_FOLDER, Description  # noqa: PLC0415  (numpy)

    embedded = [speaker.voice.name for speaker in Description.load(VOICE_FOLDER / "voice.json").speakers]
    try:
        examined = examine(settings, environment=environment, embedded=embedded)
    except ConfigError:  # it was not even written
        return []
    return [*examined.problems, *examined.warnings] if examined.problems else []


def explained(text: str, settings: Path) -> str:
    """The same lines with the option in place of the file's line and the setting."""
    from wyoming_pocket_tts.home_assistant.options import PLACE, option_of  # noqa: PLC0415  (pydantic)

    def of_the_page(found: re.Match[str]) -> str:
        return f"{PLACE}: {option_of(found['setting'])}"

    return re.sub(rf"{re.escape(str(settings))}(, line \d+)?: (?P<setting>[^:\n]*)", of_the_page, text)


def explain_the_log(settings: Path) -> None:
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
            record.msg, record.args = explained(text, self._settings), ()
        return True
