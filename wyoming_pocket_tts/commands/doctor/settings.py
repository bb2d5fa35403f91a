"""Looks at the settings, as ``config check`` does. Loads no model and listens nowhere."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from wyoming_pocket_tts.commands.config import examine
from wyoming_pocket_tts.commands.doctor.finding import Finding, ok, problem, warning
from wyoming_pocket_tts.commands.doctor.subject import Subject
from wyoming_pocket_tts.errors import ConfigError
from wyoming_pocket_tts.settings_sources import unknown_variables

_CORRECT = "correct it; 'wyoming-pocket-tts config check FILE' tells whether all is right then"


@dataclass(frozen=True)
class SettingsCheck:
    """Whether the settings can be read, go together, and name what there is."""

    title: ClassVar[str] = "settings"
    limit_seconds: ClassVar[float] = 10.0
    subject: Subject

    def look(self) -> Iterator[Finding]:
        """See ``Check``."""
        subject = self.subject
        for stranger in unknown_variables(subject.environment):
            yield warning(f"environment: {stranger}", "rename or remove the variable")
        try:
            examined = examine(
                subject.file,
                environment=subject.environment,
                embedded=[voice.name for voice in subject.embedded],
                flags=subject.flags,
            )
        except ConfigError as error:
            for line in str(error).splitlines():
                yield problem(line, _CORRECT)
            yield _of_the_defaults()
            return
        for line in examined.problems:
            yield problem(line, _CORRECT)
        if not examined.is_whole:
            yield _of_the_defaults()
        for line in examined.warnings:
            yield warning(line, "wait until it has come, or choose another name")
        if not examined.problems:
            yield ok(f"{subject.file}: no mistakes" if subject.file else "defaults and environment: no mistakes")


def _of_the_defaults() -> Finding:
    return warning("what follows is checked with the default settings", "correct the settings first")
