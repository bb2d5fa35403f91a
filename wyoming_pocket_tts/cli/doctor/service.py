"""Running service, Home Assistant view, speech."""

import asyncio
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from wyoming_pocket_tts.audio.files import AudioFormat
from wyoming_pocket_tts.cli.client import ClientTiming, DescribeResponse, ask, is_ours, synthesize, words_of
from wyoming_pocket_tts.cli.doctor.base import LOG, START, Finding, advice_on, ok, problem, warning
from wyoming_pocket_tts.core.address import StdioAddress, TcpAddress, parse_uri
from wyoming_pocket_tts.core.errors import ServerNotFound, TtsError
from wyoming_pocket_tts.core.types import Synthesizer
from wyoming_pocket_tts.engine.scheduler import Scheduler
from wyoming_pocket_tts.server.server import Server

LONGEST_HEADER_BYTES = 64 << 10
"""Home Assistant drops the connection at a longer header line."""
_HOME_ASSISTANT_SECONDS = 5.0
"""Home Assistant waits this long for a description."""
_ASKING_SECONDS = 3.0
_TEXT = "This is a test of the voice."
_SYNTHESIS_SECONDS = 30.0
_QUIETEST_PEAK = 300
"""Of 32768: anything below is inaudible."""
_SHORTEST_SECONDS = 0.4
_LATEST_FIRST_SECONDS = 2.0
_REQUIRED = ("name", "attribution", "installed")
_START = (
    f"{START}; if it ran before, its log says why it ended ({LOG}). If it runs with other settings, give doctor"
    " the same ones (--config)"
)
_LOOPBACK = "this machine cannot reach itself at 127.0.0.1: 'sudo ip link set lo up', and look at the firewall"
_UPDATE = "update the server, or report this to its developers"


def check_service(uri: str) -> Iterator[Finding]:
    """Whether the service runs at the address of the settings; if not, a warning: it may not be started yet."""
    address = parse_uri(uri)
    if isinstance(address, StdioAddress) or (isinstance(address, TcpAddress) and address.port == 0):
        yield ok(f"{uri}: whether it runs cannot be asked there")
        return
    try:
        program = ask(uri, seconds=_ASKING_SECONDS).program
    except ServerNotFound:
        yield warning(f"nothing listens at {uri}: it does not run on this machine", _START)
    except TtsError as error:
        yield warning(str(error), advice_on(error, otherwise=f"look at its log ({LOG})"))
    else:
        if is_ours(program):
            yield ok(f"it runs, at {uri}")
        else:
            yield warning(f"another server is at {uri}: it does not run on this machine", "see 'ports' below")


