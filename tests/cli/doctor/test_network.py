"""Addresses, announcements and the hub, as machines have them and lack them."""

import asyncio
import errno
from collections.abc import Collection, Iterable
from ipaddress import ip_address
from pathlib import Path

import pytest

from tests.cli.doctor.checking import MODEL, findings, make_bundle, named, only
from tests.pocket.fake_hub import TOKEN, Served, fake_hub
from wyoming_pocket_tts.cli.doctor.base import Finding, configured_models
from wyoming_pocket_tts.cli.doctor.base import FindingSeverity as Severity
from wyoming_pocket_tts.cli.doctor.network import check_addresses, check_discovery, check_hub
from wyoming_pocket_tts.config.schema import DiscoverySettings, ModelSettings, ServerSettings, Settings
from wyoming_pocket_tts.core.errors import Unreachable
from wyoming_pocket_tts.pocket import registry as configs
from wyoming_pocket_tts.pocket.hub import HubFile
from wyoming_pocket_tts.server.discovery import IpAddress, ZeroconfAnnouncer

IPV4, IPV6, LOOPBACK = ip_address("192.0.2.2"), ip_address("fd00::2"), ip_address("127.0.0.1")


def families(uri: str, *here: str) -> Iterable[Finding]:
    """On a machine with these addresses."""
    addresses = tuple(map(ip_address, here))
    versions = {"0.0.0.0": 4, "::": 6}

    def find(hosts: object) -> tuple[object, ...]:
        assert isinstance(hosts, tuple)
        wanted = {versions.get(host) for host in hosts}
        return tuple(each for each in addresses if each.version in wanted)

    return check_addresses(uri, find=find)  # type: ignore[arg-type]


def test_the_addresses_that_others_reach_are_told() -> None:
    named(findings(families("tcp://:10200", "192.0.2.2", "fd00::2")), Severity.OK, "at 192.0.2.2, fd00::2")
    named(
        findings(families("tcp://0.0.0.0:10200", "192.0.2.2", "fd00::2")),
        Severity.OK,
        "IPv6 (fd00::2) is not listened on: tcp://:10200 would take both",
    )


def test_a_machine_without_addresses_and_a_loopback_one_are_named() -> None:
    named(findings(families("tcp://0.0.0.0:10200")), Severity.WARNING, "no address that others can reach")
    named(findings(families("tcp://127.0.0.1:10200")), Severity.WARNING, "for this machine alone")
    named(findings(families("unix:///run/tts.sock")), Severity.OK, "for this machine alone")


def test_a_family_that_the_machine_has_no_address_of_is_named() -> None:
    found = only(families("tcp://[::]:10200", "192.0.2.2"))
    assert (found.severity, "none of that family" in found.found) == (Severity.PROBLEM, True)
    assert "tcp://:10200" in found.advice


def discovery(
    uri: str = "tcp://0.0.0.0:10200", *, announce: bool | None = None, running: bool = False
) -> Iterable[Finding]:
    settings = Settings(server=ServerSettings(uri=uri), discovery=DiscoverySettings(announce=announce))
    return check_discovery(settings, is_running=running, find=lambda _: (LOOPBACK,))


def test_announcements_of_this_machine_are_heard() -> None:
    named(findings(discovery()), Severity.OK, "IPv4: announcements from this machine are heard")


async def test_the_service_s_own_announcement_is_heard() -> None:
    announcer = ZeroconfAnnouncer(lambda _: "the-service")
    await announcer.announce(["tcp://127.0.0.1:10217"])
    try:
        found = await asyncio.to_thread(findings, discovery("tcp://0.0.0.0:10217", running=True))
    finally:
        await announcer.withdraw()
    named(found, Severity.OK, "announced as 'the-service', and heard")


async def test_a_service_that_nobody_hears_of_is_named_whoever_else_is_heard() -> None:
    check = check_discovery(
        Settings(server=ServerSettings(uri="tcp://0.0.0.0:10218")),
        is_running=True,
        find=lambda _: (LOOPBACK,),
        listening_seconds=2.0,
    )
    announcer = ZeroconfAnnouncer(lambda _: "somebody-else")
    await announcer.announce(["tcp://127.0.0.1:10219"])
    try:
        found = await asyncio.to_thread(findings, check)
    finally:
        await announcer.withdraw()
    named(found, Severity.PROBLEM, "the service's announcement is not heard")


def test_a_name_to_listen_on_is_looked_up() -> None:
    asked: list[Collection[str]] = []

    def find(hosts: Collection[str]) -> tuple[IpAddress, ...]:
        asked.append(hosts)
        return ()

    def named_by(host: str) -> Iterable[Finding]:
        settings = Settings(
            server=ServerSettings(uri=f"tcp://{host}:10200"), discovery=DiscoverySettings(announce=True)
        )
        return check_discovery(settings, is_running=False, find=find)

    named(findings(named_by("localhost")), Severity.WARNING, "no address to announce")
    assert "127.0.0.1" in asked[0]
    named(findings(named_by("nobody.invalid")), Severity.PROBLEM, "'nobody.invalid' stands for no address")


