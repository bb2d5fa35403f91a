"""``compare`` as a person runs it, and what its distances mean: real processes, a small model with random weights."""

import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import wave
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile
from numpy.typing import NDArray

from tests.cli.in_process import replace_released_models
from tests.cli.test_pocket_commands import Terminal, recording
from tests.pocket.onnx.bundles import write_small_model
from wyoming_pocket_tts.cli import compare as comparing
from wyoming_pocket_tts.cli import measure
from wyoming_pocket_tts.cli.compare import (
    CandidateResult,
    CompareOptions,
    Comparison,
    advice,
    as_table,
    compare_candidates,
)
from wyoming_pocket_tts.cli.measure import Candidate, GeneratedOutput, Measurement, MeasureTask, run_task
from wyoming_pocket_tts.cli.model_choice import ModelSelection
from wyoming_pocket_tts.cli.spectrograms import OutputDistance, distance, log_spectral_distance_db
from wyoming_pocket_tts.core.errors import ModelError, TtsError
from wyoming_pocket_tts.pocket import registry as configs
from wyoming_pocket_tts.pocket import schema as configs_schema
from wyoming_pocket_tts.pocket.onnx.bundle import ModelBundle, Precision
from wyoming_pocket_tts.pocket.onnx.install import ensure_converted
from wyoming_pocket_tts.pocket.voice_store import ready_made_directory
from wyoming_pocket_tts.pocket.worker_client import UnsupportedPrecision

pytestmark = pytest.mark.timeout(200)  # a process for each candidate, and the machine may be busy
LIMIT_SECONDS = 120.0
TEXT = "The door is open."
FRAME_SECONDS = 0.08


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, its bundles in two precisions, and two recordings."""
    root = tmp_path_factory.mktemp("compare")
    config = write_small_model(root / "model")
    for precision in (Precision.FP32, Precision.INT8):
        ensure_converted(None, config, data_dir=root / "data", precision=precision)
    soundfile.write(root / "voice.wav", recording(seconds=4, pitch_hz=120), 24_000)
    soundfile.write(root / "other.wav", recording(seconds=4, pitch_hz=210), 24_000)
    return root


def wanted(folder: Path, output: Path, *candidates: str) -> CompareOptions:
    return CompareOptions(
        text=TEXT,
        voice=str(folder / "voice.wav"),
        candidates=candidates,
        threads=1,
        output=output,
        data_dir=folder / "data",
    )


def choice(folder: Path) -> ModelSelection:
    return ModelSelection(config=str(folder / "model" / "model.yaml"))


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "wyoming_pocket_tts", "compare", *arguments]


def environment(home: Path) -> dict[str, str]:
    """No network, no settings, and a place of our own for what is only needed meanwhile."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WYOMING_", "HF_"))}
    scratch = home / "scratch"
    scratch.mkdir(exist_ok=True)
    ours = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(home / "hub"), "TMPDIR": str(scratch)}
    return {**kept, **ours, "PYTHONPATH": str(Path(__file__).parents[2])}


def run_command(*arguments: str, at: Path, home: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_SECONDS,
        cwd=at,
        env=environment(home),
    )


def seconds_of(path: Path) -> float:
    with wave.open(str(path)) as audio:
        assert (audio.getnchannels(), audio.getsampwidth(), audio.getframerate()) == (1, 2, 24_000)
        samples = np.frombuffer(audio.readframes(10_000_000), dtype="<i2")
    assert np.abs(samples).max() > 100
    return len(samples) / 24_000


# --- the command


