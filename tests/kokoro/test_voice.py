"""The embedded voice as it ships: complete, small enough, audible, streaming, deterministic, cancellable."""

import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from wyoming_pocket_tts.core.errors import ModelError
from wyoming_pocket_tts.core.types import Pcm, SynthesisRequest, Voice
from wyoming_pocket_tts.kokoro.synthesizer import BLOCK_FRAMES, HOP, VOICE_FOLDER, KokoroSynthesizer, load_kokoro

SENTENCE = "The kitchen light is on and the front door has been locked."
MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def kokoro() -> KokoroSynthesizer:
    return load_kokoro()


def speak(kokoro: KokoroSynthesizer, text: str, voice: Voice | None = None) -> list[Pcm]:
    return list(kokoro.synthesize(SynthesisRequest(text=text, voice=voice or kokoro.voices()[0])))


def test_the_files_that_ship_are_small_and_their_origin_is_stated() -> None:
    assert sum(path.stat().st_size for path in VOICE_FOLDER.iterdir()) < 25 * MEGABYTE
    assert "CMU" in (VOICE_FOLDER / "NOTICE.md").read_text()


def test_two_voices_speak_and_differ(kokoro: KokoroSynthesizer) -> None:
    first, second = kokoro.voices()
    assert (first.name, second.name) == ("kokoro-ray", "kokoro-selma")
    spoken = [np.concatenate(speak(kokoro, SENTENCE, voice)).astype(float) for voice in (first, second)]
    for samples in spoken:
        seconds = len(samples) / first.sample_rate_hz
        assert 2.0 < seconds < 6.0
        assert 500 < np.sqrt(np.mean(samples**2)) < 8000
        assert np.abs(samples).max() < 32767
    assert len(spoken[0]) != len(spoken[1])


def test_the_pitch_of_the_voices_is_a_mans_and_a_womans(kokoro: KokoroSynthesizer) -> None:
    def pitch_hz(voice: Voice) -> float:
        samples = np.concatenate(speak(kokoro, "Are you all aware of our new rule?", voice)).astype(float)
        middle = samples[len(samples) // 4 : len(samples) * 3 // 4]
        correlation = np.fft.irfft(np.abs(np.fft.rfft(middle, 2 * len(middle))) ** 2)
        low, high = voice.sample_rate_hz // 300, voice.sample_rate_hz // 70
        return voice.sample_rate_hz / (low + int(correlation[low:high].argmax()))

    male, female = map(pitch_hz, kokoro.voices())
    assert 70 < male < 150 < female < 280


def test_audio_comes_in_short_blocks_while_the_sentence_is_drawn(kokoro: KokoroSynthesizer) -> None:
    blocks = speak(kokoro, SENTENCE)
    assert len(blocks) > 4
    assert all(0 < len(block) <= (BLOCK_FRAMES + 24) * HOP for block in blocks)


def test_a_closed_iterator_stops_the_work(kokoro: KokoroSynthesizer) -> None:
    steps: list[int] = []
    watched = KokoroSynthesizer()
    draw = watched._decoder.__call__

    def counted(**inputs: np.ndarray) -> list[np.ndarray]:
        steps.append(1)
        return draw(**inputs)

    watched._decoder = counted  # type: ignore[assignment]
    blocks = watched.synthesize(SynthesisRequest(text=SENTENCE, voice=watched.voices()[0]))
    assert not steps
    next(blocks)
    drawn = len(steps)
    blocks.close()  # type: ignore[attr-defined]
    assert 0 < len(steps) == drawn < 20


@pytest.mark.parametrize("text", ["", " ", "?!", "...", "😀", "喵"])
def test_nothing_to_say_is_silence_not_an_error(kokoro: KokoroSynthesizer, text: str) -> None:
    assert sum(map(len, speak(kokoro, text))) == 0


def test_a_word_of_a_thousand_letters_and_a_sentence_without_end_are_spoken(kokoro: KokoroSynthesizer) -> None:
    for text in ("a" * 1000, "z" * 300, "Sh" + "h" * 400, "ñ" * 900, "word " * 400):
        assert sum(map(len, islice(kokoro.synthesize(SynthesisRequest(text=text, voice=kokoro.voices()[0])), 5))) > 0


def test_speech_is_the_same_on_many_threads_at_once(kokoro: KokoroSynthesizer) -> None:
    alone = np.concatenate(speak(kokoro, SENTENCE))
    begin = threading.Barrier(4)

    def together(_: int) -> Pcm:
        begin.wait()
        return np.concatenate(speak(kokoro, SENTENCE))

    with ThreadPoolExecutor(4) as threads:
        for spoken in threads.map(together, range(4)):
            assert np.array_equal(spoken, alone)


def test_numbers_and_units_are_spoken_as_words(kokoro: KokoroSynthesizer) -> None:
    written = np.concatenate(speak(kokoro, "It is 21.5 °C."))
    spelled = np.concatenate(speak(kokoro, "It is twenty-one point five degrees Celsius."))
    assert np.array_equal(written, spelled)


@pytest.mark.parametrize("name", ["voice.json", "lexicon.txt", "encoder.onnx", "vocoder.onnx"])
def test_a_missing_or_damaged_file_is_named(tmp_path: Path, name: str) -> None:
    for path in VOICE_FOLDER.iterdir():
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / name).unlink()
    with pytest.raises(ModelError, match=name):
        KokoroSynthesizer(tmp_path)
    if name.endswith((".onnx", ".json")):
        (tmp_path / name).write_bytes(b"{ this is none")
        with pytest.raises(ModelError, match=r"incomplete|damaged"):
            KokoroSynthesizer(tmp_path)


def test_its_memory_goes_at_once_when_nobody_holds_it() -> None:
    voice = load_kokoro()
    remains = weakref.ref(voice)
    list(voice.synthesize(SynthesisRequest(text="Zorglub and others.", voice=voice.voices()[0])))
    gc.disable()  # no cycle is left for it
    try:
        del voice
        assert remains() is None
    finally:
        gc.enable()
