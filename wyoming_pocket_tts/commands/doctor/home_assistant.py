"""Looks at how a server describes itself with Home Assistant's eyes: what is missing there, nobody gets to choose.

Knows nothing about where the description comes from, and expects nothing of it.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from wyoming_pocket_tts.commands.doctor.asking import Answer
from wyoming_pocket_tts.commands.doctor.finding import Finding, ok, problem, warning

LONGEST_HEADER_BYTES = 64 << 10
"""Of an event's first line: Home Assistant drops the connection at a longer one."""
_PATIENCE_SECONDS = 5.0
_REQUIRED = ("name", "attribution", "installed")
_UPDATE = "update the server, or report this to those who made it"


@dataclass(frozen=True)
class HomeAssistant:
    """Whether Home Assistant can use what the service says of itself."""

    title: ClassVar[str] = "home assistant"
    limit_seconds: ClassVar[float] = 130.0  # may have to wait for what lists the voices
    answer: Callable[[], Answer]

    def look(self) -> Iterator[Finding]:
        """See ``Check``."""
        answer = self.answer()
        found = [*_delivery(answer), *_programs(answer.info)]
        yield from found
        if not found:
            voices = answer.info["tts"][0]["voices"]
            languages = {language for voice in voices for language in voice["languages"]}
            yield ok(f"{_counted(voices)} in {', '.join(sorted(languages))}, as it wants them")


def _counted(voices: list[dict[str, Any]]) -> str:
    now = sum(bool(voice["installed"]) for voice in voices)
    to_come = f" now, {len(voices) - now} to come," if now < len(voices) else ""
    return f"{now} voice{'' if now == 1 else 's'}{to_come}"


def _delivery(answer: Answer) -> Iterator[Finding]:
    if answer.header_bytes >= LONGEST_HEADER_BYTES:
        yield problem(
            f"the description's header line has {answer.header_bytes} bytes: Home Assistant reads less than"
            f" {LONGEST_HEADER_BYTES}",
            _UPDATE,
        )
    if answer.seconds > _PATIENCE_SECONDS:
        yield warning(
            f"the description takes {answer.seconds:.1f} s, and Home Assistant waits {_PATIENCE_SECONDS:g} s",
            "look what keeps the machine busy",
        )


def _programs(info: dict[str, Any]) -> Iterator[Finding]:
    programs = [program for program in _objects(info.get("tts")) if program.get("installed")]
    if not programs:
        yield problem("no installed program for text to speech is described", "start the service and ask it with --uri")
        return
    first = programs[0]  # Home Assistant looks at no other
    yield from _lacking(first, f"the program '{first.get('name', '')}'")
    voices = _objects(first.get("voices"))
    installed = [voice for voice in voices if voice.get("installed")]
    if not installed:
        yield problem("no installed voice is described: Home Assistant would make no entity of it", _UPDATE)
    for voice in voices:
        yield from _lacking(voice, f"the voice '{voice.get('name', '')}'")
        if not _languages(voice):
            yield problem(f"the voice '{voice.get('name', '')}' has no language: nobody could choose it", _UPDATE)
    yield from _names(voices, installed)


def _names(voices: list[dict[str, Any]], installed: list[dict[str, Any]]) -> Iterator[Finding]:
    for name in _repeated(str(voice.get("name", "")) for voice in voices):
        yield problem(
            f"several voices are called '{name}': Home Assistant keeps one of them",
            "rename the others in voices, in satellites or in the data directory's folder 'voices'",
        )
    labels = ((str(voice.get("description") or voice.get("name", "")), _languages(voice)) for voice in installed)
    for label in _repeated(f"'{label}' in {language}" for label, languages in labels for language in languages):
        yield warning(
            f"several voices are shown as {label}: nobody can tell them apart", "give them other names or descriptions"
        )


def _lacking(thing: dict[str, Any], what: str) -> Iterator[Finding]:
    missing = [key for key in _REQUIRED if key not in thing]
    if missing:
        yield problem(f"{what} is described without {', '.join(missing)}: adding the server would fail", _UPDATE)


def _repeated(names: Iterator[str]) -> list[str]:
    return [name for name, times in Counter(names).items() if times > 1]


def _languages(voice: dict[str, Any]) -> list[str]:
    languages = voice.get("languages")
    return [each for each in languages if isinstance(each, str)] if isinstance(languages, list) else []


def _objects(value: object) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