def test_who_keeps_the_port_of_multicast_for_itself_is_to_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EADDRINUSE, "Address already in use")

    monkeypatch.setattr("wyoming_pocket_tts.cli.doctor.network.AsyncZeroconf", refuse)
    found = only(discovery())
    assert (found.severity, "Address already in use" in found.found) == (Severity.PROBLEM, True)
    assert "ss -lunp" in found.advice


def test_what_is_not_to_be_announced_is_well() -> None:
    named(findings(discovery(announce=False)), Severity.OK, "not to announce")
    named(findings(discovery("tcp://127.0.0.1:10200")), Severity.OK, "is not announced")
    lonely = check_discovery(Settings(), is_running=False, find=lambda _: ())
    named(findings(lonely), Severity.WARNING, "no address to announce")


# the hub


@pytest.fixture(autouse=True)
def nobody_s_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever the person who runs the tests has."""
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_TOKEN", raising=False)


def hub(data_dir: Path, *names: str, local_files_only: bool = False) -> Iterable[Finding]:
    settings = Settings(data_dir=data_dir, models=ModelSettings(names=names or (MODEL,)))
    return check_hub(configured_models(settings), local_files_only=local_files_only)


def served(*, open_needs_token: bool = False) -> dict[str, Served]:
    """What the hub has of the model: weights for those who accepted the terms, and others."""
    config = configs.released_model(MODEL)
    sources = {config.weights_path: True, config.weights_path_without_voice_cloning: open_needs_token}
    paths = {HubFile.parse(source): gated for source, gated in sources.items() if source}
    return {f"{path.repository}/{path.path}": Served(b"weights", gated=gated) for path, gated in paths.items()}


def commits() -> set[str]:
    config = configs.released_model(MODEL)
    sources = (config.weights_path, config.weights_path_without_voice_cloning)
    return {HubFile.parse(source).revision or "" for source in sources if source}


def at(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", url)
    monkeypatch.setattr(
        "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}"
    )


def test_with_the_right_token_everything_can_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with fake_hub(served(), commits=commits()) as here:
        at(monkeypatch, here.url)
        named(findings(hub(tmp_path)), Severity.OK, "voice cloning included")
        assert {request.method for request in here.requests} == {"HEAD"}


def test_without_a_token_it_is_said_what_is_lacking_and_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fake_hub(served(), commits=commits()) as here:
        at(monkeypatch, here.url)
        found = only(hub(tmp_path))
    assert found.severity is Severity.WARNING
    assert "not what makes voices of recordings" in found.found
    assert "accept its terms at" in found.advice


def test_a_token_that_is_refused_everywhere_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with fake_hub(served(open_needs_token=True), commits=commits()) as here:
        at(monkeypatch, here.url)
        named(findings(hub(tmp_path)), Severity.PROBLEM, "the token that this machine has is refused")


def test_a_model_that_the_hub_no_longer_has_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_hub(served(), commits=["0" * 40]) as here:
        at(monkeypatch, here.url)
        named(findings(hub(tmp_path)), Severity.PROBLEM, "has no revision")


def test_without_a_hub_it_is_said_what_works_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at(monkeypatch, "http://127.0.0.1:9")
    make_bundle(tmp_path)
    found = only(hub(tmp_path, MODEL, "german"))
    assert found.severity is Severity.WARNING
    assert "cannot be asked" in found.found
    assert f"works without: the embedded voices, {MODEL}. For german: connect" in found.advice
    named(findings(hub(tmp_path)), Severity.WARNING, "cannot be asked")


@pytest.mark.parametrize(
    ("reason", "cure"),
    [
        ("HF_HUB_OFFLINE forbids to ask for it", "remove HF_HUB_OFFLINE"),
        ("CERTIFICATE_VERIFY_FAILED: certificate is not yet valid", "the clock is right"),
        ("Name or service not known", "connect this machine"),
    ],
)
def test_why_the_hub_does_not_answer_decides_what_to_do(
    reason: str, cure: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise Unreachable(reason)

    monkeypatch.setattr("wyoming_pocket_tts.cli.doctor.network.check_access", fail)
    assert cure in only(hub(tmp_path)).advice


def test_who_wants_nothing_of_the_hub_is_not_asked_about_it(tmp_path: Path) -> None:
    named(findings(hub(tmp_path, "none")), Severity.OK, "nothing has to be downloaded")
    named(findings(hub(tmp_path, local_files_only=True)), Severity.OK, "local_files_only")
