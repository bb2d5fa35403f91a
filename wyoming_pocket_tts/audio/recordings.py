"""Read, check and trim voice recordings."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from wyoming_pocket_tts.core.errors import MissingFile, VoiceError
from wyoming_pocket_tts.core.types import Floats

if TYPE_CHECKING:
    from soundfile import SoundFile


LONGEST_SECONDS: Final = 300  # ten times the useful length; more would only use up memory
TRUNCATED_SECONDS: Final = 30
LOWEST_RATE_HZ: Final = 4_000
HIGHEST_RATE_HZ: Final = 384_000
LOUDEST: Final = 16.0  # floats may go beyond full scale (a decoder's overshoot); above this the scale is another
SHORTEST_SECONDS: Final = 3.0  # of speech: less does not contain all sounds of a voice
LONGEST_PROMPT_SECONDS: Final = 30.0  # the models were trained with prompts up to here; more costs time for nothing
SILENT_DB: Final = -60.0  # if no frame is louder, 16 bits leave fewer than seven for the voice
FLAT_SECONDS: Final = 150e-6
"""A peak that stays the same for so long was cut off; that of a 50 Hz tone stays for 90 microseconds."""
FLAT_TOLERANCE: Final = 1e-4
NOISE_MARGIN_DB: Final = 20.0  # noise nearer to the voice is audible in every pause, and cloned
LEVEL_SPREAD_DB: Final = 8.0
"""Seconds of one speaker at one place differ by less; two recordings or a turned head by more."""

_BLOCK_VALUES: Final = 1 << 20
_FRAME_SECONDS: Final = 0.02
_SPEECH_RANGE_DB: Final = 35.0  # frames this far below the loudest are no speech
_FADE_SECONDS: Final = 0.02
_PAUSE_SECONDS: Final = 0.08
_STEADY_DB: Final = 4.0  # noise differs by less than 2 dB from frame to frame, the ends of words by ten
_NOTHING_DB: Final = -100.0  # below the last of 16 bits: digital silence
_WINDOW_FRAMES: Final = 100  # two seconds: the level of shorter windows depends on the words
_LEAST_SPOKEN: Final = 0.3  # of a window, to be compared


def read_audio(path: Path, *, truncate: bool = False) -> tuple[Floats, int]:
    """Read a recording of any format of libsndfile; return the mean of its channels [N] of -1 to 1, and the rate in Hz.

    Reads to the end of the data or a limit, whatever the length in the header. ``truncate``: the first 30 s only, of a
    file of any length. ``MissingFile``, or ``VoiceError`` if it has no audio, is damaged or too long.
    """
    import soundfile  # noqa: PLC0415  (loads libsndfile, not needed for predefined voices)

    if not path.exists():
        raise MissingFile(f"{path}: there is no such file")
    if not path.is_file():
        raise VoiceError(f"{path}: is no file")
    try:
        with soundfile.SoundFile(path) as file:
            rate_hz = int(file.samplerate)
            if not LOWEST_RATE_HZ <= rate_hz <= HIGHEST_RATE_HZ:
                allowed = f"{LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ}"
                raise VoiceError(f"{path}: has {rate_hz} samples a second; allowed are {allowed}")
            limit = rate_hz * (TRUNCATED_SECONDS if truncate else LONGEST_SECONDS)
            samples = np.concatenate([np.zeros(0, np.float32), *_mono_blocks(file, limit + 1)])
    except (soundfile.SoundFileError, TypeError, OSError) as error:  # TypeError: headerless samples, by their name
        reason = getattr(error, "error_string", error)
        raise VoiceError(
            f"{path}: cannot be read as audio ({reason}); convert it to WAV, FLAC, OGG or MP3, or fetch it again"
        ) from error
    if not truncate and len(samples) > limit:
        raise VoiceError(
            f"{path}: is longer than {LONGEST_SECONDS} s; 10 to {TRUNCATED_SECONDS} s make a voice: cut it"
        )
    return _checked(samples[:limit], path), rate_hz


def take_samples(samples: Any) -> Floats:  # noqa: ANN401  (a tensor of any library)
    """The mean [N] of a recording in memory, floats [channels, N] or [N] of -1 to 1; otherwise ``VoiceError``."""
    array = as_array(samples)
    if array.ndim not in (1, 2) or not array.size or (array.ndim > 1 and array.shape[0] > array.shape[1]):
        raise VoiceError(f"a voice prompt has the shape [channels, samples], not {list(array.shape)}")
    if array.dtype.kind != "f":
        raise VoiceError(f"a voice prompt holds floats of -1 to 1, not {array.dtype}")
    mono = array if array.ndim == 1 else array.mean(axis=0)
    return _checked(np.ascontiguousarray(mono, dtype=np.float32), "the voice prompt")


def prepare_prompt(samples: Floats, rate_hz: int, *, target_rate_hz: int = 24_000, truncate: bool = False) -> Floats:
    """Mono samples [N] to the input of a model's encoder [M]: at the model's rate, ending in a pause of 80 ms.

    ``truncate``: use the first 30 s only.
    """
    if truncate:
        samples = samples[: TRUNCATED_SECONDS * rate_hz]
    return end_on_pause(resample(samples, rate_hz, target_rate_hz), target_rate_hz)


def resample(samples: Floats, rate_hz: int, target_rate_hz: int) -> Floats:
    """Bring [N] samples to another rate: [ceil(N * target / rate)], of the same level and without delay."""
    import soxr  # noqa: PLC0415  (only recordings of another rate need it)

    if rate_hz == target_rate_hz:
        return samples
    length = math.ceil(len(samples) * target_rate_hz / rate_hz)
    resampled = soxr.resample(samples, rate_hz, target_rate_hz, quality="VHQ").astype(np.float32, copy=False)[:length]
    return np.pad(resampled, (0, length - len(resampled)))


def end_on_pause(samples: Floats, rate_hz: int) -> Floats:
    """Cut the silence at the end, fade the last 20 ms out, and put 80 ms of silence there.

    A model continues its prompt: within a word, the rest of it would begin every chunk; after a long silence, speech
    would begin late. Silence is 35 dB below the loudest 20 ms. Shorter audio is returned as it is.
    """
    frame = max(1, int(_FRAME_SECONDS * rate_hz))
    frames = len(samples) // frame
    if not frames:
        return samples
    power = np.square(samples[: frames * frame]).reshape(frames, frame).mean(axis=1)
    levels_db = 20 * np.log10(np.sqrt(power) + np.float32(1e-12))
    last_loud = int(np.flatnonzero(levels_db > levels_db.max() - _SPEECH_RANGE_DB)[-1])
    end = (last_loud + 1) * frame
    fade = int(_FADE_SECONDS * rate_hz)  # at most a frame
    ended = np.zeros(end + int(_PAUSE_SECONDS * rate_hz), dtype=np.float32)
    ended[:end] = samples[:end]
    ended[end - fade : end] *= np.linspace(1, 0, fade, dtype=np.float32)
    return ended


def _mono_blocks(file: "SoundFile", limit: int) -> Iterator[Floats]:
    """The mean of the channels, in blocks of bounded size, up to ``limit`` samples."""
    block = max(1, _BLOCK_VALUES // file.channels)
    while limit > 0:
        values: Floats = file.read(min(block, limit), dtype="float32", always_2d=True)  # [samples, channels]
        if not len(values):
            return
        limit -= len(values)
        yield values.mean(axis=1)


def _checked(samples: Floats, label: Path | str) -> Floats:
    if not len(samples):
        raise VoiceError(f"{label}: holds no audio")
    if not np.isfinite(samples).all():
        raise VoiceError(f"{label}: holds samples that are no numbers; export it again")
    peak = float(np.abs(samples).max())
    if peak > LOUDEST:
        raise VoiceError(f"{label}: samples reach {peak:.0f}, but full scale is 1; export it again, with 16 bits")
    return samples


class QualityIssueKind(StrEnum):
    SILENT = "silent"
    TOO_SHORT = "too short"
    TOO_LONG = "too long"
    CLIPPED = "clipped"
    NOISY = "noisy"
    UNEVEN = "more than one level"


@dataclass(frozen=True, slots=True)
class QualityIssue:
    kind: QualityIssueKind
    message: str  # a sentence with the measured value, and one with advice


def assess(samples: Floats, rate_hz: int) -> tuple[QualityIssue, ...]:
    """Issues of a mono recording [N], to be called before it is resampled or cut."""
    return tuple(_issues(samples, rate_hz))


def _issues(samples: Floats, rate_hz: int) -> Iterator[QualityIssue]:
    levels_db = _frame_levels_db(samples, rate_hz)
    if not levels_db.size or levels_db.max() < SILENT_DB:
        yield QualityIssue(QualityIssueKind.SILENT, "The recording is silent. Check the microphone and record again.")
        return
    spoken = levels_db > levels_db.max() - _SPEECH_RANGE_DB
    first, last = np.flatnonzero(spoken)[[0, -1]]
    speech_seconds = (last + 1 - first) * _FRAME_SECONDS
    if speech_seconds < SHORTEST_SECONDS:
        yield QualityIssue(
            QualityIssueKind.TOO_SHORT,
            f"The recording has {speech_seconds:.1f} s of speech. "
            f"At least {SHORTEST_SECONDS:.0f} s are needed; 10 s are good.",
        )
    seconds = len(samples) / rate_hz
    if seconds > LONGEST_PROMPT_SECONDS:
        yield QualityIssue(
            QualityIssueKind.TOO_LONG,
            f"The recording is {seconds:.0f} s long. More than {LONGEST_PROMPT_SECONDS:.0f} s only cost time: cut it.",
        )
    flat_peaks = _flat_peaks(samples, rate_hz)
    if flat_peaks >= max(3, seconds / 2):
        yield QualityIssue(
            QualityIssueKind.CLIPPED,
            f"The recording is clipped ({flat_peaks} peaks are cut off), which sounds harsh. Record with less gain.",
        )
    margin_db = _noise_margin_db(levels_db, spoken)
    if margin_db < NOISE_MARGIN_DB:
        yield QualityIssue(
            QualityIssueKind.NOISY,
            f"The background is only {margin_db:.0f} dB below the voice and will be cloned with it. "
            "Record in a quiet room, closer to the microphone, or remove the noise.",
        )
    spread_db = _level_spread_db(levels_db, spoken)
    if spread_db > LEVEL_SPREAD_DB:
        yield QualityIssue(
            QualityIssueKind.UNEVEN,
            f"The level changes by {spread_db:.0f} dB within the recording. Use a part that is of one level.",
        )


def _frame_levels_db(samples: Floats, rate_hz: int) -> NDArray[np.float64]:
    """The level of each whole frame against full scale [frames]."""
    frame = max(1, round(_FRAME_SECONDS * rate_hz))
    count = len(samples) // frame
    power = np.square(samples[: count * frame], dtype=np.float64).reshape(count, frame).mean(axis=1)
    return np.asarray(10 * np.log10(power + 1e-20))


def _flat_peaks(samples: Floats, rate_hz: int) -> int:
    """How often the signal, which is not silent, stays at its highest or lowest value."""
    peak = float(np.abs(samples).max())
    at_peak = np.concatenate([[False], np.abs(samples) >= peak * (1 - FLAT_TOLERANCE), [False]])
    edges = np.flatnonzero(at_peak[1:] != at_peak[:-1])
    lengths = edges[1::2] - edges[::2]
    return int(np.count_nonzero(lengths >= max(3, FLAT_SECONDS * rate_hz)))


def _noise_margin_db(levels_db: NDArray[np.float64], spoken: NDArray[np.bool_]) -> float:
    """Level of the noise below the voice; infinity without noise.

    Noise is the quietest tenth if it has one level: in speech without pauses it is the ends of words. Digital silence
    at both ends does not count.
    """
    first, last = np.flatnonzero(levels_db > _NOTHING_DB)[[0, -1]]
    recorded = np.sort(levels_db[first : last + 1])
    quietest = recorded[: max(1, len(recorded) // 10)]
    if quietest.std() > _STEADY_DB:
        return math.inf
    return _mean_db(levels_db[spoken]) - _mean_db(quietest)


def _level_spread_db(levels_db: NDArray[np.float64], spoken: NDArray[np.bool_]) -> float:
    """Between the loudest and the quietest window, each measured where there is speech."""
    means = []
    for start in range(0, len(levels_db) - _WINDOW_FRAMES + 1, _WINDOW_FRAMES // 4):
        window = slice(start, start + _WINDOW_FRAMES)
        if spoken[window].mean() >= _LEAST_SPOKEN:
            means.append(_mean_db(levels_db[window][spoken[window]]))
    return max(means) - min(means) if means else 0.0


def _mean_db(levels_db: NDArray[np.float64]) -> float:
    return float(10 * np.log10(np.mean(10 ** (levels_db / 10))))


def as_array(value: Any) -> NDArray[Any]:  # noqa: ANN401  (a tensor; its library is not imported)
    """A tensor of any library as an array; floats of PyTorch become float32."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = (value.float() if value.is_floating_point() else value).numpy()  # numpy has no bfloat16
    return np.asarray(value)
