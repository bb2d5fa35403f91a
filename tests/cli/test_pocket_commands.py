"""The commands for Pocket TTS as a person runs them: real processes, a small model with random weights, real files."""

import io
import json
import os
import pty
import signal
import subprocess
import sys
import threading
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.cli.in_process import run as run_here
from tests.pocket.random_models import changed, reduced
from tests.pocket.tokenizers import tokenizer_files
from wyoming_pocket_tts.cli import generate as generating
from wyoming_pocket_tts.cli.console import StatusLine
from wyoming_pocket_tts.cli.generate import GenerateOptions, GenerationOptions, generate_speech
from wyoming_pocket_tts.cli.model_choice import ModelSelection
from wyoming_pocket_tts.config.schema import DefaultVoiceSettings, Settings
from wyoming_pocket_tts.core.types import Synthesizer
from wyoming_pocket_tts.pocket import registry as configs
from wyoming_pocket_tts.pocket.random_model import write_random_model
from wyoming_pocket_tts.pocket.voice_state import read_state

pytestmark = pytest.mark.timeout(200)  # every process imports PyTorch, and the machine may be busy
LIMIT_SECONDS = 90.0
TEXT = "Dinner is ready."
AT_ONCE = ("--eos-threshold", "-99", "--temperature", "0")
"""Each chunk has 11 frames: the 7th is the first that may be the end, and after it come 5 for so short a text."""
FRAME_SECONDS = 0.08
ROUNDING = 2
"""Of 16 bits: how many frames wait for the decoder, and are decoded in one call, is a matter of timing."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models, recordings and a voice; for reading."""
    root = tmp_path_factory.mktemp("pocket")
    small = reduced(configs.released_model("english_2m_2026-10"), layers=2)
    tokenizer = tokenizer_files().sentencepiece
    write_random_model(root / "model", small, seed=1, tokenizer=tokenizer)
    matching = changed(small, {"flow_lm": {"flow": {"type": "flow_matching"}}})
    write_random_model(root / "matching", matching, seed=1, tokenizer=tokenizer)
    soundfile.write(root / "voice.wav", recording(seconds=4, pitch_hz=120), 24_000)
    done = run("export-voice", "voice.wav", "voice.safetensors", "--config", "model/model.yaml", at=root)
    assert done.returncode == 0, done.stderr
    return root


def recording(*, seconds: float, pitch_hz: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Something like vowels with pauses: nothing to complain about."""
    time = np.arange(int(24_000 * seconds)) / 24_000
    voiced = sum(np.sin(2 * np.pi * pitch_hz * k * time) / k for k in range(1, 8))
    return np.asarray(0.1 * voiced * (np.sin(2 * np.pi * 2 * time) > -0.5))


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "wyoming_pocket_tts", *arguments]


def environment(home: Path, **more: str) -> dict[str, str]:
    """No network, nobody's cache, no settings."""
    ours = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(home / "hub"), "XDG_CACHE_HOME": str(home / "cache")}
    here = str(Path(__file__).parents[2])
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WYOMING_", "HF_"))}
    return {**kept, **ours, "PYTHONPATH": here, **more}


def run(*arguments: str, at: Path, stdin: str = "", **variables: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command(*arguments),
        input=stdin.encode(),
        capture_output=True,
        check=False,
        timeout=LIMIT_SECONDS,
        cwd=at,
        env=environment(at, **variables),
    )


def samples_of(wav: Path | bytes) -> np.ndarray[Any, np.dtype[np.int16]]:
    with wave.open(io.BytesIO(wav) if isinstance(wav, bytes) else str(wav)) as audio:
        assert (audio.getnchannels(), audio.getsampwidth(), audio.getframerate()) == (1, 2, 24_000)
        return np.frombuffer(audio.readframes(10_000_000), dtype="<i2")


