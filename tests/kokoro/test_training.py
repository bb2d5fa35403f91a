"""Training from end to end on a toy: alignment, features, a model that learns, resumes and is exported."""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from wyoming_pocket_tts.core.types import SynthesisRequest
from wyoming_pocket_tts.kokoro import synthesizer as features
from wyoming_pocket_tts.kokoro import synthesizer as runtime
from wyoming_pocket_tts.kokoro.model import GPUProfiler, KokoroModel
from wyoming_pocket_tts.kokoro.phonemes import CONSONANTS, PAUSES, VOWELS, Lexicon, Phonemizer, without_stress
from wyoming_pocket_tts.kokoro.training import acoustic, corpus, dataset, export
from wyoming_pocket_tts.kokoro.training import g2p as lexicon
from wyoming_pocket_tts.kokoro.training import g2p as spelling
from wyoming_pocket_tts.kokoro.training import vocoder as vocoding
from wyoming_pocket_tts.kokoro.vocoder import LetterToSound, Vocoder

pytest.importorskip("torch")
pytest.importorskip("matplotlib")

RATE_HZ = features.SAMPLE_RATE_HZ
HELD_OUT = 16
N_UTTERANCES = HELD_OUT + 40


def tiny(*, dropout: float = 0.1, gradient_checkpointing: bool = False) -> KokoroModel:
    return KokoroModel(
        hidden_dim=16, n_encoder_layers=1, n_decoder_layers=2, n_heads=2, ff_dim=24, prenet_dim=16,
        dropout=dropout, gradient_checkpointing=gradient_checkpointing,
    )  # fmt: skip


