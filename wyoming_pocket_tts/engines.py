"""Loads synthesizers by name. The one place that knows them all; imports each only when it is asked for."""

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wyoming_pocket_tts.speech import Synthesizer


class Engine(StrEnum):
    """What can turn text into audio."""

    KOKORO = "kokoro"
    """The embedded voice."""
    TONE = "tone"
    """A beep, for tests of everything around the voice."""


def load_engine(engine: Engine) -> "Synthesizer":
    """Load a synthesizer, ready to speak. Takes seconds: not for an event loop's thread.

    Raises:
        ModelError: its files are missing or broken.
    """
    match engine:
        case Engine.KOKORO:
            from wyoming_pocket_tts.kokoro.runtime import load_kokoro  # noqa: PLC0415  (numpy and the model)

            return load_kokoro()
        case Engine.TONE:
            from wyoming_pocket_tts.engine.tone import ToneSynthesizer  # noqa: PLC0415  (numpy)

            return ToneSynthesizer()