@pytest.mark.slow
def test_a_model_of_ones_own_speaks_with_a_recording_and_with_its_voice(folder: Path, tmp_path: Path) -> None:
    """Both ways are the same voice, so they say the same; upstream's names of options work."""
    options = ("--config", "model/model.yaml", *AT_ONCE)
    heard, kept = tmp_path / "heard.wav", tmp_path / "kept.wav"
    first = run("generate", TEXT, "--voice", "voice.wav", *options, "-o", str(heard), at=folder)
    assert (first.returncode, first.stderr) == (0, b"")
    assert b"0.88 s of speech by 'voice.wav' in" in first.stdout
    second = run(
        "generate", "--text", TEXT, "--voice", "voice.safetensors", *options, "--output-path", str(kept), at=folder
    )
    assert second.returncode == 0, second.stderr
    np.testing.assert_allclose(samples_of(heard), samples_of(kept), atol=ROUNDING)
    assert len(samples_of(heard)) == 11 * 1920
    assert np.abs(samples_of(heard)).max() > 100
    assert sorted(path.name for path in tmp_path.iterdir()) == ["heard.wav", "kept.wav"]


def test_it_is_a_filter_too_and_a_seed_makes_the_noise_the_same(folder: Path) -> None:
    options = ("--config", "model/model.yaml", "--voice", "voice.safetensors", "--eos-threshold", "-99", "-o", "-")
    spoken = [
        run_here("generate", "-", *options, "--temperature", "0.5", "--seed", seed, at=folder, stdin=TEXT.encode())
        for seed in ("1", "1", "2")
    ]
    assert [done.returncode for done in spoken] == [0, 0, 0], spoken[0].stderr
    first, again, other = (samples_of(done.stdout) for done in spoken)
    np.testing.assert_allclose(first, again, atol=ROUNDING)
    assert np.abs(first.astype(int) - other).max() > 100 * ROUNDING
    assert b"in -" in spoken[0].stderr
    assert len(samples_of(spoken[0].stdout)) == 11 * 1920


def test_options_of_speech_reach_the_model(folder: Path) -> None:
    options = ("--config", "model/model.yaml", "--voice", "voice.safetensors", *AT_ONCE, "-o", "-")
    done = run_here("generate", TEXT, *options, "--frames-after-eos", "1", at=folder)
    assert done.returncode == 0, done.stderr
    assert len(samples_of(done.stdout)) == 7 * 1920
    sentences = "One is here. Two is here. Three is here."
    apart, together = (
        samples_of(run_here("generate", sentences, *options, "--max-tokens", "8", *more, at=folder).stdout)
        for more in ((), ("--continuity", "0.4"))
    )
    assert len(apart) == len(together) == 3 * 11 * 1920
    np.testing.assert_allclose(apart[: 11 * 1920], together[: 11 * 1920], atol=ROUNDING)
    assert np.abs(apart.astype(int) - together).max() > 100 * ROUNDING, "the second chunk heard the first"


