"""The path of one sentence through a running server: files entered, moves between files, threads, lookups of the voice.

Run as a program it is the server, with a profile hook in every thread. The hook records from the first bytes of a
`synthesize` event to the write of the first `audio-chunk`. Only commands, settings and the protocol are used, except
for the functions that write a model with random weights.
"""

import array
import json
import math
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import wave
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median_low
from types import CodeType, FrameType
from typing import Any
from urllib.parse import urlsplit

REPOSITORY = Path(__file__).parents[2]
PACKAGE = REPOSITORY / "wyoming_pocket_tts"
SENTENCE = "It is 21.5 degrees in the kitchen."
MODEL = "english_7m_2026-10"
VOICES = tuple(f"Walker {number}" for number in range(5))
"""Each is used once: the first use of a voice is what counts."""
READY_SECONDS = 120.0
EMBEDDED_SENTENCES = 3
QUIET_SECONDS = 0.3
"""Between sentences, so that nothing of the one before is still going on."""

RESOLVERS = re.compile(r"voices/\w+\.py:(\w+\.)*resolve")
"""`file:qualified name` of what resolves a voice by its name: the one place that may look it up."""


@dataclass(frozen=True, slots=True)
class SentencePath:
    """What one sentence crossed before its first audio."""

    files: tuple[str, ...]
    moves: int
    """Consecutive calls in one thread whose file differs."""
    threads: tuple[str, ...]
    calls: int
    functions: int
    resolved: int
    """Calls of `RESOLVERS`."""
    named: tuple[str, ...]
    """Functions that were handed the voice's name instead of the resolved voice."""
    pairs: dict[str, int]
    """Moves by `file > file`, the most frequent first."""


def measure(directory: Path) -> dict[str, SentencePath]:
    """Serve a random model from the directory, and follow a sentence by Pocket TTS and one by the embedded voice."""
    environment, options = _prepare(directory)
    results = directory / "paths"
    results.mkdir()
    with _served(results, options, environment) as port:
        _until_installed(port, *VOICES)
        _synthesize(port, "Good evening.", voice=None)
        pocket = [_followed(port, voice, results) for voice in VOICES]
    with _served(results, ["--model", "none", *options[2:]], environment) as port:
        voice = _until_installed(port)[0]
        embedded = [_followed(port, voice, results) for _ in range(EMBEDDED_SENTENCES)]
    return {"pocket": _middle(pocket), "embedded": _middle(embedded)}


def _middle(paths: list[SentencePath]) -> SentencePath:
    """The median by moves of those with the fewest threads and files: others were measured beside background work."""
    fewest = min((len(path.threads), len(path.files)) for path in paths)
    quiet = [path for path in paths if (len(path.threads), len(path.files)) == fewest]
    moves = median_low(path.moves for path in quiet)
    return next(path for path in quiet if path.moves == moves)


