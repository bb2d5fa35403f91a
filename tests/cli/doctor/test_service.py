"""Ports that somebody else has, and servers that answer rubbish, nothing, or what Home Assistant cannot use."""

import asyncio
import json
import socket
from collections.abc import Iterable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import pytest

from tests.cli.doctor.checking import findings, named, only
from tests.cli.doctor.stranger import info, stranger, voice
from tests.server.client import service
from tests.support.tone import ToneSynthesizer
from wyoming_pocket_tts.cli.client import DescribeResponse, ask
from wyoming_pocket_tts.cli.doctor.base import DoctorContext, Finding
from wyoming_pocket_tts.cli.doctor.base import FindingSeverity as Severity
from wyoming_pocket_tts.cli.doctor.command import checks_for
from wyoming_pocket_tts.cli.doctor.network import check_ports
from wyoming_pocket_tts.cli.doctor.service import (
    LONGEST_HEADER_BYTES,
    check_home_assistant,
    check_service,
    check_speech,
)
from wyoming_pocket_tts.config.fields import SatelliteSettings
from wyoming_pocket_tts.config.schema import LimitSettings, MetricsSettings, ServerSettings, Settings
from wyoming_pocket_tts.core.errors import (
    ConfigError,
    NotAWyomingServer,
    ServerNotFound,
    ServerOverloaded,
    ServerTimeout,
    TtsError,
)

RUBBISH = b"HTTP/1.1 400 Bad Request\r\n\r\n"


def ports(uri: str, **more: object) -> Iterable[Finding]:
    return check_ports(Settings.model_validate({"server": ServerSettings(uri=uri), **more}))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_free_port_is_well() -> None:
    named(findings(ports(f"tcp://127.0.0.1:{free_port()}")), Severity.OK, "is free")
    named(findings(ports("tcp://127.0.0.1:0")), Severity.OK, "any port")


@pytest.mark.parametrize(
    ("reply", "hangs_up", "text"),
    [
        (RUBBISH, False, "is taken by another program"),
        (b"", True, "is taken by another program"),
        (b'["a list"]\n', False, "is taken by another program"),
        (b'{"type": "info", "data_length": 1e12}\n', False, "is taken by another program"),
        (b'{"type": "info", "data": []}\n{', False, "is taken by another program"),
        (b'{"type": "info", "data": {}}\n{', False, "is taken by another Wyoming server, 'without a name'"),
        (info(program="piper"), False, "is taken by another Wyoming server, 'piper'"),
    ],
)
def test_a_port_that_somebody_else_has_is_named(reply: bytes, hangs_up: bool, text: str) -> None:
    with stranger(reply, hangs_up=hangs_up) as port:
        found = only(ports(f"tcp://127.0.0.1:{port}"))
    assert (found.severity, text in found.found) == (Severity.PROBLEM, True), found
    assert f"sport = :{port}" in found.advice


def test_a_port_whose_owner_says_nothing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wyoming_pocket_tts.cli.doctor.network._ASKING_SECONDS", 0.2)
    with stranger(None) as port:
        named(findings(ports(f"tcp://127.0.0.1:{port}")), Severity.PROBLEM, "a program that does not answer")


def test_ports_of_satellites_and_metrics_are_looked_at_too() -> None:
    with stranger(RUBBISH) as port:
        satellites = {"Kitchen": SatelliteSettings(port=port)}
        found = findings(ports("tcp://127.0.0.1:0", satellites=satellites, metrics=MetricsSettings(port=port)))
    named(found, Severity.PROBLEM, "of the satellite Kitchen is taken by another program")
    named(found, Severity.PROBLEM, f"metrics at 127.0.0.1, port {port}: is taken by another program")
    assert ["(satellites.Kitchen.port)" in found[1].advice, "(metrics.port)" in found[2].advice] == [True, True]


