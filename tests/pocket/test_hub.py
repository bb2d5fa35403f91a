"""Downloads from a hub on this machine, through huggingface_hub as a user has it: in a process of its own."""

import json
import os
import pty
import socket
import subprocess
import sys
import termios
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.pocket.fake_hub import COMMIT, TOKEN, FakeHub, Served, fake_hub
from wyoming_pocket_tts.core.errors import ConfigError
from wyoming_pocket_tts.pocket import hub
from wyoming_pocket_tts.pocket.download import USER_AGENT

CONTENT = bytes(range(256)) * 800
PLACE = "someone/voices/deep/file.bin"
SOURCE = f"hf://{PLACE}@{COMMIT}"

PROGRAM = """
import json, os, sys, time
time.sleep = lambda seconds: None  # huggingface_hub waits between its attempts, half a minute in all
from wyoming_pocket_tts.core.errors import TtsError
from wyoming_pocket_tts.pocket.hub import fetch
told = []
progress = told.append if "TELL" in os.environ else None
try:
    path = fetch(sys.argv[1], local_files_only=len(sys.argv) > 2, progress=progress)
    result = {"path": str(path), "told": told}
except TtsError as error:
    result = {"error": type(error).__name__, "message": str(error)}
sys.stdout.write(json.dumps(result))
"""


@dataclass(frozen=True)
class Outcome:
    path: Path | None
    error: str
    message: str
    terminal: str
    told: list[float]


