"""When the speech of a chunk of text is over. Knows no engine, thread or clock: frames go in, decisions come out."""

import logging
import math

from wyoming_pocket_tts.pocket.backend import Frame

logger = logging.getLogger(__name__)

_FIRST_FRAME_THAT_MAY_END = 6
"""Before speech has begun, some voices look as if they had finished."""
_TOKENS_PER_SECOND = 3.0
_SPARE_SECONDS = 2.0


def frame_limit(tokens: int, frames_per_second: float) -> int:
    """Give the number of steps after which a chunk of so many tokens is given up."""
    return math.ceil((tokens / _TOKENS_PER_SECOND + _SPARE_SECONDS) * frames_per_second)


class ChunkRules:
    """Decides frame by frame, for one chunk.

    Args:
        tokens: of the chunk, for the message.
        limit: frames after which it is given up.
        eos_threshold: the end is where the end's logit is above it.
        frames_after_eos: frames after the end.
    """

    def __init__(self, tokens: int, *, limit: int, eos_threshold: float, frames_after_eos: int) -> None:
        self.over = limit < 1
        """Whether no further frame is wanted."""
        self._tokens = tokens
        self._limit = limit
        self._eos_threshold = eos_threshold
        self._frames_after_eos = frames_after_eos
        self._index = 0
        self._last: int | None = None

    def accept(self, frame: Frame) -> bool:
        """Take the next frame; return whether it is spoken. The one that finds the chunk over is not."""
        index, self._index = self._index, self._index + 1
        if self._last is None and index >= _FIRST_FRAME_THAT_MAY_END and frame.eos_logit > self._eos_threshold:
            self._last = index + self._frames_after_eos
        if self._last is not None and index >= self._last:
            self.over = True
            return False
        if self._index == self._limit:
            self.over = True
            logger.warning(
                "no end of speech after %d frames of a chunk of %d tokens: "
                "the voice or the text may not suit the model",
                self._limit,
                self._tokens,
            )
        return True