@pytest.mark.parametrize(
    ("reply", "severity", "text"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n", Severity.OK, "this service answers"),
        (b"HTTP/1.1 503 No\r\nContent-Length: 4\r\n\r\nlame", Severity.WARNING, "it is not well: 'lame'"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nHome", Severity.PROBLEM, "taken by another program"),
        (b"\x00rubbish", Severity.PROBLEM, "taken by another program"),
    ],
)
def test_who_answers_at_the_port_of_the_metrics_is_asked(reply: bytes, severity: Severity, text: str) -> None:
    with stranger(reply) as port:
        found = findings(ports("tcp://127.0.0.1:0", metrics=MetricsSettings(port=port)))
    named(found, severity, text)


def test_an_address_of_another_machine_is_named() -> None:
    named(findings(ports("tcp://192.0.2.77:10200")), Severity.PROBLEM, "192.0.2.77 is no address of this machine")


def test_sockets_of_the_file_system_are_looked_at(tmp_path: Path) -> None:
    named(findings(ports(f"unix://{tmp_path}/s")), Severity.OK, "is free")
    named(findings(ports(f"unix://{tmp_path}/no/s")), Severity.PROBLEM, f"{tmp_path}/no is no directory")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(f"{tmp_path}/left")
    named(findings(ports(f"unix://{tmp_path}/left")), Severity.OK, "left by a service that was killed")


async def test_our_own_service_may_have_the_port() -> None:
    async with service() as running:
        found = await looked(ports(running.server.addresses[0]))
    named(found, Severity.OK, "this service answers")


def subject(uri: str, named: str | None = None) -> DoctorContext:
    environment = {"WYOMING_POCKET_TTS_SERVER_URI": uri}
    return DoctorContext(
        file=None, uri=named, flags={}, environment=environment, embedded=(), load_embedded=ToneSynthesizer
    )


async def test_a_service_that_listens_everywhere_is_spoken_to_at_home() -> None:
    async with service(uri="tcp://:0") as running:
        # Each family has a port of its own where any will do; in which order they are listed is chance.
        port = next(each for each in running.server.addresses if "0.0.0.0" in each).rpartition(":")[2]
        examined = subject(f"tcp://:{port}")
        where = await asyncio.to_thread(lambda: examined.running(examined.settings()))
        assert where == f"tcp://127.0.0.1:{port}"
        named(await looked(check_speech(where, ToneSynthesizer)), Severity.OK, "of speech")


async def test_checks_know_whether_the_service_runs_here() -> None:
    async with service() as running:
        uri = running.server.addresses[0]
        for named, here in ((None, True), (uri, False)):
            checks = await asyncio.to_thread(checks_for, subject(uri, named))
            runs = [check.run for check in checks if check.title in ("memory", "discovery")]
            assert [isinstance(run, partial) and run.keywords["is_running"] for run in runs] == [here, here]


def test_a_stranger_at_the_port_is_not_our_service() -> None:
    with stranger(info(program="piper")) as port:
        examined = subject(f"tcp://127.0.0.1:{port}")
        assert examined.running(examined.settings()) is None


def test_the_service_that_somebody_names_is_examined_whatever_it_is() -> None:
    examined = subject("tcp://127.0.0.1:1", "tcp://0.0.0.0:1")
    assert examined.running(examined.settings()) == "tcp://127.0.0.1:1"


async def looked(check: Iterable[Finding]) -> list[Finding]:
    return await asyncio.to_thread(findings, check)


def test_asking_tells_nobody_silence_and_rubbish_apart() -> None:
    with pytest.raises(ServerNotFound):
        ask(f"tcp://127.0.0.1:{free_port()}", seconds=5)
    with stranger(None) as port, pytest.raises(ServerTimeout):
        ask(f"tcp://127.0.0.1:{port}", seconds=0.2)
    with stranger(b'{"type": "info", "data_length": 50}\n{') as port, pytest.raises(ServerTimeout):
        ask(f"tcp://127.0.0.1:{port}", seconds=0.2)
    with stranger(b"\xff\n") as port, pytest.raises(NotAWyomingServer):
        ask(f"tcp://127.0.0.1:{port}", seconds=5)
    with pytest.raises(ConfigError):
        ask("stdio://", seconds=1)


def test_a_server_that_trickles_is_not_waited_for() -> None:
    with stranger(b'{"type":', trickles=True) as port, pytest.raises(ServerTimeout):
        ask(f"tcp://127.0.0.1:{port}", seconds=0.3)


# what Home Assistant wants


def at_home(reply: bytes) -> list[Finding]:
    with stranger(reply) as port:
        return findings(check_home_assistant(lambda: ask(f"tcp://127.0.0.1:{port}", seconds=5)))


def test_a_good_description_is_well() -> None:
    named(
        at_home(info(voice("anna"), voice("bert", languages=("de",)))),
        Severity.OK,
        "2 voices in de, en, as it wants",
    )


@pytest.mark.parametrize(
    ("reply", "severity", "text"),
    [
        (
            info(voice("anna"), voice("anna", description="B")),
            Severity.PROBLEM,
            "several voices are called 'anna'",
        ),
        (
            info(voice("a", description="Anna"), voice("b", description="Anna")),
            Severity.WARNING,
            "shown as 'Anna' in en",
        ),
        (info(voice("anna", languages=())), Severity.PROBLEM, "'anna' has no language"),
        (info(voice("anna") | {"installed": False}), Severity.PROBLEM, "no installed voice"),
        (info(voice("anna"), installed=False), Severity.PROBLEM, "no installed program"),
        (
            json.dumps({"type": "info", "data": {"tts": 7}}).encode() + b"\n",
            Severity.PROBLEM,
            "no installed program",
        ),
        (
            info({"name": "anna", "languages": ["en"]}, voice("b")),
            Severity.PROBLEM,
            "without attribution, installed",
        ),
        (info(voice("x" * LONGEST_HEADER_BYTES), header=True), Severity.PROBLEM, "header line has"),
        (RUBBISH, Severity.PROBLEM, "not in the Wyoming protocol"),
    ],
)
def test_what_home_assistant_cannot_use_is_named(reply: bytes, severity: Severity, text: str) -> None:
    named(at_home(reply), severity, text)


def test_a_description_that_takes_long_is_named() -> None:
    answer = DescribeResponse(json.loads(info(voice("anna"), header=True))["data"], header_bytes=100, seconds=6.0)
    named(findings(check_home_assistant(lambda: answer)), Severity.WARNING, "takes 6.0 s")


# speech through a socket


async def test_a_sentence_goes_through_a_running_service() -> None:
    async with service() as running:
        found = await looked(check_speech(running.server.addresses[0], ToneSynthesizer))
    named(found, Severity.OK, "of speech, the first after")


def test_a_sentence_goes_through_a_service_of_its_own() -> None:
    named(findings(check_speech(None, ToneSynthesizer)), Severity.OK, "a service of its own")


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (RUBBISH, ""),
        (info(program="stt"), "0.00 s of audio"),
    ],
)
def test_a_server_that_answers_rubbish_is_named(reply: bytes, text: str) -> None:
    stop = b'{"type": "audio-stop"}\n'
    with stranger(reply + stop) as port:
        found = only(check_speech(f"tcp://127.0.0.1:{port}", ToneSynthesizer, limit_seconds=5))
    assert found.severity is Severity.PROBLEM
    assert f"tcp://127.0.0.1:{port}" in found.found
    assert text in found.found