@pytest.mark.slow
def test_a_person_gets_a_table_recordings_a_picture_and_advice(folder: Path, tmp_path: Path) -> None:
    picture = pytest.importorskip("matplotlib.image")
    options = ("--config", "model/model.yaml", "--voice", "voice.wav", "--data-dir", "data", "--threads", "1")
    output = tmp_path / "out"
    done = run_command(
        TEXT, *options, "--precision", "int8", "--precision", "torch", "-o", str(output), at=folder, home=tmp_path
    )
    assert (done.returncode, done.stderr) == (0, "")
    head, fp32, int8, torch, *explained = done.stdout.splitlines()
    assert " ".join(head.split()) == "LOAD FIRST AUDIO SPEED MEMORY LATENTS END CODEC SPEECH LENGTH"
    assert len({len(line) for line in (head, fp32, int8, torch)}) == 1, "columns are aligned"
    assert [line.split()[0] for line in (fp32, int8, torch)] == ["fp32", "int8", "torch"]
    assert fp32.split()[9:13] == ["-"] * 4
    assert torch.split()[9:15] == ["0.00%", "0.000", "0.00", "dB", "0.00", "dB"]
    assert float(fp32.split()[-2]) == pytest.approx(seconds_of(output / "fp32.wav"), abs=0.01)
    assert seconds_of(output / "int8.wav") == pytest.approx(seconds_of(output / "torch.wav"), abs=3 * FRAME_SECONDS)
    assert any(line.startswith("LATENTS, END: ") for line in explained)
    assert explained[-2] == f"In {output}: compare.png, fp32.wav, int8.wav, torch.wav"
    assert explained[-1].startswith("Next: ")
    assert "wyoming-pocket-tts serve --model model/model.yaml --data-dir data --precision " in explained[-1]
    assert sorted(path.name for path in output.iterdir()) == ["compare.png", "fp32.wav", "int8.wav", "torch.wav"]
    assert not list((tmp_path / "scratch").iterdir())
    png = (output / "compare.png").read_bytes()
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", png[16:24])
    pixels = picture.imread(output / "compare.png")[..., :3]
    assert pixels.shape == (height, width, 3)
    vivid = pixels[np.ptp(pixels, axis=-1) > 0.1]  # not the words
    assert len(vivid) > 0.6 * width * height, "spectrograms nearly fill it"
    assert len(np.unique((vivid * 255).astype(int), axis=0)) > 100, "louder and quieter places differ"


def test_a_program_gets_an_object(folder: Path, tmp_path: Path) -> None:
    told: list[str] = []
    compare_candidates(
        wanted(folder, tmp_path, "int8", "int8"), choice(folder), quiet=True, as_json=True, tell=told.append
    )
    (text,) = told
    found = json.loads(text)
    fp32, int8 = found["candidates"]
    assert (found["text"], found["threads"], found["reference"]) == (TEXT, 1, "fp32")
    assert found["choice"] in {"fp32", "int8"}
    assert (fp32["name"], int8["name"]) == ("fp32", "int8")
    assert "latent_error" not in fp32
    assert 0 < int8["latent_error"] < 0.1
    assert 0 < int8["codec_db"] < 3
    for candidate in (fp32, int8):
        assert candidate["problem"] is None
        assert candidate["speech_seconds"] == pytest.approx(seconds_of(tmp_path / f"{candidate['name']}.wav"))
        assert candidate["times_realtime"] == pytest.approx(candidate["speech_seconds"] / candidate["took_seconds"])
        assert 0 < candidate["first_audio_seconds"] <= candidate["took_seconds"]
        assert candidate["load_seconds"] > 0
        assert 30e6 < candidate["peak_bytes"] < 400e6