@dataclass
class _ReceivedAudio:
    samples: "array[int]" = field(default_factory=lambda: array("h"))
    width_bytes: int = 0

    def add(self, audio: bytes, form: AudioFormat) -> None:
        self.width_bytes = form.width_bytes
        if form.width_bytes == self.samples.itemsize:
            self.samples.frombytes(audio[: len(audio) // 2 * 2])

    @property
    def is_silence(self) -> bool:
        peak = max(map(abs, self.samples), default=0)
        return self.width_bytes == self.samples.itemsize and peak < _QUIETEST_PEAK


def check_speech(
    running: str | None, load_embedded: Callable[[], Synthesizer], *, limit_seconds: float = _SYNTHESIS_SECONDS
) -> Iterator[Finding]:
    """Whether a sentence comes back as audio, through a socket.

    ``running``: address of the service; None to start one with the embedded voice.
    """
    where = running or "a service of its own with the embedded voice"
    log_advice = f"look at the service's log ({LOG}), then restart it"
    advice = log_advice if running else "install the program anew; if that does not help, please report this"
    received = _ReceivedAudio()
    try:
        timing = asyncio.run(_synthesize(running, load_embedded, received, limit_seconds))
    except TimeoutError:
        yield problem(f"{where} does not finish a short sentence within {limit_seconds:g} s", advice)
    except (TtsError, ValueError, KeyError, TypeError) as error:  # the last three: a malformed answer
        if running is None and isinstance(error.__cause__, OSError):
            advice = _LOOPBACK
        elif isinstance(error, TtsError):
            advice = advice_on(error, otherwise=advice)
        yield problem(str(error) if where in str(error) else f"{where}: {error}", advice)
    else:
        yield _judged(timing, received, where, advice)


async def _synthesize(
    running: str | None, load_embedded: Callable[[], Synthesizer], received: _ReceivedAudio, limit_seconds: float
) -> ClientTiming:
    async with asyncio.timeout(limit_seconds):
        if running is not None:
            return await synthesize(running, words_of(_TEXT), voice=None, sink=received.add)
        synthesizer = await asyncio.to_thread(load_embedded)
        async with Scheduler(synthesizer) as scheduler:
            server = Server(scheduler, uris=["tcp://127.0.0.1:0"])
            await server.start()
            try:
                return await synthesize(server.addresses[0], words_of(_TEXT), voice=None, sink=received.add)
            finally:
                await server.aclose(deadline_seconds=0)


def _judged(timing: ClientTiming, received: _ReceivedAudio, where: str, advice: str) -> Finding:
    first = timing.first_audio_seconds
    if first is None or timing.audio_seconds < _SHORTEST_SECONDS:
        return problem(f"{where} answers a sentence with {timing.audio_seconds:.2f} s of audio", advice)
    if received.is_silence:
        return problem(f"{where} answers a sentence with silence", advice)
    text = f"{where}: {timing.audio_seconds:.1f} s of speech, the first after {first * 1000:.0f} ms"
    if timing.total_seconds > timing.audio_seconds or first > _LATEST_FIRST_SECONDS:
        return warning(
            f"{text}, all after {timing.total_seconds:.1f} s: too slow to be listened to",
            "look what keeps the machine busy; 'wyoming-pocket-tts benchmark' shows which model it runs in real time",
        )
    return ok(text)


def check_home_assistant(describe: Callable[[], DescribeResponse]) -> Iterator[Finding]:
    """Whether Home Assistant can use the description of a server; ``describe`` may wait for the list of voices."""
    answer = describe()
    found = [*_check_delivery(answer), *_check_programs(answer.info)]
    yield from found
    if not found:
        voices = answer.info["tts"][0]["voices"]
        languages = {language for voice in voices for language in voice["languages"]}
        now = sum(bool(voice["installed"]) for voice in voices)
        to_come = f" now, {len(voices) - now} to come," if now < len(voices) else ""
        count = f"{now} voice{'' if now == 1 else 's'}{to_come}"
        yield ok(f"{count} in {', '.join(sorted(languages))}, as it wants them")


def _check_delivery(answer: DescribeResponse) -> Iterator[Finding]:
    if answer.header_bytes >= LONGEST_HEADER_BYTES:
        yield problem(
            f"the description's header line has {answer.header_bytes} bytes: Home Assistant reads less than"
            f" {LONGEST_HEADER_BYTES}",
            _UPDATE,
        )
    if answer.seconds > _HOME_ASSISTANT_SECONDS:
        yield warning(
            f"the description takes {answer.seconds:.1f} s, and Home Assistant waits {_HOME_ASSISTANT_SECONDS:g} s",
            "look what keeps the machine busy",
        )


def _check_programs(info: dict[str, Any]) -> Iterator[Finding]:
    programs = [program for program in _objects(info.get("tts")) if program.get("installed")]
    if not programs:
        yield problem("no installed program for text to speech is described", "start the service and ask it with --uri")
        return
    first = programs[0]  # Home Assistant looks at no other
    yield from _check_fields(first, f"the program '{first.get('name', '')}'")
    voices = _objects(first.get("voices"))
    installed = [voice for voice in voices if voice.get("installed")]
    if not installed:
        yield problem("no installed voice is described: Home Assistant would make no entity of it", _UPDATE)
    for voice in voices:
        label = f"the voice '{voice.get('name', '')}'"
        yield from _check_fields(voice, label)
        if not _languages(voice):
            yield problem(f"{label} has no language: it could not be chosen", _UPDATE)
    for name in _repeated(str(voice.get("name", "")) for voice in voices):
        yield problem(
            f"several voices are called '{name}': Home Assistant keeps one of them",
            "rename the others in voices, in satellites or in the data directory's folder 'voices'",
        )
    labels = ((str(voice.get("description") or voice.get("name", "")), _languages(voice)) for voice in installed)
    for label in _repeated(f"'{label}' in {language}" for label, languages in labels for language in languages):
        yield warning(
            f"several voices are shown as {label}: they look the same", "give them other names or descriptions"
        )


def _check_fields(item: dict[str, Any], label: str) -> Iterator[Finding]:
    missing = [key for key in _REQUIRED if key not in item]
    if missing:
        yield problem(f"{label} is described without {', '.join(missing)}: adding the server would fail", _UPDATE)


def _repeated(names: Iterator[str]) -> list[str]:
    return [name for name, times in Counter(names).items() if times > 1]


def _languages(voice: dict[str, Any]) -> list[str]:
    languages = voice.get("languages")
    return [each for each in languages if isinstance(each, str)] if isinstance(languages, list) else []


def _objects(value: object) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