def test_a_flow_matching_model_gets_the_steps_that_it_needs(folder: Path) -> None:
    options = ("--config", "matching/model.yaml", "--voice", "voice.wav", *AT_ONCE, "-o", "-")
    recommended = run_here("generate", TEXT, *options, at=folder)
    assert recommended.returncode == 0, recommended.stderr
    assert b"sampler_decode_steps" not in recommended.stderr
    told = run_here("generate", TEXT, *options, "--sampler-decode-steps", "16", at=folder)
    np.testing.assert_allclose(samples_of(recommended.stdout), samples_of(told.stdout), atol=ROUNDING)
    older = run_here("generate", TEXT, *options, "--lsd-decode-steps", "1", at=folder)
    assert older.returncode == 0
    assert b"now called sampler_decode_steps" in older.stderr
    assert b"needs 16 sampler_decode_steps" in older.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("Hi.", "--language", "klingon"), 2, "there is no model 'klingon'"),
        (("Hi.", "--language", "english", "--config", "model/model.yaml"), 2, "exclude each other"),
        (("Hi.", "--text", "Hi."), 2, "give the text once"),
        ((), 2, "there is no text"),
        (("Hi.", "--voice", "albaa", "--language", "english"), 1, "there is no ready-made voice 'albaa' (did you mean"),
        (("Hi.", "--noise-clamp", "0"), 2, "--noise-clamp is 0"),
        (("Hi.", "--temperature", "inf"), 2, "--temperature is inf"),
        (("Hi.", "--eos-threshold", "nan"), 2, "--eos-threshold is nan"),
        (("  ", "--voice", "alba"), 1, "the text holds nothing to say"),
        (("Hi.", "--voice", "alba", "--device", "cuda:9"), 2, "the device 'cuda:9' cannot be used here"),
        (("Hi.", "--voice", "alba", "--device", "toaster"), 2, "there are: cpu"),
        (("Hi.", "--checkpoint", "a.pt"), 2, "training checkpoints are pickles"),
        (("Hi.", "--config", "model/model.yaml", "--voice", "gone.wav"), 1, "gone.wav: there is no such file"),
        (("Hi.", "--config", "model/model.yaml", "--voice", "alba"), 1, "use a recording, for example hf://"),
        (("Hi.", "--config", "gone.yaml"), 2, "gone.yaml"),
        (("Hi.", "--language", "english"), 1, "HF_HUB_OFFLINE"),
    ],
)
def test_what_is_wrong_is_said_in_a_line_and_leaves_nothing_behind(
    folder: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    done = run("generate", *arguments, "-o", str(tmp_path / "out.wav"), "-q", at=folder)
    assert message in " ".join(done.stderr.decode().split())
    assert (done.returncode, done.stdout) == (code, b"")
    assert b"Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_without_pytorch_onnx_runtime_does_it(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['torch'] = None\n")
    environment = {
        "PYTHONPATH": f"{tmp_path}{os.pathsep}{Path(__file__).parents[2]}",
        "XDG_DATA_HOME": str(tmp_path / "data"),
    }
    model, voice, wav = ("--config", "model/model.yaml"), tmp_path / "a.safetensors", tmp_path / "out.wav"
    exported = run("export-voice", "voice.wav", str(voice), *model, at=folder, **environment)
    assert exported.returncode == 0, exported.stderr
    for seed in ("1", "1", "2"):
        spoken = run(
            "generate", TEXT, *model, "--voice", str(voice), "--temperature", "0.6", "--seed", seed,
            "-o", str(wav.with_stem(seed)), at=folder, **environment,
        )  # fmt: skip
        assert spoken.returncode == 0, spoken.stderr
        wav.with_stem(seed).rename(wav.with_stem(f"{seed}{len(list(tmp_path.glob('*.wav')))}"))
    first, again, other = (samples_of(path).astype(int) for path in sorted(tmp_path.glob("*.wav")))
    assert np.array_equal(first, again)
    assert len(first) != len(other) or np.abs(first - other).max() > 100
    refused = run("generate", TEXT, *model, "--device", "cuda", at=folder, **environment)
    assert refused.returncode == 2
    assert b"pip install 'wyoming-pocket-tts[torch]'" in refused.stderr


@pytest.mark.parametrize(
    ("voice", "default_voice", "model", "options"),
    [
        ("alba", None, ModelSelection(), GenerationOptions()),
        ("Alba", None, ModelSelection(), GenerationOptions()),
        ("a.wav", None, ModelSelection(), GenerationOptions()),
        ("hf://owner/repo/voice", None, ModelSelection(), GenerationOptions()),
        (None, "alba", ModelSelection(), GenerationOptions()),
        (None, "kokoro-ray", ModelSelection(language="french"), GenerationOptions()),
        (None, None, ModelSelection(device="cpu"), GenerationOptions()),
        (None, None, ModelSelection(quantize=True), GenerationOptions()),
        (None, None, ModelSelection(), GenerationOptions(seed=0)),
        (None, None, ModelSelection(temperature=0.0), GenerationOptions()),
    ],
)
def test_pocket_tts_speaks_when_something_asks_for_it(
    monkeypatch: pytest.MonkeyPatch,
    voice: str | None,
    default_voice: str | None,
    model: ModelSelection,
    options: GenerationOptions,
) -> None:
    asked: list[tuple[str | None, str | None]] = []

    def note(text: str | None, speaker: str | None, *_: object, **__: object) -> str:
        asked.append((text, speaker))
        return "spoken"

    monkeypatch.setattr(generating, "generate_with_pocket", note)
    settings = Settings(voice=DefaultVoiceSettings(default=default_voice))
    wanted = GenerateOptions(text=None, voice=voice, model=model, generation=options, output="-", settings=settings)
    assert generate_speech(wanted, load_embedded=_no_embedded_voice, quiet=True) == "spoken"
    assert asked == [(None, None if default_voice == "kokoro-ray" else voice or default_voice)]


