"""One loaded model as a `Synthesizer`."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wyoming_pocket_tts.core.errors import EmptyText, TtsError, VoiceError, VoiceUnavailable
from wyoming_pocket_tts.core.types import Derived, Pcm, SynthesisRequest, Voice
from wyoming_pocket_tts.pocket.batch_engine import Listener
from wyoming_pocket_tts.pocket.model import TTSModel
from wyoming_pocket_tts.pocket.voice_state import VoiceStateCache
from wyoming_pocket_tts.pocket.voice_store import ModelVoices

_VOICES_IN_MEMORY = 4
"""Some six megabytes each for the larger models."""
_LOUDEST = 32_767


class PocketSynthesizer:
    """A model that speaks with voices from files.

    Args:
        model: the loaded model.
        voices: its voices.
        listener: hears how the model fares while several speak; None for nobody.

    Whoever made it closes it: with ONNX Runtime it has a thread while it speaks.
    """

    def __init__(self, model: TTSModel, voices: ModelVoices, *, listener: Listener | None = None) -> None:
        self._model = model
        self._voices = voices
        self._states = VoiceStateCache(_VOICES_IN_MEMORY)
        self._choir = model.choir(listener)

    def voices(self) -> Sequence[Voice]:
        """The ready-made voices, the default one first, and those of one's own."""
        return self._voices.voices()

    def synthesize(self, request: SynthesisRequest) -> Derived[Any]:
        """Speak in blocks of one frame of 80 ms or several; nothing for a text without a word.

        Raises:
            VoiceError: the voice is not there, or its file is damaged.
            ModelError: the model failed.
        """
        return Derived(lambda: self._begin(request), lambda pieces: (_pcm(np.asarray(piece)) for piece in pieces))

    def close(self, deadline_seconds: float = 5.0, reason: TtsError | None = None) -> None:
        """End what is being spoken, which fails, and the thread that speaks; a model that hangs is left behind.

        Args:
            deadline_seconds: time for the call under way to come to its end.
            reason: what those hear who listen; None for that the model is being closed.
        """
        if self._choir is not None:
            self._choir.close(deadline_seconds, reason)

    @property
    def busy_seconds(self) -> float:
        """How long the model has been computing one thing; 0 when it does not. A hung model is known by it."""
        return 0.0 if self._choir is None else self._choir.busy_seconds

    @property
    def is_left_behind(self) -> bool:
        """Whether a call that was under way when it was closed is so still: what it needs stays in memory."""
        return self._choir is not None and self._choir.is_left_behind

    def _begin(self, request: SynthesisRequest) -> Iterator[Any]:
        path, manner = self._voices.path(request), request.manner
        try:
            state = self._states.get(_identity(path), lambda: self._model.get_state_for_audio_prompt(path))
        except VoiceUnavailable:
            raise
        except VoiceError:
            self._voices.give_up(path)
            raise
        try:
            script = self._model.script(
                state, request.text, temp=manner.temperature, eos_threshold=manner.eos_threshold
            )
        except EmptyText:
            return iter(())
        return self._model.speak(script) if self._choir is None else self._choir.speak(script)


def _identity(path: Path) -> tuple[Path, int, int]:
    """What changes when a file does."""
    try:
        status = path.stat()
    except OSError as error:
        raise VoiceUnavailable(f"{path}: the voice is not there ({error.strerror or error})") from error
    return path, status.st_mtime_ns, status.st_size


def _pcm(samples: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Pcm:
    pcm: Pcm = np.nan_to_num(np.rint(samples * _LOUDEST).clip(-_LOUDEST - 1, _LOUDEST)).astype(np.int16)
    return pcm