def environment(home: Path, endpoint: str, more: Mapping[str, str]) -> dict[str, str]:
    """What a fresh user's process has; huggingface_hub reads it when it is imported."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "HF_ENDPOINT": endpoint,
        "NO_PROXY": "127.0.0.1",
        "PYTHONWARNINGS": "ignore",
        **more,
    }


def fetch(source: str, home: Path, endpoint: str, *arguments: str, **more: str) -> Outcome:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, source, *arguments],
        env=environment(home, endpoint, more),
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )
    result = json.loads(done.stdout)
    path = Path(result["path"]) if "path" in result else None
    return Outcome(path, result.get("error", ""), result.get("message", ""), done.stderr, result.get("told", []))


def left_over(home: Path) -> list[Path]:
    """Parts of files, and files that pass for whole ones."""
    markers = {"CACHEDIR.TAG"}
    return [path for path in home.rglob("*") if path.is_file() and path.stat().st_size and path.name not in markers]


def source_of(kind: str, server: FakeHub) -> str:
    return SOURCE if kind == "hub" else f"{server.url}/{PLACE}"


both = pytest.mark.parametrize("kind", ["hub", "web"])


@both
def test_a_file_is_downloaded_once_and_then_there_without_the_network(kind: str, tmp_path: Path) -> None:
    with fake_hub({PLACE: CONTENT}) as server:
        first = fetch(source_of(kind, server), tmp_path, server.url)
    assert first.path is not None
    assert first.path.read_bytes() == CONTENT
    assert first.path.suffix == ".bin"
    again = fetch(source_of(kind, server), tmp_path, server.url)
    assert again.path == first.path
    assert server.downloads == {PLACE: 1}


@pytest.mark.parametrize("source", [SOURCE, f"hf://{PLACE}"])
def test_what_is_here_is_known_without_the_library(source: str, tmp_path: Path) -> None:
    program = (
        "import sys\nfrom wyoming_pocket_tts.pocket.hub import is_here\n"
        "print(is_here(sys.argv[1]), 'huggingface_hub.file_download' in sys.modules)"
    )

    def ask() -> str:
        command = [sys.executable, "-c", program, source]
        variables = environment(tmp_path, "http://127.0.0.1:9", {})
        return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=50, check=True).stdout

    assert ask() == "False False\n"
    with fake_hub({PLACE: CONTENT}) as server:
        assert fetch(source, tmp_path, server.url).path is not None
    assert ask() == "True False\n"


@both
def test_it_is_told_how_far_a_download_is(kind: str, tmp_path: Path) -> None:
    large = bytes(3_000_000)
    with fake_hub({PLACE: large}) as server:
        done = fetch(source_of(kind, server), tmp_path, server.url, TELL="1")
        assert fetch(source_of(kind, server), tmp_path, server.url, TELL="1").told == []
    assert done.path is not None
    assert done.path.stat().st_size == len(large)
    assert done.told == sorted(done.told)
    assert done.told[-1] == 1
    assert done.terminal == ""


def test_without_a_revision_the_newest_is_taken(tmp_path: Path) -> None:
    with fake_hub({PLACE: CONTENT}) as server:
        assert fetch(f"hf://{PLACE}", tmp_path, server.url).path is not None
    assert "/resolve/main/" in server.requests[0].path


@both
def test_a_broken_connection_is_taken_up_where_it_was(kind: str, tmp_path: Path) -> None:
    content = CONTENT * 60  # 12 MB: huggingface_hub keeps blocks of ten
    with fake_hub({PLACE: Served(content, cuts=(11_000_000,))}) as server:
        outcome = fetch(source_of(kind, server), tmp_path, server.url)
    assert outcome.path is not None
    assert outcome.path.read_bytes() == content
    starts = [int(request.headers["range"][6:-1]) for request in server.requests if "range" in request.headers]
    assert len(starts) == 1
    assert starts[0] >= 10_000_000


def test_a_web_server_that_cannot_continue_sends_all_again(tmp_path: Path) -> None:
    with fake_hub({PLACE: Served(CONTENT, cuts=(70_000, 10), resumes=False)}) as server:
        outcome = fetch(source_of("web", server), tmp_path, server.url)
    assert outcome.path is not None
    assert outcome.path.read_bytes() == CONTENT


def test_a_connection_that_always_breaks_is_given_up_and_leaves_nothing(tmp_path: Path) -> None:
    with fake_hub({PLACE: Served(CONTENT, cuts=(10, 10, 10, 0, 10))}) as server:
        outcome = fetch(source_of("web", server), tmp_path, server.url)
    assert outcome.error == "IncompleteDownload"
    assert f"after 30 of {len(CONTENT)} bytes" in outcome.message
    assert left_over(tmp_path) == []


@pytest.mark.parametrize(("kind", "announced"), [("hub", 20), ("web", 20)])
def test_a_file_cut_off_at_a_wrong_length_is_not_taken_for_whole(kind: str, announced: int, tmp_path: Path) -> None:
    """The hub says in one answer how long a file is and sends another number of bytes in the next."""
    with fake_hub({PLACE: CONTENT}) as cdn, fake_hub({PLACE: Served(CONTENT, redirect=f"{cdn.url}/cut")}) as server:
        cdn.files["cut"] = Served(CONTENT[:announced], announced_bytes=announced)
        if kind == "hub":
            outcome = fetch(SOURCE, tmp_path, server.url)
        else:
            cdn.files["cut"] = Served(CONTENT, announced_bytes=len(CONTENT) + announced)
            outcome = fetch(f"{cdn.url}/cut", tmp_path, server.url)
    assert outcome.error == "IncompleteDownload"
    assert "try again" in outcome.message
    assert left_over(tmp_path) == []


@both
@pytest.mark.parametrize("token", ["", "hf_wrong"])
def test_a_gated_file_says_how_to_get_it(kind: str, token: str, tmp_path: Path) -> None:
    with fake_hub({PLACE: Served(CONTENT, gated=True)}) as server:
        outcome = fetch(source_of(kind, server), tmp_path, server.url, **({"HF_TOKEN": token} if token else {}))
    assert outcome.error == "AccessDenied"
    if kind == "hub":
        assert f"{server.url}/someone/voices" in outcome.message
        assert "hf auth login" in outcome.message
        assert "HF_TOKEN" in outcome.message


def test_the_token_goes_to_the_hub_and_nowhere_else(tmp_path: Path) -> None:
    with (
        fake_hub({"cdn": CONTENT, "plain/repo/x.bin": CONTENT}) as elsewhere,
        fake_hub(
            {PLACE: Served(CONTENT, gated=True, redirect=f"{elsewhere.url}/cdn".replace("127.0.0.1", "localhost"))}
        ) as server,
    ):
        from_hub = fetch(SOURCE, tmp_path, server.url, HF_TOKEN=TOKEN)
        from_web = fetch(f"{elsewhere.url}/plain/repo/x.bin", tmp_path, server.url, HF_TOKEN=TOKEN)
    assert from_hub.path is not None
    assert from_web.path is not None
    assert {request.headers.get("authorization") for request in server.requests} == {f"Bearer {TOKEN}"}
    assert len(elsewhere.requests) >= 2
    assert not any("authorization" in request.headers for request in elsewhere.requests)


@both
def test_nobody_is_told_what_else_runs_here(kind: str, tmp_path: Path) -> None:
    with fake_hub({PLACE: CONTENT}) as server:
        fetch(source_of(kind, server), tmp_path, server.url)
    agents = {request.headers["user-agent"] for request in server.requests}
    assert agents == {USER_AGENT}
    assert {request.path.rpartition("/")[2] for request in server.requests} == {"file.bin"}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (f"hf://someone/voices/deep/other.bin@{COMMIT}", "has no such file"),
        (f"hf://{PLACE}@v9", "has no revision v9"),
        (f"hf://someone/else/file.bin@{COMMIT}", "no such repository"),
        ("web", "no such file"),
    ],
)
def test_what_is_not_there_is_named(source: str, message: str, tmp_path: Path) -> None:
    with fake_hub({PLACE: CONTENT}) as server:
        source = f"{server.url}/other.bin" if source == "web" else source
        outcome = fetch(source, tmp_path, server.url)
    assert outcome.error == "NotFound"
    assert source in outcome.message
    assert message in outcome.message


@both
def test_without_a_network_the_error_says_so(kind: str, tmp_path: Path) -> None:
    with fake_hub({}) as server:
        pass
    outcome = fetch(source_of(kind, server), tmp_path, server.url)
    assert outcome.error == {"hub": "HubUnreachable", "web": "Unreachable"}[kind]
    assert "does not answer" in outcome.message
    assert left_over(tmp_path) == []


@pytest.mark.parametrize("level", ["warning", "debug"])
def test_the_library_s_own_lines_are_for_who_debugs_and_come_once(level: str, tmp_path: Path) -> None:
    """A server in trouble has it write a line for each attempt."""
    program = f"import logging; logging.basicConfig(level='{level.upper()}', format='OURS %(message)s')\n{PROGRAM}"
    with fake_hub({PLACE: Served(CONTENT, status=500)}) as server:
        done = subprocess.run(
            [sys.executable, "-c", program, SOURCE],
            env=environment(tmp_path, server.url, {}),
            capture_output=True,
            text=True,
            timeout=50,
            check=True,
        )
    lines = [line for line in done.stderr.splitlines() if "Retrying in" in line]
    assert len(lines) == len(set(lines))
    assert bool(lines) == (level == "debug")
    assert all(line.startswith("OURS") for line in lines)


def test_without_a_network_one_attempt_is_enough(tmp_path: Path) -> None:
    """The library makes six, and waits between them."""
    outcome = fetch(SOURCE, tmp_path, "http://nowhere.invalid", HTTP_PROXY="")
    assert outcome.error == "HubUnreachable"
    assert f"{SOURCE}: is not on this machine, and the hub does not answer: " in outcome.message
    assert outcome.terminal == ""


def test_what_is_here_needs_no_network(tmp_path: Path) -> None:
    with fake_hub({PLACE: CONTENT}) as server:
        assert fetch(f"hf://{PLACE}", tmp_path, server.url).path is not None
    assert fetch(f"hf://{PLACE}", tmp_path, "http://nowhere.invalid").path is not None


@both
def test_a_server_in_trouble_is_no_missing_file(kind: str, tmp_path: Path) -> None:
    with fake_hub({PLACE: Served(CONTENT, status=500)}) as server:
        outcome = fetch(source_of(kind, server), tmp_path, server.url)
    assert outcome.error == "Unreachable"
    assert "answers with an error (500" in outcome.message
    assert outcome.message.endswith("; try again later")


@both
@pytest.mark.parametrize("how", ["environment", "argument"])
def test_offline_nothing_is_asked(kind: str, how: str, tmp_path: Path) -> None:
    arguments, more = (["local"], {}) if how == "argument" else ([], {"HF_HUB_OFFLINE": "1"})
    with fake_hub({PLACE: CONTENT}) as server:
        missing = fetch(source_of(kind, server), tmp_path, server.url, *arguments, **more)
        assert server.requests == []
        fetch(source_of(kind, server), tmp_path, server.url)
        asked = len(server.requests)
        there = fetch(source_of(kind, server), tmp_path, server.url, *arguments, **more)
    assert missing.error == "Unreachable"
    assert "not on this machine" in missing.message
    assert there.path is not None
    assert len(server.requests) == asked


@both
def test_progress_is_for_terminals(kind: str, tmp_path: Path) -> None:
    with fake_hub({PLACE: CONTENT}) as server:
        assert "%" not in fetch(source_of(kind, server), tmp_path / "piped", server.url).terminal
        shown = on_terminal(source_of(kind, server), tmp_path / "terminal", server.url)
    assert "100%" in shown
    assert "file.bin" in shown


def on_terminal(source: str, home: Path, endpoint: str) -> str:
    """Fetch with a terminal as standard error; return what it shows."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, source],
        env=environment(home, endpoint, {"TERM": "xterm"}),
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    try:
        while block := os.read(ours, 4096):
            shown += block
    except OSError:  # Linux says so when the other side is closed
        pass
    os.close(ours)
    assert process.wait(timeout=50) == 0
    return shown.decode()