def test_a_silent_server_is_named() -> None:
    with stranger(None) as port:
        check = check_speech(f"tcp://127.0.0.1:{port}", ToneSynthesizer, limit_seconds=0.3)
        named(findings(check), Severity.PROBLEM, "does not finish a short sentence within 0.3 s")


def test_a_server_that_speaks_silence_is_named() -> None:
    samples = bytes(32_000)
    chunk = {"type": "audio-chunk", "data": {"rate": 16000, "width": 2, "channels": 1}, "payload_length": len(samples)}
    reply = info(voice("anna")) + json.dumps(chunk).encode() + b"\n" + samples + b'{"type": "audio-stop"}\n'
    with stranger(reply) as port:
        check = check_speech(f"tcp://127.0.0.1:{port}", ToneSynthesizer, limit_seconds=5)
        named(findings(check), Severity.PROBLEM, "with silence")


def test_no_server_at_all_is_named() -> None:
    uri = f"tcp://127.0.0.1:{free_port()}"
    named(findings(check_speech(uri, ToneSynthesizer, limit_seconds=5)), Severity.PROBLEM, uri)


# whether it runs, and what to do where nobody gives a good answer


def cure(check: Iterable[Finding]) -> tuple[Severity, str, str]:
    found = only(check)
    return found.severity, found.found, found.advice