@pytest.mark.parametrize("voice", [None, "kokoro-ray", "nobody"])
def test_else_the_embedded_voice_does(voice: str | None) -> None:
    settings = Settings(voice=DefaultVoiceSettings(default="kokoro-selma"))
    wanted = GenerateOptions(
        text="Hi.", voice=voice, model=ModelSelection(), generation=GenerationOptions(), output="-", settings=settings
    )
    with pytest.raises(_EmbeddedError):
        generate_speech(wanted, load_embedded=_no_embedded_voice, quiet=True)


class _EmbeddedError(Exception):
    pass


def _no_embedded_voice() -> Synthesizer:
    raise _EmbeddedError


def test_every_language_has_a_voice_and_words_of_its_own() -> None:
    texts = {
        name: generating.default_text(ModelSelection(language=name).language_code()) for name in configs.model_names()
    }
    assert len(set(texts.values())) == len({configs.language(name) for name in configs.model_names()}) == 7
    assert "evening" in generating.default_text(ModelSelection().language_code())
    assert "Abend" in texts["german_24l"]
    assert ModelSelection(language="german_24l").default_voice() == configs.default_voice("german_24l") == "juergen"
    assert ModelSelection().default_voice() == "alba"
    for own in (ModelSelection(config="a.yaml"), ModelSelection(language="german", checkpoint="a.safetensors")):
        assert own.default_voice() == configs.voice_audio_source("alba")


# --- a person at a terminal


class Terminal:
    """Standard error of a process, as a terminal that somebody reads."""

    def __init__(self) -> None:
        self._ours, self.theirs = pty.openpty()
        self.text = ""

    def read_until(self, wanted: str) -> None:
        while wanted not in self.text:
            self.text += os.read(self._ours, 4096).decode()

    def read_to_end(self) -> None:
        """Until nobody holds the other side, which Linux calls an error."""
        try:
            while piece := os.read(self._ours, 4096):
                self.text += piece.decode()
        except OSError:
            pass

    def close(self) -> None:
        os.close(self._ours)


@contextmanager
def at_terminal(*arguments: str, at: Path) -> Iterator[tuple["subprocess.Popen[bytes]", Terminal]]:
    terminal = Terminal()
    process = subprocess.Popen(
        command(*arguments), stderr=terminal.theirs, stdout=subprocess.PIPE, cwd=at, env=environment(at)
    )
    os.close(terminal.theirs)
    try:
        yield process, terminal
    finally:
        process.kill()
        process.communicate()
        terminal.close()


def test_ctrl_c_ends_the_speech_and_leaves_what_was_there(folder: Path, tmp_path: Path) -> None:
    wav = tmp_path / "out.wav"
    wav.write_bytes(b"old")
    long_text = "This goes on and on. " * 500
    options = ("--config", "model/model.yaml", "--voice", "voice.safetensors", "-o", str(wav))
    with at_terminal("generate", long_text, *options, at=folder) as (process, terminal):
        terminal.read_until(" s of speech, ")
        process.send_signal(signal.SIGINT)
        terminal.read_to_end()
        stdout, _ = process.communicate(timeout=LIMIT_SECONDS)
    assert (process.returncode, stdout) == (130, b"")
    assert "Traceback" not in terminal.text
    assert "Fatal" not in terminal.text
    assert wav.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [wav]