def test_what_this_machine_cannot_compute_is_named_and_the_others_go_on(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without Matplotlib and PyTorch, too: there is a table, and the recordings."""

    def weak(
        name: str | None, config: configs_schema.ModelConfig, *, precision: Precision, data_dir: Path, **_: object
    ) -> ModelBundle:
        if precision is Precision.MIXED:
            raise ModelError("free some\n  space")
        bundle = ensure_converted(name, config, data_dir=data_dir, precision=precision)
        return replace(bundle, precision=Precision.FP32) if precision is Precision.INT4 else bundle

    ensure_converted(
        None, configs.load_config(folder / "model" / "model.yaml"), data_dir=folder / "data", precision=Precision.INT4
    )
    monkeypatch.setattr(comparing, "ensure_converted", weak)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "torch", None)
    told: list[str] = []
    compare_candidates(
        wanted(folder, tmp_path, "torch", "int4", "mixed", "int8"),
        choice(folder),
        quiet=True,
        as_json=False,
        tell=told.append,
    )
    lines = told[0].splitlines()
    assert lines[1].startswith("fp32 ")
    assert lines[2] == "mixed  not here: free some space"
    assert lines[3].startswith("int8 ")
    assert lines[4] == "int4   not here: this machine cannot compute it; serve would use fp32 instead"
    assert lines[5] == "torch  not here: PyTorch is not installed: pip install 'wyoming-pocket-tts[torch]'"
    assert told[1].endswith("fp32.wav, int8.wav. For a picture of them: pip install 'wyoming-pocket-tts[compare]'")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fp32.wav", "int8.wav"]


def test_ctrl_c_leaves_no_process_and_nothing_half_done(folder: Path, tmp_path: Path) -> None:
    environment_there = environment(tmp_path)
    terminal = Terminal()
    options = ("--config", "model/model.yaml", "--voice", "voice.wav", "--data-dir", "data", "--precision", "int8")
    process = subprocess.Popen(
        command("And so on. " * 2000, *options, "-o", str(tmp_path / "out")),
        stdout=subprocess.PIPE,
        stderr=terminal.theirs,
        cwd=folder,
        env=environment_there,
    )
    os.close(terminal.theirs)
    try:
        terminal.read_until("fp32: speaking ...")
        children = psutil.Process(process.pid).children()
        assert children
        process.send_signal(signal.SIGINT)
        terminal.read_to_end()
        stdout, _ = process.communicate(timeout=LIMIT_SECONDS)
    finally:
        process.kill()
        process.wait()
        terminal.close()
    assert process.returncode == 130
    assert stdout == b""
    assert "Traceback" not in terminal.text
    assert not psutil.wait_procs(children, timeout=LIMIT_SECONDS)[1]
    assert not list((tmp_path / "scratch").iterdir())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("Hi.", "--precision", "int2"), 2, "--precision is 'int2': possible are fp32, mixed, int8, int4, torch"),
        (("  ",), 1, "the text holds nothing to say"),
        (("Hi.", "--language", "klingon"), 2, "there is no model 'klingon'"),
        (("Hi.", "--voice", "albaa"), 1, "there is no ready-made voice 'albaa'"),
        (("Hi.", "--config", "model/model.yaml", "-o", "voice.wav"), 1, "choose another directory with --output"),
        (("Hi.", "--config", "model/model.yaml", "--voice", "gone.wav", "--data-dir", "data"), 1, "gone.wav"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(
    folder: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    output = () if "-o" in arguments else ("-o", str(tmp_path / "out"))
    done = run_command(*arguments, *output, at=folder, home=tmp_path)
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert (done.returncode, done.stdout) == (code, "")


# --- one candidate


def a_job(folder: Path, candidate: Candidate, result: Path, **more: object) -> MeasureTask:
    """Measure a candidate with the voice that lies beside the result."""
    config = configs.load_config(folder / "model" / "model.yaml")
    precision = candidate.precision
    assert precision is not None
    given = {
        "task": "measure",
        "candidate": candidate,
        "bundle": ensure_converted(None, config, data_dir=folder / "data", precision=precision).directory,
        "name": None,
        "config": config,
        "steps": 1,
        "voice": str(result.with_name("voice.safetensors")),
        "text": TEXT,
        "threads": 1,
        "result": result,
    }
    return MeasureTask.model_validate(given | more)


def hear(folder: Path, name: str, directory: Path) -> Path:
    """Make a voice of one of the recordings."""
    result = directory / f"{name}.safetensors"
    job = a_job(folder, Candidate.FP32, result, task="voice", voice=str(folder / f"{name}.wav"))
    assert run_task(job, show=_ignored, warned=set()) is None
    return result


@pytest.mark.slow
def test_the_same_is_at_no_distance_and_fewer_bits_are_nearer_than_another_voice(folder: Path, tmp_path: Path) -> None:
    hear(folder, "voice", tmp_path)
    other_voice = str(hear(folder, "other", tmp_path))
    doing: list[str] = []
    reference = tmp_path / "fp32"
    assert isinstance(run_task(a_job(folder, Candidate.FP32, reference), show=doing.append, warned=set()), Measurement)
    assert doing == ["loading", "speaking", "comparing step by step"]

    def led(candidate: Candidate, **more: object) -> OutputDistance:
        job = a_job(folder, candidate, tmp_path / "led", **{"reference": reference, **more})
        run_task(job, show=_ignored, warned=set())
        return distance(GeneratedOutput.read(reference), GeneratedOutput.read(job.result))

    assert led(Candidate.FP32) == OutputDistance(latent_error=0, eos_error=0, codec_db=0, speech_db=0)
    int8, other = led(Candidate.INT8), led(Candidate.FP32, voice=other_voice)
    assert 0 < int8.latent_error < other.latent_error
    assert int8.eos_error > 0
    assert int8.codec_db > 0
    assert other.codec_db == 0, "the codec does not know the voice"


def test_each_step_reads_what_the_reference_made_not_what_it_made_itself(folder: Path, tmp_path: Path) -> None:
    hear(folder, "voice", tmp_path)
    run_task(a_job(folder, Candidate.FP32, tmp_path / "fp32"), show=_ignored, warned=set())
    truth = GeneratedOutput.read(tmp_path / "fp32")
    latents = truth.latents.copy()
    latents[2] *= 2
    replace(truth, latents=latents).write(tmp_path / "lie")
    run_task(a_job(folder, Candidate.FP32, tmp_path / "led", reference=tmp_path / "lie"), show=_ignored, warned=set())
    led = GeneratedOutput.read(tmp_path / "led")
    np.testing.assert_array_equal(led.latents[:3], truth.latents[:3])  # the third is its answer to the true second
    assert np.abs(led.latents[3] - truth.latents[3]).max() > 1e-3, "it has read the lie"
    frame = len(truth.decoded) // len(truth.latents)
    np.testing.assert_array_equal(led.decoded[: 2 * frame], truth.decoded[: 2 * frame])
    assert np.abs(led.decoded - truth.decoded).max() > 1e-3
    np.testing.assert_array_equal(led.audio, truth.audio)  # nobody leads what it says by itself


def test_a_released_model_has_its_ready_made_voice(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configs.load_config(folder / "model" / "model.yaml")
    state = hear(folder, "voice", tmp_path)
    asked: list[tuple[str, list[str]]] = []

    def bring(model: str, voices: list[str], *, data_dir: Path, **_: object) -> None:
        asked.append((model, voices))
        directory = ready_made_directory(data_dir, model)
        directory.mkdir(parents=True)
        shutil.copy(state, directory / f"{voices[0]}.safetensors")

    replace_released_models(monkeypatch, config)
    monkeypatch.setattr(comparing, "download_voices", bring)
    told: list[str] = []
    what = replace(wanted(folder, tmp_path / "out", "fp32"), voice=None, text=None, data_dir=tmp_path / "data")
    compared = compare_candidates(what, ModelSelection(language="german"), quiet=True, as_json=False, tell=told.append)
    assert asked == [("german", ["juergen"])]
    assert (compared.model, compared.voice) == ("german", "juergen")
    assert "Abend" in compared.text
    assert told[-1].endswith("wyoming-pocket-tts serve --model german --precision fp32")


@pytest.mark.parametrize(
    ("program", "kind", "message"),
    [
        ("os.kill(os.getpid(), signal.SIGILL)", UnsupportedPrecision, "int8 does not run on this processor: .* SIGILL"),
        ("os.kill(os.getpid(), signal.SIGKILL)", ModelError, "int8 was killed, most likely because memory ran out"),
        ("sys.exit('no more')", ModelError, r"int8 ended unexpectedly \(status 1\): no more"),
    ],
)
def test_a_process_that_dies_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, kind: type[TtsError], message: str
) -> None:
    (tmp_path / "dies.py").write_text(f"import os, signal, sys\nsys.stdin.readline()\n{program}\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(measure, "_MODULE", "dies")
    config = configs.released_model("english")
    job = MeasureTask(
        task="measure",
        candidate=Candidate.INT8,
        bundle=tmp_path,
        name=None,
        config=config,
        steps=1,
        voice="",
        text=TEXT,
        threads=1,
        result=tmp_path / "result",
    )
    with pytest.raises(kind, match=message):
        run_task(job, show=_ignored, warned=set())


def _ignored(_: str) -> None:
    pass


# --- what the figures mean


def noise(seconds: float) -> NDArray[np.float32]:
    return 0.1 * np.random.default_rng(0).standard_normal(int(24_000 * seconds), dtype=np.float32)


def test_the_spectral_distance_is_in_decibels() -> None:
    audio = noise(0.5)
    assert log_spectral_distance_db(audio, audio) == 0
    assert log_spectral_distance_db(audio, audio * np.float32(0.5)) == pytest.approx(6.02, abs=0.05)
    assert log_spectral_distance_db(audio, -audio) == 0, "nobody hears the sign"
    assert log_spectral_distance_db(audio[:100], audio[:100] * np.float32(0.5)) == pytest.approx(6.02, abs=0.1)
    silence = np.zeros(4000, np.float32)
    assert log_spectral_distance_db(silence, silence) == 0
    quiet = np.concatenate([audio, silence]), np.concatenate([audio, silence + 1e-6])
    assert log_spectral_distance_db(*quiet) == pytest.approx(0, abs=1e-3), "what is far below the loudest is silence"


def outcome(name: str, speed: float, *, latent_error: float | None = None, codec_db: float = 0.5) -> CandidateResult:
    figures = Measurement(
        load_seconds=0.1, first_audio_seconds=0.02, took_seconds=1 / speed, speech_seconds=1.0, peak_bytes=None
    )
    off = None if latent_error is None else OutputDistance(latent_error, 0.01, codec_db, None)
    return CandidateResult(Candidate(name), figures, off)


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ([("int8", 9, 0.01, 0.5), ("int4", 12, 0.2, 0.5)], "int8"),
        ([("mixed", 6, 0.01, 0.0), ("int8", 9, 0.01, 4.0)], "mixed"),
        ([("int8", 3, 0.01, 0.5), ("torch", 20, 0.0, 0.0)], "fp32"),
    ],
)
def test_the_fastest_that_is_near_is_advised(others: list[tuple[str, float, float, float]], expected: str) -> None:
    rows = [outcome(name, speed, latent_error=error, codec_db=codec) for name, speed, error, codec in others]
    broken = CandidateResult(Candidate.INT4, problem="it broke")
    comparison = Comparison("german", "alba", TEXT, 1, (outcome("fp32", 4), *rows, broken))
    assert comparison.choice == expected
    line = advice(comparison, directory="out", serve=["wyoming-pocket-tts", "serve", "--model", "german"])
    assert line.endswith(f"wyoming-pocket-tts serve --model german --precision {expected}")
    assert ("listen to out/" in line) == (expected != "fp32")
    assert as_table(comparison.outcomes).splitlines()[len(rows) + 2].endswith("  not here: it broke")


def test_where_nothing_can_be_measured_nothing_is_left(tmp_path: Path) -> None:
    output = tmp_path / "new" / "comparison"
    done = run_command(TEXT, "-o", str(output), at=tmp_path, home=tmp_path)
    assert done.returncode == 1
    assert "HF_HUB_OFFLINE" in done.stderr
    assert not output.parent.exists()


def test_a_directory_that_was_there_stays(tmp_path: Path) -> None:
    output = tmp_path / "comparison"
    output.mkdir()
    assert run_command(TEXT, "-o", str(output), at=tmp_path, home=tmp_path).returncode == 1
    assert output.is_dir()