def test_a_service_that_does_not_run_is_a_warning_that_says_how_to_start_it() -> None:
    uri = f"tcp://0.0.0.0:{free_port()}"
    severity, found, advice = cure(check_service(uri))
    assert (severity, found) == (Severity.WARNING, f"nothing listens at {uri}: it does not run on this machine")
    for way in ("systemctl start", "docker compose up -d", "script/run", "its log says why it ended"):
        assert way in advice


def test_an_address_at_which_nobody_can_ask_is_well() -> None:
    for uri in ("tcp://127.0.0.1:0", "stdio://"):
        named(findings(check_service(uri)), Severity.OK, "cannot be asked")


async def test_a_service_that_runs_is_well() -> None:
    async with service() as running:
        named(await looked(check_service(running.server.addresses[0])), Severity.OK, "it runs, at ")


def test_another_server_in_its_place_is_not_it() -> None:
    with stranger(info(program="piper")) as port:
        named(findings(check_service(f"tcp://127.0.0.1:{port}")), Severity.WARNING, "another server is at ")


def test_whether_it_runs_is_not_asked_where_another_one_is_named() -> None:
    uri = f"tcp://127.0.0.1:{free_port()}"
    titles = [[check.title for check in checks_for(subject(uri, named))] for named in (None, uri)]
    assert [title.count("service") for title in titles] == [1, 0]


@pytest.mark.parametrize("limits", [LimitSettings(max_connections=3), LimitSettings(max_connections_per_client=3)])
async def test_a_full_service_is_called_full_by_all_who_ask_it(limits: LimitSettings) -> None:
    async with service(limits=limits) as running, AsyncExitStack() as crowd:
        for _ in range(3):
            client = await crowd.enter_async_context(await running.connect())
            await client.send("ping")
            await client.until("pong")
        uri = running.server.addresses[0]
        assert await asyncio.to_thread(lambda: subject(uri).running(Settings(server=ServerSettings(uri=uri)))) == uri
        for check, severity in (
            (check_service(uri), Severity.WARNING),
            (ports(uri), Severity.WARNING),
            (check_speech(uri, ToneSynthesizer), Severity.PROBLEM),
            (check_home_assistant(lambda: ask(uri, seconds=5)), Severity.PROBLEM),
        ):
            found = await asyncio.to_thread(only, check)
            assert (found.severity, "refuses" in found.found) == (severity, True)
            assert "are taken, 3 of 3 (server.limits.max_connections" in found.found
            assert "raise server.limits.max_connections" in found.advice


def test_another_refusal_is_told_in_its_own_words() -> None:
    reply = b'{"type": "error", "data": {"text": "go away", "code": "mood"}}\n'
    with stranger(reply) as port, pytest.raises(TtsError, match="refuses: 'go away'") as refused:
        ask(f"tcp://127.0.0.1:{port}", seconds=5)
    assert not isinstance(refused.value, NotAWyomingServer | ServerOverloaded)


def asking(uri: str) -> list[Iterable[Finding]]:
    """Those that look at a server that somebody named."""
    return [check_speech(uri, ToneSynthesizer, limit_seconds=5), check_home_assistant(lambda: ask(uri, seconds=5))]


@pytest.mark.parametrize(("reply", "hangs_up"), [(RUBBISH, True), (b"", True), (b'["a list"]\n', False)])
def test_where_another_program_answers_the_port_is_doubted(reply: bytes, hangs_up: bool) -> None:
    with stranger(reply, hangs_up=hangs_up) as port:
        cures = [cure(check)[2] for check in asking(f"tcp://127.0.0.1:{port}")]
    for advice in cures:
        assert advice.startswith("another program is there: is it the right address and port? 10200 is this server's")


def test_where_nobody_answers_the_service_is_to_be_started() -> None:
    for check in asking(f"tcp://127.0.0.1:{free_port()}"):
        _, _, advice = cure(check)
        assert "10200 is this server's" in advice
        assert "start it ('systemctl start wyoming-pocket-tts'" in advice


def test_voices_that_are_still_to_come_are_not_counted_as_there() -> None:
    later = voice("bert") | {"installed": False}
    named(at_home(info(voice("anna"), later)), Severity.OK, "1 voice now, 1 to come, in en, as it wants")
