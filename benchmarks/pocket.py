"""Our engines against the package pocket-tts: the same files, in turn, each in a process of its own.

    python -m benchmarks.pocket                       # the model english
    python -m benchmarks.pocket --model all --rounds 3 --kinds peer torch onnx-int8

Weights are random (their values do not change the time), shapes those of the released models; a voice prompt of 10 s,
one text of 20 words, temperature 0. Machines are noisy: read the ratios, medians over rounds in which both ran.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

TEXT = (
    "Good evening. The lights in the living room are off, the front door is locked, and it will rain tomorrow morning."
)
VOICE_SECONDS = 10
VOICE_FILE = "voice.safetensors"
ONNX_THREADS = 2
FIGURES = {
    "load_seconds": "load, s",
    "listen_seconds": "voice, s",
    "first_audio_ms": "first audio, ms",
    "times_real_time": "speed, x real time",
    "peak_mb": "peak memory, MB",
}
Figures = dict[str, float]
KINDS = ("peer", "torch", "torch-int8", "onnx-fp32", "onnx-mixed", "onnx-int8", "onnx-int4")


def measure(kind: str, config: Path, *, voice_file: bool) -> Figures:
    """Run in a process of its own: load, hear or read a voice, speak twice; the second time counts."""
    started = time.perf_counter()
    model = _load(kind, config)
    loaded = time.perf_counter()
    listened: list[float] = []
    for name in (VOICE_FILE,) if voice_file else ("voice.wav", "voice2.wav"):
        start = time.perf_counter()
        voice = model.get_state_for_audio_prompt(config.with_name(name))
        listened.append(time.perf_counter() - start)
    for _ in range(2):
        start = time.perf_counter()
        first, samples = 0.0, 0
        for piece in model.generate_audio_stream(voice, TEXT):
            first = first or time.perf_counter() - start
            samples += len(piece)
        spent = time.perf_counter() - start
    return {
        "load_seconds": loaded - started,
        "listen_seconds": min(listened),
        "first_audio_ms": first * 1e3,
        "times_real_time": samples / model.sample_rate / spent,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _load(kind: str, config: Path) -> Any:  # noqa: ANN401  (ours or the peer's)
    if kind == "peer":
        from pocket_tts import TTSModel as Peer  # noqa: PLC0415  (only one of both is imported)

        return Peer.load_model(config=str(config), temp=0.0)
    from wyoming_pocket_tts.pocket.model import TTSModel  # noqa: PLC0415

    if kind.startswith("torch"):
        return TTSModel.load_model(config=config, temp=0.0, engine="torch", quantize=kind == "torch-int8")
    precision = kind.removeprefix("onnx-")
    return TTSModel.load_model(
        config=config, temp=0.0, engine="onnx", precision=precision, data_dir=config.parent, threads=ONNX_THREADS
    )


def compare(name: str, kinds: Sequence[str], *, rounds: int, voice_file: bool) -> None:
    with tempfile.TemporaryDirectory() as directory:
        config = prepare(Path(directory), name)
        results: dict[str, list[Figures | None]] = {kind: [] for kind in kinds}
        for index in range(rounds + 1):
            for kind in kinds:
                if index == 0 and not kind.startswith("onnx"):
                    continue  # the first round is for converting
                print(f"{name}: round {index} of {rounds}, {kind}", file=sys.stderr)
                measured = run(kind, config, voice_file=voice_file)
                if index:
                    results[kind].append(measured)
    print(f"\n{f'{name}, {rounds} rounds':<28}" + "".join(f"{kind:>20}" for kind in kinds))
    for figure, label in FIGURES.items():
        print(f"  {label:<26}" + "".join(f"{_cell(figure, results, kind):>20}" for kind in kinds))


def _cell(figure: str, results: Mapping[str, Sequence[Figures | None]], kind: str) -> str:
    """The median of a figure, and of its ratio to the peer's in the same round."""
    measured = [result[figure] for result in results[kind] if result is not None]
    if not measured:
        return "refused"
    text = f"{statistics.median(measured):.2f}"
    pairs = zip(results[kind], results.get("peer", ()), strict=False)
    ratios = [ours[figure] / peer[figure] for ours, peer in pairs if ours is not None and peer is not None]
    return f"{text} ({statistics.median(ratios):.2f} x)" if ratios and kind != "peer" else text


def prepare(directory: Path, name: str) -> Path:
    from tests.pocket.tokenizers import tokenizer_files  # noqa: PLC0415
    from wyoming_pocket_tts.audio.files import AudioFormat, open_wav  # noqa: PLC0415
    from wyoming_pocket_tts.pocket.random_model import write_random_model  # noqa: PLC0415
    from wyoming_pocket_tts.pocket.registry import released_model  # noqa: PLC0415

    config, files = released_model(name), tokenizer_files()
    is_json = config.flow_lm.lookup_table.tokenizer != "sentencepiece"
    path = write_random_model(directory, config, seed=1, tokenizer=files.json if is_json else files.sentencepiece)
    times = np.arange(VOICE_SECONDS * config.mimi.sample_rate) / config.mimi.sample_rate
    for file, pitch_hz in (("voice.wav", 120), ("voice2.wav", 180)):
        tones = sum(np.sin(2 * np.pi * pitch_hz * k * times) / k for k in range(1, 8))
        samples = 0.1 * tones * np.abs(np.sin(5 * times))
        with open_wav(str(directory / file)) as wav:
            wav.write((samples * 32767).astype("<i2").tobytes(), AudioFormat(rate_hz=config.mimi.sample_rate))
            wav.finish(AudioFormat(rate_hz=config.mimi.sample_rate))
    _export_voice(path)
    return path


def _export_voice(config: Path) -> None:
    """Make the voice file, in a process of its own: what it loads is not to be measured."""
    program = (
        "import sys; from wyoming_pocket_tts import TTSModel, export_model_state; "
        "model = TTSModel.load_model(config=sys.argv[1]); "
        "export_model_state(model.get_state_for_audio_prompt(sys.argv[2]), sys.argv[3])"
    )
    paths = [str(config), str(config.with_name("voice.wav")), str(config.with_name(VOICE_FILE))]
    subprocess.run([sys.executable, "-c", program, *paths], check=True, capture_output=True)


def run(kind: str, config: Path, *, voice_file: bool) -> Figures | None:
    """The figures of a kind, or none where it failed or this machine refuses it."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.pocket", "--measure", kind, str(config)]
    command += ["--voice-file"] if voice_file else []
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"  {kind}: {(done.stderr.strip().splitlines() or ['it said nothing'])[-1]}", file=sys.stderr)
        return None
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--model", nargs="+", default=["english"], metavar="NAME", help="released models, or: all sizes"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--voice-file", action="store_true", help="read a ready-made voice, as the service does")
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS)
    parser.add_argument("--measure", nargs=2, metavar=("KIND", "CONFIG"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        kind, config = arguments.measure
        print(json.dumps(measure(kind, Path(config), voice_file=arguments.voice_file)))
        return
    names = arguments.model
    if names == ["all"]:
        names = ["english", "german_24l", "english_18m_2026-10", "english_7m_2026-10", "english_2m_2026-10"]
    for name in names:
        compare(name, arguments.kinds, rounds=arguments.rounds, voice_file=arguments.voice_file)


if __name__ == "__main__":
    main()