def test_a_cache_that_cannot_be_written_to_is_named_with_what_to_do(tmp_path: Path) -> None:
    no_directory = tmp_path / "file"
    no_directory.write_text("")
    with fake_hub({PLACE: CONTENT}) as server:
        outcome = fetch(SOURCE, tmp_path, server.url, HF_HOME=str(no_directory))
    assert outcome.error == "CacheNotWritable"
    assert f"cannot be kept in {no_directory}" in outcome.message
    assert "HF_HOME" in outcome.message


def test_a_redirect_cannot_lead_to_files_of_this_machine(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    with fake_hub({PLACE: Served(b"", redirect=f"file://{secret}")}) as server:
        outcome = fetch(source_of("web", server), tmp_path / "home", server.url)
    assert outcome.error == "Unreachable"


@pytest.mark.parametrize(
    "source", ["voice.wav", "/somewhere/voice.wav", Path("voice.wav"), "~x/a@b.wav", "C:\\voice.wav"]
)
def test_local_paths_stay_as_they_are(source: str | Path) -> None:
    assert hub.fetch(source) == Path(source)


@pytest.mark.parametrize(
    "source",
    [
        "ftp://example.org/file",
        "file:///etc/passwd",
        "https:///file",
        "hf://someone/voices",
        "hf://someone/voices/",
        "hf://someone//file",
        "hf://../voices/file",
        "hf://someone/voices/../../file",
        "hf://someone/voices/a/../file",
        "hf://someone/voices/a//file",
        "hf://someone/voices/a\\..\\file",
        "hf://someone/voices/file@",
        "hf://someone/voices/file@../../x",
        "hf://someone/voices@main/file",
        "hf://someone/voices/file?x=1",
        "hf://someone/voices/a\nfile",
    ],
)
def test_sources_that_are_refused_before_anybody_is_asked(source: str) -> None:
    with pytest.raises(ConfigError):
        hub.fetch(source)


def test_the_parts_of_a_hub_path() -> None:
    file = hub.HubFile.parse("hf://someone/voices/deep/file.bin@refs/pr/1")
    assert (file.repository, file.path, file.revision) == ("someone/voices", "deep/file.bin", "refs/pr/1")
    assert str(file) == "hf://someone/voices/deep/file.bin@refs/pr/1"
    assert hub.HubFile.parse("HF://a/b/c").revision is None


def test_a_server_that_listens_can_be_reached_by_any_of_its_addresses() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        hub.check_reachable(f"http://localhost:{server.getsockname()[1]}/some/file")


def test_nobody_there_is_told_with_the_system_s_reason() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        hub.check_reachable(f"http://127.0.0.1:{port}")


def test_a_name_without_an_address_is_told() -> None:
    with pytest.raises(socket.gaierror):
        hub.check_reachable("https://nowhere.invalid/file")


def test_a_proxy_makes_the_connection_and_the_name_may_be_unknown_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.invalid:3128")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    hub.check_reachable("https://nowhere.invalid/file")
    monkeypatch.setenv("no_proxy", "nowhere.invalid")
    with pytest.raises(socket.gaierror):
        hub.check_reachable("https://nowhere.invalid/file")
