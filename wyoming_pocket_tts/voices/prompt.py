"""Recordings as prompts for a voice: read from a file, brought to the model's rate, ended on a pause.

Knows nothing about models; ``assess.py`` says whether a recording makes a good prompt.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from wyoming_pocket_tts.errors import MissingFile, VoiceError
from wyoming_pocket_tts.voices.assess import Finding, FindingKind, assess
from wyoming_pocket_tts.voices.state import as_array

if TYPE_CHECKING:
    from soundfile import SoundFile

__all__ = ["Finding", "FindingKind", "assess", "end_on_pause", "prepare_prompt", "read_audio", "take_samples"]

Floats = NDArray[np.float32]

LONGEST_SECONDS: Final = 300
"""Ten times what helps. Nobody means an hour as a prompt, and it would take the memory of a server."""
TRUNCATED_SECONDS: Final = 30
LOWEST_RATE_HZ: Final = 4_000
HIGHEST_RATE_HZ: Final = 384_000
LOUDEST: Final = 16.0
"""Floats may go beyond full scale, by a decoder's overshoot or a careless export; above this the scale is another."""

_BLOCK_VALUES = 1 << 20
_FRAME_SECONDS = 0.02
_SPEECH_RANGE_DB = 35.0
_FADE_SECONDS = 0.02
_PAUSE_SECONDS = 0.08


def read_audio(path: Path, *, truncate: bool = False) -> tuple[Floats, int]:
    """Read a recording: WAV (8 to 32 bits, floats), FLAC, OGG, MP3 and what else libsndfile knows, by its content.

    What a header says about the length is not believed: reading goes on to the end of the data or a limit.

    Args:
        path: a local file of any rate and number of channels, whose mean is taken.
        truncate: read the first 30 s only, of a file of any length.

    Returns:
        Samples [N] of -1 to 1 (beyond, if the file says so), and how many there are to a second.

    Raises:
        MissingFile: it is not there.
        VoiceError: it holds no audio, is damaged, or is longer than ``LONGEST_SECONDS``.
    """
    import soundfile  # noqa: PLC0415  (loads libsndfile, which speaking with ready-made voices does without)

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
    """Take over a recording from memory, ``[channels, N]`` or ``[N]`` floats of -1 to 1; return the mean ``[N]``.

    Raises:
        VoiceError: it has another shape or type, or holds what no recording does.
    """
    array = as_array(samples)
    if array.ndim not in (1, 2) or not array.size or (array.ndim > 1 and array.shape[0] > array.shape[1]):
        raise VoiceError(f"a voice prompt has the shape [channels, samples], not {list(array.shape)}")
    if array.dtype.kind != "f":
        raise VoiceError(f"a voice prompt holds floats of -1 to 1, not {array.dtype}")
    mono = array if array.ndim == 1 else array.mean(axis=0)
    return _checked(np.ascontiguousarray(mono, dtype=np.float32), "the voice prompt")


def prepare_prompt(samples: Floats, rate_hz: int, *, target_rate_hz: int = 24_000, truncate: bool = False) -> Floats:
    """Make of a recording what a model's encoder takes.

    Args:
        samples: mono, [N].
        rate_hz: its rate.
        target_rate_hz: the model's rate.
        truncate: use the first 30 s only.

    Returns:
        [M], at the model's rate, ending in a pause of 80 ms.
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

    A model goes on where its prompt stopped: within a word, the rest of it would begin every chunk; after a long
    silence, speech would begin late. Silence is what is 35 dB below the loudest 20 ms. Shorter audio stays as it is.

    Args:
        samples: mono, [N].
        rate_hz: its rate.
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
