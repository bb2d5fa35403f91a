"""Speaks for everybody in the cast: reads the text, lets the engine's voice speak, shapes what it says.

Knows no model and no client. What is neither read nor shaped passes as the engine made it.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from wyoming_pocket_tts.audio.shaping import shape
from wyoming_pocket_tts.cast import Cast
from wyoming_pocket_tts.errors import VoiceError
from wyoming_pocket_tts.speech import Derived, Manner, Pcm, Reading, Request, Synthesizer, Voice
from wyoming_pocket_tts.text.reading import read_aloud

_LOGGER = logging.getLogger(__name__)

Read = Callable[[str, str, Reading], str]
Shape = Callable[[Iterator[Pcm], int, Manner], Iterator[Pcm]]


class Narrator:
    """The engine with everybody who is in the cast. Implements ``speech.Synthesizer``.

    Args:
        engine: what speaks.
        cast: who can be asked, made with this engine's voices.
        read: makes of a text what is to be said: text, language tag, reading.
        shape: gives audio the manner's speed, volume and rate: blocks, their rate, manner.
    """

    def __init__(self, engine: Synthesizer, cast: Cast, *, read: Read = read_aloud, shape: Shape = shape) -> None:
        self._engine = engine
        self._cast = cast
        self._read = read
        self._shape = shape

    def voices(self) -> Sequence[Voice]:
        """Everybody in the cast, the default voice first."""
        return self._cast.voices()

    def synthesize(self, request: Request) -> Derived[Pcm]:
        """Speak in blocks, as soon as each exists, at ``request.manner.rate_hz`` or else the engine's voice's rate.

        The request's manner counts, whole; ``Cast.choose`` made it.

        Raises:
            VoiceError: the voice is not there, or not yet.
            SpeechError: the text cannot be spoken.
        """
        part: list[Voice] = []  # found when it begins

        def begin() -> Iterator[Pcm]:
            asked = self._asked(request)
            part.append(asked.voice)
            return self._engine.synthesize(asked)

        return Derived(begin, lambda blocks: self._shape(blocks, part[0].sample_rate_hz, request.manner))

    def _asked(self, request: Request) -> Request:
        """What the engine is asked for."""
        part = self._cast.part(request.voice.name)
        if part.engine is None:
            raise VoiceError(f"the voice '{request.voice.name}' is not installed yet")
        language = request.language or part.voice.languages[0]
        text = self._read(request.text, language, request.manner.reading)
        # Words of people's lives: for the debug log alone, which says so.
        written = "" if text == request.text else f" (written {request.text!r})"
        _LOGGER.debug("%r says %r%s", part.engine.name, text, written)
        return replace(
            request,
            text=text,
            voice=part.engine,
            speaker=part.speaker or request.speaker,
        )
