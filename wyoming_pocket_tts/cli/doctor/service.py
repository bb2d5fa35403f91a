"""Running service, Home Assistant view, speech."""

import asyncio
from array import array
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

from wyoming_pocket_tts.audio.files import AudioFormat
from wyoming_pocket_tts.cli.client import ClientTiming, DescribeResponse, ask, synthesize
from wyoming_pocket_tts.cli.doctor.base import LOG, START, Finding, cure_of, is_ours, ok, problem, warning
from wyoming_pocket_tts.core.address import StdioAddress, TcpAddress, parse_uri
from wyoming_pocket_tts.core.errors import ServerNotFound, TtsError
from wyoming_pocket_tts.core.types import Synthesizer
from wyoming_pocket_tts.engine.scheduler import Scheduler
from wyoming_pocket_tts.server.server import Server

LONGEST_HEADER_BYTES = 64 << 10
"""Of an event's first line: Home Assistant drops the connection at a longer one."""
_PATIENCE_SECONDS = 5.0
_REQUIRED = ("name", "attribution", "installed")
_UPDATE = "update the server, or report this to those who made it"


@dataclass(frozen=True)
class HomeAssistantCheck:
    """Whether Home Assistant can use what the service says of itself."""

    title: ClassVar[str] = "home assistant"
    limit_seconds: ClassVar[float] = 130.0  # may have to wait for what lists the voices
    answer: Callable[[], DescribeResponse]

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


def _delivery(answer: DescribeResponse) -> Iterator[Finding]:
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


_TEXT = "This is a test of the voice."
_QUIETEST_PEAK = 300
"""Of 32768: below this nobody hears anything."""
_SHORTEST_SECONDS = 0.4
_LATEST_FIRST_SECONDS = 2.0
_LIMIT_SECONDS = 30.0
_HOSTNAME = "tcp://127.0.0.1:0"
_LOOPBACK = "this machine cannot reach itself at 127.0.0.1: 'sudo ip link set lo up', and look at the firewall"


@dataclass
class _Heard:
    """What came."""

    samples: "array[int]" = field(default_factory=lambda: array("h"))
    width_bytes: int = 0

    def take(self, audio: bytes, form: AudioFormat) -> None:
        self.width_bytes = form.width_bytes
        if form.width_bytes == self.samples.itemsize:
            self.samples.frombytes(audio[: len(audio) // 2 * 2])

    @property
    def peak(self) -> int:
        return max(map(abs, self.samples), default=0)


@dataclass(frozen=True)
class SynthesisCheck:
    """Whether somebody speaks."""

    title: ClassVar[str] = "speech"
    limit_seconds: ClassVar[float] = 60.0
    running: str | None
    """Where the service runs; None to try the embedded voice at an address of its own."""
    load_embedded: Callable[[], Synthesizer]
    waiting_seconds: float = _LIMIT_SECONDS

    def look(self) -> Iterator[Finding]:
        """See ``Check``."""
        where = self.running or "a service of its own with the embedded voice"
        heard = _Heard()
        try:
            timing = asyncio.run(self._speak(heard))
        except TimeoutError:
            yield problem(f"{where} does not finish a short sentence within {self.waiting_seconds:g} s", _advice(where))
            return
        except (TtsError, ValueError, KeyError, TypeError) as error:  # the last three: an answer that is none
            unreachable = isinstance(error.__cause__, OSError) and self.running is None
            cure = _LOOPBACK if unreachable else _cure(error, where)
            yield problem(str(error) if where in str(error) else f"{where}: {error}", cure)
            return
        yield _judged(timing, heard, where)

    async def _speak(self, heard: _Heard) -> ClientTiming:
        async with asyncio.timeout(self.waiting_seconds):
            if self.running is not None:
                return await synthesize(self.running, _words(), voice=None, sink=heard.take)
            async with _own_service(self.load_embedded) as uri:
                return await synthesize(uri, _words(), voice=None, sink=heard.take)


@asynccontextmanager
async def _own_service(load: Callable[[], Synthesizer]) -> AsyncIterator[str]:
    synthesizer = await asyncio.to_thread(load)
    async with Scheduler(synthesizer) as workers:
        server = Server(workers, uris=[_HOSTNAME])
        await server.start()
        try:
            yield server.addresses[0]
        finally:
            await server.aclose(deadline_seconds=0)


async def _words() -> AsyncIterator[str]:
    yield _TEXT


def _judged(timing: ClientTiming, heard: _Heard, where: str) -> Finding:
    first = timing.first_audio_seconds
    if first is None or timing.audio_seconds < _SHORTEST_SECONDS:
        return problem(f"{where} answers a sentence with {timing.audio_seconds:.2f} s of audio", _advice(where))
    if heard.width_bytes == heard.samples.itemsize and heard.peak < _QUIETEST_PEAK:
        return problem(f"{where} answers a sentence with silence", _advice(where))
    text = f"{where}: {timing.audio_seconds:.1f} s of speech, the first after {first * 1000:.0f} ms"
    if timing.total_seconds > timing.audio_seconds or first > _LATEST_FIRST_SECONDS:
        return warning(
            f"{text}, all after {timing.total_seconds:.1f} s: too slow to be listened to",
            "look what keeps the machine busy; 'wyoming-pocket-tts benchmark' tells which model it carries",
        )
    return ok(text)


def _cure(error: Exception, where: str) -> str:
    return cure_of(error, otherwise=_advice(where)) if isinstance(error, TtsError) else _advice(where)


def _advice(where: str) -> str:
    if "://" in where:
        return f"look at the service's log ({LOG}), then restart it"
    return "install the program anew; if that does not help, please report this"


_ASKING_SECONDS = 3.0
_START = (
    f"{START}; if it ran before, its log says why it ended ({LOG}). If it runs with other settings, give doctor"
    " the same ones (--config)"
)


@dataclass(frozen=True)
class ServiceCheck:
    """Whether somebody is there to speak. None is a warning: who has not started it yet wants to know the rest, too."""

    title: ClassVar[str] = "service"
    limit_seconds: ClassVar[float] = 10.0
    uri: str
    """Where the settings let it listen."""

    def look(self) -> Iterator[Finding]:
        """See ``Check``."""
        address = parse_uri(self.uri)
        if isinstance(address, StdioAddress) or (isinstance(address, TcpAddress) and address.port == 0):
            yield ok(f"{self.uri}: whether it runs cannot be asked there")
            return
        try:
            answer = ask(self.uri, seconds=_ASKING_SECONDS)
        except ServerNotFound:
            yield warning(f"nothing listens at {self.uri}: it does not run on this machine", _START)
        except TtsError as error:
            yield warning(str(error), cure_of(error, otherwise=f"look at its log ({LOG})"))
        else:
            yield self._of(answer.program)

    def _of(self, program: str) -> Finding:
        if is_ours(program):
            return ok(f"it runs, at {self.uri}")
        return warning(f"another server is at {self.uri}: it does not run on this machine", "see 'ports' below")
