"""Shaping as those who speak use it: nothing for nothing, any cutting the same, and no source left open."""

import math
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.audio.sounds import RATE_HZ, cut, joined, syllables, voiced
from wyoming_pocket_tts.audio.effects import shape, silence
from wyoming_pocket_tts.core.errors import ConfigError, ModelError
from wyoming_pocket_tts.core.types import Pcm, SilenceOptions, SynthesisOptions

SPEECH = syllables()
MANNERS = (
    SynthesisOptions(speed=0.5),
    SynthesisOptions(speed=1.3),
    SynthesisOptions(volume_db=9),
    SynthesisOptions(rate_hz=16_000),
    SynthesisOptions(rate_hz=22_050, volume_db=-3.5),
    SynthesisOptions(speed=0.8, rate_hz=48_000, volume_db=12),
)
WHOLE = {options: joined(shape(iter([SPEECH]), RATE_HZ, options)) for options in MANNERS}


class Source:
    """Blocks that tell what was done to them."""

    def __init__(self, *blocks: Pcm, error: Exception | None = None) -> None:
        self.taken = 0
        self.closed = False
        self._blocks = blocks
        self._error = error

    def __iter__(self) -> Iterator[Pcm]:
        try:
            for block in self._blocks:
                self.taken += 1
                yield block
            if self._error:
                raise self._error
        finally:
            self.closed = True


@settings(max_examples=60, deadline=None)
@given(options=st.sampled_from(MANNERS), lengths=st.lists(st.integers(0, 4000), max_size=40))
def test_however_speech_is_cut_the_same_comes_out(options: SynthesisOptions, lengths: list[int]) -> None:
    np.testing.assert_array_equal(joined(shape(cut(SPEECH, lengths), RATE_HZ, options)), WHOLE[options])


@pytest.mark.parametrize("options", MANNERS)
def test_sample_by_sample_too(options: SynthesisOptions) -> None:
    short = SPEECH[4000:6500]
    np.testing.assert_array_equal(
        joined(shape(cut(short, [1] * len(short)), RATE_HZ, options)), joined(shape(iter([short]), RATE_HZ, options))
    )


@pytest.mark.parametrize(
    "options",
    [
        SynthesisOptions(),
        SynthesisOptions(rate_hz=RATE_HZ),
        SynthesisOptions(pauses=SilenceOptions(before=1), temperature=0.3),
    ],
)
def test_a_manner_that_changes_no_sound_gives_the_very_same_iterator(options: SynthesisOptions) -> None:
    blocks = iter([SPEECH])
    assert shape(blocks, RATE_HZ, options) is blocks


@pytest.mark.parametrize("options", MANNERS)
def test_nothing_is_taken_before_it_is_asked_for_and_the_first_sound_needs_no_more_than_a_block(
    options: SynthesisOptions,
) -> None:
    source = Source(*np.array_split(SPEECH, 15))  # 100 ms each
    shaped = shape(iter(source), RATE_HZ, options)
    taken_before = source.taken
    assert len(next(shaped)) > 0
    assert (taken_before, source.taken) == (0, 1)


@pytest.mark.parametrize("options", MANNERS)
def test_closing_closes_the_source(options: SynthesisOptions) -> None:
    source = Source(SPEECH, SPEECH)
    blocks = iter(source)  # somebody else may hold on to it
    shaped = shape(blocks, RATE_HZ, options)
    next(shaped)
    closed_before = source.closed
    shaped.close()  # type: ignore[attr-defined]
    assert (closed_before, source.closed, source.taken) == (False, True, 1)


def test_an_error_of_the_source_is_raised_after_what_came_before_it() -> None:
    source = Source(SPEECH, error=ModelError("broken"))
    shaped = shape(iter(source), RATE_HZ, SynthesisOptions(speed=1.2))
    assert len(next(shaped)) > 0
    with pytest.raises(ModelError, match="broken"):
        next(shaped)


def test_a_source_that_cannot_be_closed_will_do() -> None:
    assert len(joined(shape(iter([SPEECH]), RATE_HZ, SynthesisOptions(speed=2)))) == len(SPEECH) // 2


@pytest.mark.parametrize("options", MANNERS)
@pytest.mark.parametrize("length", [0, 1, 2, 100, 287, 288, 289, 600])
def test_nothing_and_next_to_nothing_can_be_shaped(options: SynthesisOptions, length: int) -> None:
    shaped = joined(shape(iter([SPEECH[5000 : 5000 + length]]), RATE_HZ, options))
    expected = length / options.speed * (options.rate_hz or RATE_HZ) / RATE_HZ
    assert abs(len(shaped) - expected) <= 1
    assert shaped.dtype == np.int16


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (SynthesisOptions(speed=0.49), "the speed 0.49 is out of range: 0.5 to 2.0"),
        (SynthesisOptions(speed=float("nan")), "the speed nan"),
        (SynthesisOptions(volume_db=41), "the volume 41 is out of range: at most 40 dB"),
        (SynthesisOptions(volume_db=math.nan), "the volume nan is out of range: at most 40 dB"),
        (SynthesisOptions(volume_db=float("nan")), "the volume nan"),
        (SynthesisOptions(rate_hz=0), "the sample rate 0 is out of range: 4000 to 192000 Hz"),
    ],
)
def test_what_cannot_be_done_is_refused_at_once(options: SynthesisOptions, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        shape(iter([SPEECH]), RATE_HZ, options)


def test_resampling_cannot_wrap_loud_sound_around() -> None:
    """Between the samples of a wave cut off at full scale it is higher than full scale."""
    square = np.where(voiced(441, peak=30_000) > 0, 32767, -32768).astype(np.int16)
    for volume_db in (0.0, 6.0):
        resampled = joined(shape(iter([square]), RATE_HZ, SynthesisOptions(rate_hz=44_100, volume_db=volume_db)))
        steps = np.abs(np.diff(resampled.astype(int)))
        expected = np.where(np.sin(2 * np.pi * 441 * np.arange(len(resampled)) / 44_100) > 0, 1, -1)
        assert np.mean(np.sign(resampled) == expected) > 0.95
        assert steps.max() <= 65535


def test_silence_is_as_long_as_it_is_said_to_be() -> None:
    quiet = silence(0.25, 16_000)
    assert len(quiet) == 4000
    assert quiet.dtype == np.int16
    assert not quiet.any()
    assert len(silence(0, 16_000)) == 0


def test_what_is_not_used_is_not_loaded() -> None:
    program = (
        "import sys\n"
        "from wyoming_pocket_tts.audio.effects import shape\n"
        "from wyoming_pocket_tts.core.types import SynthesisOptions\n"
        "import numpy as np\n"
        "block = np.zeros(4800, np.int16)\n"
        "list(shape(iter([block]), 24000, SynthesisOptions(speed=1.5, volume_db=3)))\n"
        "assert 'soxr' not in sys.modules\n"
        "list(shape(iter([block]), 24000, SynthesisOptions(rate_hz=16000)))\n"
        "assert 'soxr' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=50)
