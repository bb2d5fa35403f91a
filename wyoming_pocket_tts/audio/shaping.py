"""Gives speech the tempo, the sample rate and the volume that a manner asks for, while it is being made.

Knows nothing about voices and models. Where nothing is to be done nothing is: not even a copy.
"""

from collections.abc import Iterator

import numpy as np

from wyoming_pocket_tts.audio.effect import Effect, Samples
from wyoming_pocket_tts.audio.rate import Rate
from wyoming_pocket_tts.audio.tempo import Tempo
from wyoming_pocket_tts.audio.volume import Volume
from wyoming_pocket_tts.speech import Manner, Pcm

_LIMITS = np.iinfo(np.int16)


def shape(blocks: Iterator[Pcm], rate_hz: int, manner: Manner) -> Iterator[Pcm]:
    """Change speech block by block; however it is cut into blocks, the same samples come out.

    Closing the result closes ``blocks``. What goes wrong there is raised here.

    Args:
        blocks: the speech; taken over.
        rate_hz: its samples a second.
        manner: ``speed``, ``volume_db`` and ``rate_hz`` are looked at.

    Returns:
        ``blocks`` itself if nothing is to be changed; else an iterator that does nothing before the first ``next``.

    Raises:
        ConfigError: what the manner asks for cannot be had.
    """
    effects = _effects(rate_hz, manner)
    return _shaped(blocks, effects) if effects else blocks


def silence(seconds: float, rate_hz: int) -> Pcm:
    """Zeros of that duration, to the nearest sample."""
    return np.zeros(round(seconds * rate_hz), np.int16)


def _effects(rate_hz: int, manner: Manner) -> list[Effect]:
    """In the order in which they do least harm: limiting comes last, as resampling can make peaks higher."""
    effects: list[Effect] = []
    if manner.speed != 1:
        effects.append(Tempo(manner.speed, rate_hz))
    target_hz = rate_hz if manner.rate_hz is None else manner.rate_hz
    if target_hz != rate_hz:
        effects.append(Rate(rate_hz, target_hz))
    if manner.volume_db != 0:
        effects.append(Volume(manner.volume_db, target_hz))
    return effects


def _shaped(blocks: Iterator[Pcm], effects: list[Effect]) -> Iterator[Pcm]:
    try:
        for block in blocks:
            samples = block.astype(np.float64)
            for effect in effects:
                samples = effect.push(samples)
            if len(samples):
                yield _pcm(samples)
        if len(samples := _rest(effects)):
            yield _pcm(samples)
    finally:
        if (close := getattr(blocks, "close", None)) is not None:
            close()


def _rest(effects: list[Effect]) -> Samples:
    """Empty the chain from its beginning: what one has kept goes through all that follow."""
    samples: Samples = np.zeros(0)
    for effect in effects:
        samples = np.concatenate([effect.push(samples), effect.finish()])
    return samples


def _pcm(samples: Samples) -> Pcm:
    return np.rint(samples).clip(_LIMITS.min, _LIMITS.max).astype(np.int16)
