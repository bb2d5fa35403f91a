"""One loaded model as a `Synthesizer`."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np

from wyoming_pocket_tts.core.errors import EmptyText, VoiceError, VoiceUnavailable
from wyoming_pocket_tts.core.events import Observer
from wyoming_pocket_tts.core.types import LoadedSynthesizer, Pcm, Pending, SynthesisRequest, Voice
from wyoming_pocket_tts.pocket.generate import GenerationRequest
from wyoming_pocket_tts.pocket.model import TTSModel
from wyoming_pocket_tts.pocket.voice_state import VoiceStateCache
from wyoming_pocket_tts.pocket.voice_store import ModelVoices

_VOICES_IN_MEMORY = 4
"""Some six megabytes each for the larger models."""
_LOUDEST = 32_767


class PocketSynthesizer(LoadedSynthesizer):
    """A model with voices from files; its owner closes it. ``listener`` is notified of batches and faults."""

    def __init__(self, model: TTSModel, voices: ModelVoices, *, listener: Observer | None = None) -> None:
        self._model = model
        self._voices = voices
        self._states = VoiceStateCache(_VOICES_IN_MEMORY)
        self._engine = model.batch_engine(listener)

    def voices(self) -> Sequence[Voice]:
        return self._voices.voices()

    def stream(self, request: SynthesisRequest, on_ready: Callable[[], None] | None = None) -> Iterator[Pcm | Pending]:
        """Blocks of one or several frames of 80 ms; none for a text without a word."""
        try:
            generation = self._prepare(request)
        except EmptyText:
            return
        if self._engine is None:
            for samples in self._model.generate(generation):
                yield _pcm(np.asarray(samples))
            return
        with closing(self._engine.add_sequence(generation)) as sequence:
            while (decoded := sequence.read(on_ready)) is not None:
                yield decoded if isinstance(decoded, Pending) else _pcm(decoded)

    def close(self, deadline_seconds: float = 5.0, reason: Exception | None = None) -> None:
        if self._engine is not None:
            self._engine.close(deadline_seconds, reason)

    @property
    def called_at(self) -> float | None:
        return None if self._engine is None else self._engine.called_at

    def _prepare(self, request: SynthesisRequest) -> GenerationRequest:
        files, options = request.voice.files, request.options
        path = files.get(request.speaker or "") or next(iter(files.values()), None)
        if path is None:
            raise VoiceError(f"the voice '{request.voice.name}' has no file")
        try:
            state = self._states.get(_identity(path), partial(self._model.read_voice, path))
        except VoiceUnavailable:
            raise
        except VoiceError:
            self._voices.discard(path)
            raise
        return self._model.prepare(state, request.text, temp=options.temperature, eos_threshold=options.eos_threshold)


def _identity(path: Path) -> tuple[Path, int, int]:
    try:
        status = path.stat()
    except OSError as error:
        raise VoiceUnavailable(f"{path}: the voice is not there ({error.strerror or error})") from error
    return path, status.st_mtime_ns, status.st_size


def _pcm(samples: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Pcm:
    pcm: Pcm = np.nan_to_num(np.rint(samples * _LOUDEST).clip(-_LOUDEST - 1, _LOUDEST)).astype(np.int16)
    return pcm
