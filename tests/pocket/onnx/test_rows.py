"""Rows that come, go and move say exactly what they say alone; what fails hurts nobody else; memory is reused."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.pocket.random_models import changed, reduced
from tests.pocket.tokenizers import tokenizer_files
from wyoming_pocket_tts.core.errors import ModelError, VoiceError
from wyoming_pocket_tts.inference.session import IoBinding
from wyoming_pocket_tts.pocket.backend import DecodeOutput, SamplingParams
from wyoming_pocket_tts.pocket.loading import load_for_onnx
from wyoming_pocket_tts.pocket.onnx.backend import OnnxBackend
from wyoming_pocket_tts.pocket.onnx.bundle import Precision
from wyoming_pocket_tts.pocket.onnx.kv_cache import Slot, SlotPool
from wyoming_pocket_tts.pocket.random_model import write_random_model
from wyoming_pocket_tts.pocket.registry import load_config, released_model
from wyoming_pocket_tts.pocket.voice_state import VoiceState

TOLERANCE = 1e-4
SAMPLING = SamplingParams(0.0)
ROOM = 120
"""Positions of each chunk, beside its voice."""

Floats = NDArray[np.float32]


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> OnnxBackend:
    """Three layers, grouped keys: rows must not be confused with heads."""
    directory = tmp_path_factory.mktemp("model")
    config = reduced(released_model("english_2m_2026-10"), layers=3)
    config = changed(config, {"flow_lm": {"transformer": {"num_heads": 6, "num_kv_heads": 3, "attn_dim": 288}}})
    path = write_random_model(directory, config, seed=5, tokenizer=tokenizer_files().sentencepiece)
    loaded = load_for_onnx(
        None, load_config(path), precision=Precision.FP32, steps=1, data_dir=directory, threads=1
    ).backend
    assert isinstance(loaded, OnnxBackend)
    return loaded


def a_voice(backend: OnnxBackend, length: int, seed: int = 0) -> VoiceState:
    rng = np.random.default_rng((seed, length))
    sizes = backend.config.flow_lm.transformer
    shape = (2, length, sizes.kv_heads, sizes.head_dim)
    layers = (rng.standard_normal(shape, dtype=np.float32) for _ in range(sizes.num_layers))
    return VoiceState(layers=tuple(layers), model=backend.fingerprint)


@dataclass
class Told:
    """A chunk in rows, and what the same chunk says alone."""

    row: Slot
    alone: Iterator[DecodeOutput]
    last: DecodeOutput
    frames: int = 1

    def check(self, frame: DecodeOutput | ModelError) -> None:
        assert isinstance(frame, DecodeOutput)
        expected = next(self.alone)
        assert np.abs(frame.latent - expected.latent).max() < TOLERANCE
        assert abs(frame.eos_logit - expected.eos_logit) < TOLERANCE
        self.last, self.frames = frame, self.frames + 1


@dataclass
class Stage:
    """Everybody who speaks in some rows."""

    backend: OnnxBackend
    rows: SlotPool
    speaking: list[Told] = field(default_factory=list)

    def begin(self, voice: VoiceState, tokens: list[int], *, pieces: int = 1) -> Told:
        row = self.rows.join(voice, positions=ROOM, sampling=SAMPLING)
        cuts = [len(tokens) * number // pieces for number in range(pieces + 1)]
        for start, end in pairwise(cuts[:-1]):
            self.rows.read(row, tokens[start:end])
        first = self.rows.prefill(row, tokens[cuts[-2] :])
        told = Told(row, self.alone(voice, tokens), first)
        told.check(first)
        self.speaking.append(told)
        return told

    def alone(self, voice: VoiceState, tokens: list[int]) -> Iterator[DecodeOutput]:
        speech = self.backend.open_speech(voice, positions=ROOM, sampling=SAMPLING)
        frame = speech.prefill(tokens)
        while True:
            yield frame
            frame = speech.step(frame.latent)

    def step(self, who: list[Told]) -> None:
        frames = self.rows.step([told.row for told in who], [told.last.latent for told in who])
        for told, frame in zip(who, frames, strict=True):
            told.check(frame)

    def end(self, told: Told) -> None:
        self.speaking.remove(told)
        self.rows.leave(told.row)


def test_rows_that_come_go_and_rest_at_random_say_what_they_say_alone(backend: OnnxBackend) -> None:
    """Some voices need larger rooms, so that there are several blocks; more speak than a block has places."""
    rng = np.random.default_rng(11)
    voices = [a_voice(backend, length) for length in (20, 33, 420, 500)]
    stage = Stage(backend, backend.open_rows())
    most = 0
    for _ in range(160):
        action = rng.random()
        if action < 0.2 and len(stage.speaking) < 12:
            tokens = [int(token) for token in rng.integers(0, 4000, rng.integers(1, 20))]
            stage.begin(voices[rng.integers(len(voices))], tokens, pieces=int(rng.integers(1, min(len(tokens), 3) + 1)))
        elif action < 0.3 and stage.speaking:
            stage.end(stage.speaking[rng.integers(len(stage.speaking))])
        else:
            able = [told for told in stage.speaking if told.frames < ROOM - 25]
            stage.step([told for told in able if rng.random() < 0.7])
        most = max(most, len(stage.speaking))
    assert most > 8
    assert sum(told.frames for told in stage.speaking) > 100


def test_a_row_full_to_its_last_position_bears_steps_of_its_neighbours(
    backend: OnnxBackend, caplog: pytest.LogCaptureFixture
) -> None:
    """What is computed for it in vain has no place left to go to."""
    stage = Stage(backend, backend.open_rows())
    voice = a_voice(backend, 512 - ROOM)
    left, full, right = (stage.begin(voice, [number]) for number in range(3))
    for _ in range(ROOM - 2):
        stage.step([left, full, right])
    assert full.row.length == 512
    stage.end(left)
    stage.end(right)
    left, right = stage.begin(voice, [7]), stage.begin(voice, [8])
    assert abs(left.row.index - right.row.index) == 2
    for _ in range(5):
        stage.step([left, right])
    assert caplog.text == "", "they are computed together, not alone after a call that failed"


def test_only_a_row_that_closes_a_gap_is_moved(backend: OnnxBackend) -> None:
    stage = Stage(backend, backend.open_rows())
    told = [stage.begin(a_voice(backend, 20), [number, 2, 3]) for number in range(5)]
    places = [each.row.index for each in told]
    stage.end(told[1])
    stage.step(stage.speaking)
    assert [each.row.index for each in (told[0], told[2], told[3])] == [places[0], places[2], places[3]]
    assert told[4].row.index == places[1]
    stage.step(stage.speaking)


def test_a_place_keeps_its_voice_for_the_next_speech(backend: OnnxBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(backend, backend.open_rows())
    voice, other = a_voice(backend, 20), a_voice(backend, 30)
    stage.end(stage.begin(voice, [1, 2]))
    copied: list[VoiceState] = []
    monkeypatch.setattr("wyoming_pocket_tts.pocket.onnx.kv_cache.write_voice", lambda _, voice: copied.append(voice))
    stage.rows.leave(stage.rows.join(voice, positions=3, sampling=SAMPLING))
    assert copied == []
    stage.rows.join(voice, positions=3, sampling=SAMPLING)
    stage.rows.join(other, positions=3, sampling=SAMPLING)
    assert copied == [other]


def test_memory_is_bounded_by_those_who_speak_at_once(backend: OnnxBackend) -> None:
    rows = backend.open_rows()
    voices = [a_voice(backend, length) for length in (10, 700, 3000)]
    for _ in range(5):
        together = [rows.join(voices[number % 3], positions=ROOM, sampling=SAMPLING) for number in range(20)]
        assert rows.capacity <= 24 + 8 * 2  # three blocks are needed, two more for those who need larger ones
        for row in together:
            rows.leave(row)
        assert rows.capacity == 8


def test_too_long_a_voice_is_refused_and_takes_no_place(backend: OnnxBackend) -> None:
    rows = backend.open_rows()
    with pytest.raises(VoiceError, match="8192 are possible"):
        rows.join(a_voice(backend, 30), positions=8163, sampling=SAMPLING)
    assert rows.capacity == 0
    assert rows.join(a_voice(backend, 30), positions=8162, sampling=SAMPLING)


def test_another_number_of_sampler_steps_is_refused(backend: OnnxBackend) -> None:
    with pytest.raises(ModelError, match="converted for 1 sampler steps, not 2"):
        backend.open_rows().join(a_voice(backend, 30), positions=3, sampling=SamplingParams(0.0, steps=2))


def test_noise_is_each_rows_own(backend: OnnxBackend) -> None:
    """Two speeches with seeds of their own, together or one after the other."""
    voice, warm = a_voice(backend, 20), SamplingParams(0.8)

    def spoken(*, together: bool) -> list[Floats]:
        backend.seed(4)
        rows = backend.open_rows()
        pair = [rows.join(voice, positions=ROOM, sampling=warm) for _ in range(2)]
        frames = [rows.prefill(row, [1, 2, 3]) for row in pair]
        said = [frame.latent for frame in frames]
        groups = [[0, 1]] if together else [[0], [1]]
        for group in groups:
            for _ in range(3):
                for index, frame in zip(
                    group, rows.step([pair[i] for i in group], [said[i] for i in group]), strict=True
                ):
                    assert isinstance(frame, DecodeOutput)
                    said[index] = frame.latent
        return said

    first, second = spoken(together=True)
    assert np.abs(first - second).max() > 0.1
    for one, other in zip((first, second), spoken(together=False), strict=True):
        assert np.abs(one - other).max() < TOLERANCE


def test_a_call_that_fails_for_all_is_tried_for_each(backend: OnnxBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(backend, backend.open_rows())
    told = [stage.begin(a_voice(backend, 20), [number, 2, 3]) for number in range(3)]
    run, calls = IoBinding.run, 0

    def failing(binding: IoBinding) -> None:
        nonlocal calls
        calls += 1
        if calls in {1, 3}:  # the step of all three, and the second of them alone
            raise ModelError("out of luck")
        run(binding)

    with monkeypatch.context() as patched:
        patched.setattr(IoBinding, "run", failing)
        frames = stage.rows.step([each.row for each in told], [each.last.latent for each in told])
    assert isinstance(frames[1], ModelError)
    told[0].check(frames[0])
    told[2].check(frames[2])
    stage.end(told[1])
    stage.step(stage.speaking)