def test_an_interruption_joins_the_thread_that_generates(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(self: StatusLine, text: str) -> None:
        if "s of speech" in text:
            assert "pocket-latents" in [thread.name for thread in threading.enumerate()]
            raise KeyboardInterrupt

    monkeypatch.setattr(StatusLine, "show", interrupt)
    choice = ModelSelection(config=str(folder / "model" / "model.yaml"))
    voice = str(folder / "voice.safetensors")
    with pytest.raises(KeyboardInterrupt) as interrupted:  # its frames live on: nobody else closes the stream
        generating.generate_with_pocket(
            TEXT * 50, voice, choice, GenerationOptions(), output=str(tmp_path / "out.wav"), quiet=True
        )
    assert "pocket-latents" not in [thread.name for thread in threading.enumerate()]
    assert interrupted.tb is not None
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_person_sees_how_far_it_is_and_what_to_do_next(folder: Path, tmp_path: Path) -> None:
    options = ("--config", "model/model.yaml", "--voice", "voice.wav", *AT_ONCE, "-o", str(tmp_path / "out.wav"))
    with at_terminal("generate", TEXT, *options, at=folder) as (process, terminal):
        terminal.read_to_end()
        stdout, _ = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == 0
    assert "Loading the model" in terminal.text
    assert "0.9 s of speech, " in terminal.text
    assert terminal.text.endswith("\x1b[K"), "nothing stays"
    assert b"0.88 s of speech by 'voice.wav'" in stdout
    assert b"\nNext: " in stdout
    with at_terminal("generate", TEXT, *options, "--quiet", at=folder) as (process, terminal):
        terminal.read_to_end()
        stdout, _ = process.communicate(timeout=LIMIT_SECONDS)
    assert (process.returncode, stdout, terminal.text) == (0, b"", "")


# --- export-voice


def test_a_voice_is_exported_and_used_as_it_is_said(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "made" / "me.safetensors"
    done = run("export-voice", "voice.wav", str(target), "--config", "model/model.yaml", at=folder)
    assert (done.returncode, done.stderr) == (0, b"")
    assert f"generate --config model/model.yaml --voice {target}" in done.stdout.decode()
    assert read_state(target).length == read_state(folder / "voice.safetensors").length


@pytest.mark.slow
def test_recordings_are_cut_to_30_seconds_unless_told_otherwise(folder: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "long.wav", recording(seconds=40, pitch_hz=110), 24_000)
    long, whole = tmp_path / "cut.safetensors", tmp_path / "whole.safetensors"
    options = ("--config", "model/model.yaml")
    assert run_here("export-voice", str(tmp_path / "long.wav"), str(long), *options, at=folder).returncode == 0
    done = run_here("export-voice", str(tmp_path / "long.wav"), str(whole), *options, "--no-truncate", at=folder)
    assert done.returncode == 0, done.stderr
    assert b"wyoming-pocket-tts: long.wav: The recording is 40 s long." in done.stderr
    assert 30 / FRAME_SECONDS <= read_state(long).length <= 30 / FRAME_SECONDS + 3
    assert 40 / FRAME_SECONDS <= read_state(whole).length <= 40 / FRAME_SECONDS + 3


@pytest.mark.slow
def test_a_folder_is_exported_file_by_file_and_kept_up_to_date(folder: Path, tmp_path: Path) -> None:
    recordings, voices = tmp_path / "recordings", tmp_path / "voices"
    recordings.mkdir()
    soundfile.write(recordings / "anna.wav", recording(seconds=4, pitch_hz=200), 24_000)
    soundfile.write(recordings / "bert.flac", recording(seconds=2, pitch_hz=100), 24_000)
    (recordings / "broken.MP3").write_bytes(b"no audio at all")
    (recordings / "notes.txt").write_text("not a recording")
    options = (str(recordings), str(voices), "--config", "model/model.yaml")

    done = run_here("export-voice", *options, at=folder)
    assert done.returncode == 1
    lines = done.stdout.decode().splitlines()
    assert lines[0] == f"[1/3] anna.wav -> {voices}/anna.safetensors"
    assert lines[1] == f"[2/3] bert.flac -> {voices}/bert.safetensors"
    assert lines[2] == f"{voices}: 2 exported, 1 failed"
    assert "generate --config model/model.yaml --voice" in lines[3]
    errors = done.stderr.decode()
    assert "bert.flac: The recording has" in errors, "advice on what is too short"
    assert "wyoming-pocket-tts: [3/3]" in errors
    assert "broken.MP3: cannot be read as audio" in errors
    assert errors.endswith("1 of 3 recordings could not be exported\n")
    assert sorted(path.name for path in voices.iterdir()) == ["anna.safetensors", "bert.safetensors"]

    (recordings / "broken.MP3").unlink()
    os.utime(voices / "bert.safetensors", (1, 1))
    before = (voices / "anna.safetensors").stat().st_mtime_ns
    again = run_here("export-voice", *options, at=folder)
    assert again.returncode == 0, again.stderr
    assert "1 exported, 1 kept (newer than the recording)" in again.stdout.decode()
    assert (voices / "anna.safetensors").stat().st_mtime_ns == before
    assert (voices / "bert.safetensors").stat().st_mtime > 1

    forced = run("export-voice", *options, "--force", "--quiet", at=folder)
    assert (forced.returncode, forced.stdout, forced.stderr) == (0, b"", b"")
    assert (voices / "anna.safetensors").stat().st_mtime_ns > before


def test_voices_of_another_model_are_made_anew(folder: Path, tmp_path: Path) -> None:
    other = reduced(configs.released_model("english_2m_2026-10"), layers=2)
    write_random_model(tmp_path / "other", other, seed=2, tokenizer=tokenizer_files().sentencepiece)
    (tmp_path / "recordings").mkdir()
    soundfile.write(tmp_path / "recordings" / "anna.wav", recording(seconds=4, pitch_hz=200), 24_000)
    for config in (folder / "model" / "model.yaml", tmp_path / "other" / "model.yaml"):
        done = run_here("export-voice", "recordings", "voices", "--config", str(config), at=tmp_path)
        assert "1 exported" in done.stdout.decode(), done.stderr


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("voice.wav", "voice.wave", "ends with .safetensors"),
        ("empty", "voices", "holds no recordings"),
        ("twins", "voices", "one.flac and one.wav would both become one.safetensors"),
        ("twins", "voice.wav", "is a file; the voices of the folder"),
    ],
)
def test_source_and_target_must_fit_together(tmp_path: Path, source: str, target: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "twins").mkdir()
    for name in ("voice.wav", "twins/one.wav", "twins/one.flac"):
        (tmp_path / name).touch()
    done = run("export-voice", source, target, at=tmp_path)
    assert message in done.stderr.decode()
    assert (done.returncode, done.stdout) == (2, b"")