def _prepare(directory: Path) -> tuple[dict[str, str], list[str]]:
    from wyoming_pocket_tts.pocket.hub import HubFile  # noqa: PLC0415
    from wyoming_pocket_tts.pocket.random_model import make_model, make_voice  # noqa: PLC0415  (not needed by the server)
    from wyoming_pocket_tts.pocket.registry import default_voice, released_model, voice_audio_source  # noqa: PLC0415

    config = make_model(directory / "model", released_model(MODEL))
    data = directory / "data"
    (data / "voices").mkdir(parents=True)
    for number, voice in enumerate(VOICES):
        file = data / "voices" / f"{voice}.safetensors"
        make_voice(file, config)
        file.write_bytes(file.read_bytes()[:-4] + struct.pack("<f", 0.01 * number))  # equal files would be one voice
    recording = HubFile.parse(voice_audio_source(default_voice(MODEL)))
    _put_into_hub_cache(directory / "hub", recording.repository, recording.path)
    environment = {"HF_HOME": str(directory / "hub"), "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(REPOSITORY)}
    options = ["--model", str(directory / "model" / "model.yaml"), "--precision", "int8", "--local-files-only"]
    return environment, [*options, "--data-dir", str(data), "--no-zeroconf", "--uri", f"tcp://127.0.0.1:{_free_port()}"]


def _put_into_hub_cache(home: Path, repository: str, name: str) -> None:
    commit = "0" * 40
    cache = home / "hub" / f"models--{repository.replace('/', '--')}"
    file = cache / "snapshots" / commit / name
    file.parent.mkdir(parents=True)
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text(commit, encoding="ascii")
    samples = (int(9000 * math.sin(0.05 * i) * abs(math.sin(i / 5000))) for i in range(72_000))
    with wave.open(str(file), "wb") as output:
        output.setnchannels(1)
        output.setsampwidth(2)
        output.setframerate(24_000)
        output.writeframes(array.array("h", samples).tobytes())


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextmanager
def _served(results: Path, options: list[str], environment: dict[str, str]) -> Iterator[int]:
    log = results.with_name("server.log")
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.sentence_path", str(results), "serve", *options],
            cwd=REPOSITORY,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        try:
            yield urlsplit(options[-1]).port or 0
        except Exception as error:
            error.add_note(log.read_text(encoding="utf-8"))
            raise
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(READY_SECONDS)


def _until_installed(port: int, *voices: str) -> list[str]:
    """Wait for these voices; return the names of all that are installed, the default one first."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=READY_SECONDS) as client:
                _send(client, "describe")
                _, info, _ = next(_events(client))
        except ConnectionError:
            time.sleep(0.1)
            continue
        installed = [voice["name"] for program in info["tts"] for voice in program["voices"] if voice["installed"]]
        if set(installed).issuperset(voices):
            return installed
        time.sleep(0.1)
    raise TimeoutError(f"not installed after {READY_SECONDS:g} s: {voices}")


def _followed(port: int, voice: str, results: Path) -> SentencePath:
    for old in results.glob("*.json"):
        old.unlink()
    _synthesize(port, SENTENCE, voice=voice)
    (path,) = results.glob("*.json")
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    for name in ("files", "threads", "named"):
        record[name] = tuple(record[name])
    return SentencePath(**record)


def _synthesize(port: int, text: str, *, voice: str | None) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=READY_SECONDS) as client:
        _send(client, "describe")
        events = _events(client)
        next(events)
        time.sleep(QUIET_SECONDS)
        _send(client, "synthesize", text=text, **({"voice": {"name": voice}} if voice else {}))
        for kind, data, _ in events:
            if kind == "audio-stop":
                return
            if kind == "error":
                raise RuntimeError(str(data))
    raise ConnectionError("the server closed the connection before audio-stop")


def _send(client: socket.socket, kind: str, **data: object) -> None:
    client.sendall(json.dumps({"type": kind, "data": data}).encode() + b"\n")


def _events(client: socket.socket) -> Iterator[tuple[str, dict[str, Any], bytes]]:
    with client.makefile("rb") as stream:
        while line := stream.readline():
            header = json.loads(line)
            data = header.get("data") or {}
            data |= json.loads(stream.read(header.get("data_length") or 0) or b"{}")
            yield header["type"], data, stream.read(header.get("payload_length") or 0)


class Recorder:
    """The profile hook. It costs little until the bytes of a request arrive."""

    def __init__(self, results: Path) -> None:
        self._results = results
        self._count = 0
        self._voice = ""
        self._active = False
        self._calls: list[tuple[int, CodeType]] = []
        self._named: set[CodeType] = set()

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        if event != "call":
            return
        code = frame.f_code
        if not self._active:
            if code.co_name in {"data_received", "feed_data"}:
                self._start(frame.f_locals.get("data"))
            return
        if code.co_filename.startswith(_PREFIX):
            self._calls.append((threading.get_ident(), code))
            if any(type(value) is str and value == self._voice for value in frame.f_locals.values()):
                self._named.add(code)
        elif code.co_name in {"write", "writelines"} and code.co_filename.endswith("selector_events.py"):
            self._stop(frame.f_locals)

    def _start(self, data: object) -> None:
        if isinstance(data, bytes | bytearray | memoryview) and b'"synthesize"' in bytes(data):
            name = re.search(rb'"name": *"([^"]+)"', bytes(data))
            self._voice = name[1].decode() if name else "\0"
            self._calls, self._named = [], set()
            self._active = True

    def _stop(self, given: dict[str, Any]) -> None:
        data = given.get("data", given.get("list_of_data"))
        chunks = [bytes(data)] if isinstance(data, bytes | bytearray | memoryview) else list(data or ())
        if not any(b'"audio-chunk"' in chunk for chunk in chunks):
            return
        self._active = False
        names = {thread.ident: thread.name for thread in threading.enumerate()}
        last: dict[int, str] = {}
        pairs: Counter[str] = Counter()
        for thread, code in self._calls:
            file = code.co_filename.removeprefix(_PREFIX)
            if last.get(thread, file) != file:
                pairs[f"{last[thread]} > {file}"] += 1
            last[thread] = file
        codes = [code for _, code in self._calls]
        record = {
            "files": sorted({code.co_filename.removeprefix(_PREFIX) for code in codes}),
            "moves": pairs.total(),
            "threads": sorted(str(names.get(thread, thread)) for thread in last),
            "calls": len(codes),
            "functions": len(set(codes)),
            "resolved": sum(RESOLVERS.fullmatch(_place(code)) is not None for code in codes),
            "named": sorted({_place(code) for code in self._named}),
            "pairs": dict(pairs.most_common()),
        }
        self._count += 1
        (self._results / f"{self._count}.json").write_text(json.dumps(record), encoding="utf-8")


_PREFIX = f"{PACKAGE}{os.sep}"


def _place(code: CodeType) -> str:
    return f"{code.co_filename.removeprefix(_PREFIX)}:{code.co_qualname}"


def main() -> None:
    recorder = Recorder(Path(sys.argv[1]))
    sys.argv = ["wyoming-pocket-tts", *sys.argv[2:]]
    from wyoming_pocket_tts.__main__ import main as serve  # noqa: PLC0415  (only in the process that serves)

    threading.setprofile(recorder)
    sys.setprofile(recorder)
    serve()


if __name__ == "__main__":
    main()