def record_tones(folder: Path) -> None:
    """A teacher that hums: each phone a tone of its own, 50 ms long."""
    folder.mkdir(parents=True)
    tones = {phone: 200 + 150 * at for at, phone in enumerate(("pau", "k", "ae", "t", "d", "ao", "g"))}
    time = np.arange(RATE_HZ // 20) / RATE_HZ
    start = 0
    with (folder / "audio.i16").open("wb") as audio, (folder / "utterances.jsonl").open("w") as lines:
        for number in range(N_UTTERANCES):
            word, phones = ("cat", ["k", "ae", "t"]) if number % 2 else ("dog", ["d", "ao", "g"])
            phones = ["pau", *phones, *phones, "pau"]
            samples = np.concatenate([np.sin(2 * np.pi * tones[p] * time) * (p != "pau") for p in phones])
            audio.write((samples * 20000).astype("<i2").tobytes())
            ends = [(at + 1) / 20 for at in range(len(phones))]
            row = {
                "text": f"{word} {word}.",
                "start_sample": start,
                "n_samples": len(samples),
                "phones": phones,
                "ends_seconds": ends,
            }
            lines.write(json.dumps(row) + "\n")
            start += len(samples)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("training")
    for speaker in ("one", "two"):
        record_tones(root / speaker)
    dataset.prepare(root, Phonemizer(tiny_lexicon(), lambda _word: ()), speakers=("one", "two"))
    return root


def tiny_lexicon() -> Lexicon:
    return Lexicon(lexicon.build("cat K AE1 T\ndog D AO1 G # a comment\n"))


def test_prepared_data_fit_together(data: Path) -> None:
    prepared = dataset.Dataset.open(data, held_out=HELD_OUT)
    assert len(prepared.train) == 80
    assert len(prepared.held_out) == 2 * HELD_OUT
    for example in prepared.train:
        assert example.durations.sum() == example.n_frames
        assert len(example.phonemes) == len(example.durations)
    everything = np.concatenate([prepared.mel(example) for example in prepared.train])
    assert abs(everything.mean()) < 0.2
    assert 0.5 < everything.std() < 1.5


@pytest.mark.slow
def test_the_acoustic_model_learns_goes_on_and_draws(data: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    prepared = dataset.Dataset.open(data, held_out=HELD_OUT)
    options = acoustic.AcousticTrainingOptions(
        steps=30, batch_size=8, save_every=30, warmup_steps=5, learning_rate=5e-3, averaging=0.8
    )
    first = acoustic.AcousticTrainer(tiny(), prepared, tmp_path, options)
    before = first.evaluate(n_batches=1)
    first.run()
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["held_out_mel"] < 0.8 * before["held_out_mel"]
    assert (tmp_path / "mel.png").read_bytes().startswith(b"\x89PNG")
    more = acoustic.AcousticTrainingOptions(steps=40, batch_size=8, save_every=10)
    second = acoustic.AcousticTrainer(tiny(), prepared, tmp_path, more)
    assert second.step == 30
    for name, value in first.model.state_dict().items():
        assert torch.equal(value, second.model.state_dict()[name]), name
    second.run()
    assert second.step == 40


def test_checkpointing_changes_no_gradient() -> None:
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(2)
        model = tiny(dropout=0.0, gradient_checkpointing=checkpointing)
        torch.manual_seed(3)
        phonemes, durations = torch.randint(1, 63, (2, 5)), torch.full((2, 5), 4)
        mel, log_durations, stops = model(phonemes, torch.randn(2, 20, 80), durations, torch.zeros(2, 5))
        (mel.square().mean() + log_durations.mean() + stops.mean()).backward()
        gradients.append({n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name])


def test_the_future_cannot_be_seen() -> None:
    torch.manual_seed(4)
    model = tiny().eval()
    phonemes, durations, stops = torch.randint(1, 63, (1, 5)), torch.full((1, 5), 4), torch.zeros(1, 5)
    mels = torch.randn(1, 20, 80)
    changed = mels.clone()
    changed[:, 12:] += 1
    first, second = (model(phonemes, m, durations, stops)[0] for m in (mels, changed))
    assert torch.equal(first[:, :16], second[:, :16])
    assert not torch.equal(first[:, 16:], second[:, 16:])


def test_inference_equals_teacher_forcing_on_its_own_frames() -> None:
    torch.manual_seed(5)
    model = tiny().eval()
    with torch.no_grad():
        model.duration.get_parameter("6.bias").fill_(1.6)
    phonemes = torch.randint(1, 63, (6,))
    drawn = model.inference(phonemes)
    frames = len(drawn) // 4 * 4
    assert frames >= 16
    encoded = model.encode(phonemes[None])
    durations = torch.from_numpy(runtime.durations_in_frames(encoded.log_durations[0].detach().numpy()))[None]
    again = model(phonemes[None], drawn[None, :frames], durations, torch.zeros(1, frames // 4))[0][0]
    torch.testing.assert_close(again, drawn[:frames], atol=1e-4, rtol=0)
    assert len(model.inference(phonemes, max_mel_len=7)) == 7


def test_model_info_counts_every_parameter() -> None:
    model = tiny()
    info = model.get_model_info()
    assert info["parameters"] == sum(p.numel() for p in model.parameters())
    assert info["config"]["vocab_size"] == 63


@pytest.mark.slow
def test_vocoder_training_runs_all_stages_and_goes_on(data: Path, tmp_path: Path) -> None:
    prepared = dataset.Dataset.open(data, held_out=HELD_OUT)
    options = vocoding.VocoderTrainingOptions(
        steps=6, adversarial_from=2, mel_from=4, batch_size=2, frames=24, save_every=2
    )

    def trainer() -> vocoding.VocoderTrainer:
        network = Vocoder(dim=16, hidden=24, n_blocks=1)
        return vocoding.VocoderTrainer(
            network, prepared, recordings=data, folder=tmp_path, options=options, speakers=("one", "two")
        )

    trainer().run()
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [2, 4, 6]
    assert all(np.isfinite(row["held_out_spectral"]) for row in rows)
    assert [("judge" in row, "mel" in row) for row in rows] == [(False, False), (True, False), (True, True)]
    assert trainer().step == 6


@pytest.mark.slow
def test_what_is_exported_speaks(data: Path, tmp_path: Path) -> None:
    prepared = dataset.Dataset.open(data, held_out=HELD_OUT)
    options = acoustic.AcousticTrainingOptions(steps=2, batch_size=4, save_every=2)
    acoustic.AcousticTrainer(tiny(), prepared, data / "acoustic", options).run()
    vocoding.VocoderTrainer(
        Vocoder(dim=16, hidden=24),
        prepared,
        recordings=data,
        folder=data / "vocoder",
        options=vocoding.VocoderTrainingOptions(steps=1, batch_size=2, frames=24, save_every=1),
        speakers=("one", "two"),
    ).run()
    letters = LetterToSound(dim=16, n_heads=2, n_layers=1, ff_dim=16)
    torch.save({"config": letters.config, "model": letters.state_dict()}, data / "letters.pt")
    export.export(data, tmp_path)
    (tmp_path / "lexicon.txt").write_bytes(lexicon.build("cat K AE1 T\n"))
    synthesizer = runtime.load_kokoro(tmp_path)
    for voice in synthesizer.voices():
        speech = np.concatenate(list(synthesizer.synthesize(SynthesisRequest(text="The cat, the xylq.", voice=voice))))
        assert speech.dtype == np.int16


@pytest.mark.slow
def test_letter_to_sound_learns_a_toy_language(tmp_path: Path) -> None:
    vowels = {"a": "ae1", "e": "eh1"}
    toy = {f"{a}{b}{c}": (a, vowels[b], c) for a in "kptsfmnl" for b in vowels for c in "dgbvzrw"}
    spelled = Lexicon(Lexicon.encode(toy))
    learned, held_out = spelling.examples(spelled)
    assert held_out
    assert not {word for word, _ in learned} & {word for word, _ in held_out}
    right = spelling.train(spelled, tmp_path / "letters.pt", steps=60, batch_size=16, learning_rate=5e-3)
    assert right == 1.0


symbols = st.lists(st.sampled_from([*CONSONANTS, *(v + "1" for v in VOWELS if v != "ax"), "ax", *PAUSES]), max_size=12)
phones = st.lists(st.sampled_from([*CONSONANTS, *VOWELS, "pau"]), max_size=12)


@given(symbols, phones)
def test_alignment_keeps_what_the_teacher_said(ours: list[str], said: list[str]) -> None:
    lengths = list(range(1, len(said) + 1))
    aligned, durations = dataset.align(["^", *ours], said, lengths)
    spoken = [(s, d) for s, d in zip(aligned, durations, strict=True) if d]
    assert [d for _, d in spoken] == lengths
    for (symbol, _), phone in zip(spoken, said, strict=True):
        assert without_stress(symbol) == phone or (phone == "pau" and symbol in ("^", *PAUSES))


@pytest.mark.parametrize(
    ("seconds", "frames", "expected"), [([0.5, 1.0], 80, [40, 40]), ([0.01, 0.02, 1.0], 80, [1, 1, 78])]
)
def test_lengths_add_up(seconds: list[float], frames: int, expected: list[int]) -> None:
    assert dataset.lengths_in_frames(seconds, frames) == expected


def test_the_shipped_corpus_is_long_clean_and_split() -> None:
    sentences = corpus.read()
    assert len(sentences) == len(set(sentences)) > 12_000
    unknown = words_of(sentences) - set(Lexicon.load(runtime.VOICE_FOLDER / "lexicon.txt").words())
    assert unknown == {"wedgedunusable"}  # a slip of the Jargon File's typesetting, which the voice has heard


def words_of(sentences: Iterable[str]) -> set[str]:
    return {
        word.strip("'").lower()
        for sentence in sentences
        for word in sentence.replace("-", " ").translate(str.maketrans("", "", ",;:.?!")).split()
    }


def test_profiler_measures_a_block() -> None:
    with GPUProfiler() as profile:
        torch.zeros(64, 2**18).sum()  # 64 MiB
    assert profile.seconds > 0
    assert profile.peak_mib >= 0