# --- models


def test_models_are_listed_for_people_and_programs(tmp_path: Path) -> None:
    table = run("models", at=tmp_path).stdout.decode()
    columns = ["NAME", "LANGUAGE", "PARAMETERS", "TYPE", "VOICE", "INSTALLED", "CONVERTED"]
    assert table.splitlines()[0].split() == columns
    for name in configs.model_names():
        assert f"\n{name} " in table
    assert "english_18m_2026-10       en        18 M        drifting   alba      no" in table
    for voice in configs.voice_names():
        assert voice in table
    listed = json.loads(run("models", "--json", at=tmp_path).stdout)
    assert [model["name"] for model in listed["models"]] == list(configs.model_names())
    assert listed["voices"] == list(configs.voice_names())


def test_models_that_are_on_this_machine_are_marked(tmp_path: Path) -> None:
    """The hub's cache as its library lays it out; nothing is loaded, so the files may be empty."""
    dutch, french = configs.released_model("dutch"), configs.released_model("french")
    for source in (dutch.weights_path, dutch.flow_lm.lookup_table.tokenizer_path):
        _put_into_cache(tmp_path / "hub", source)
    for source in (french.weights_path_without_voice_cloning, french.flow_lm.lookup_table.tokenizer_path):
        _put_into_cache(tmp_path / "hub", source)
    _put_into_cache(tmp_path / "hub", configs.released_model("german").weights_path)  # its tokenizer is missing
    listed = json.loads(run("models", "--json", at=tmp_path).stdout)
    installed = {model["name"]: model["voice_cloning"] for model in listed["models"] if model["installed"]}
    assert installed == {"dutch": True, "french": False}


def _put_into_cache(home: Path, source: str | None) -> None:
    assert source is not None
    place, _, revision = source.removeprefix("hf://").partition("@")
    owner, name, path = place.split("/", 2)
    file = home / "hub" / f"models--{owner}--{name}" / "snapshots" / revision / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
