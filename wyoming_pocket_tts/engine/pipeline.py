"""From a request to audio: text normalisation, the model of the voice, effects."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from threading import Lock
from typing import Protocol

from wyoming_pocket_tts.audio.effects import shape
from wyoming_pocket_tts.core.errors import VoiceError
from wyoming_pocket_tts.core.types import (
    Pcm,
    Pending,
    SynthesisOptions,
    SynthesisRequest,
    Synthesizer,
    TextOptions,
    Voice,
    close,
)
from wyoming_pocket_tts.text.normalization.pipeline import normalize_text

_LOGGER = logging.getLogger(__name__)

Normalize = Callable[[str, str, TextOptions], str]
Effects = Callable[[Iterator[Pcm | Pending], int, SynthesisOptions], Iterator[Pcm | Pending]]


class ModelRouter(Synthesizer):
    """Several synthesizers as one: the expected models in their order, then the embedded voices.

    ``expected`` are models that are being installed, and their voices until then.
    """

    def __init__(self, embedded: Synthesizer, expected: Mapping[str, Sequence[Voice]]) -> None:
        self._embedded = embedded
        self._expected = dict(expected)
        self._models: dict[str, Synthesizer] = {}
        self._lock = Lock()
        self._listed: tuple[Voice, ...] = ()  # replaced as a whole
        self.refresh()

    def add(self, name: str, model: Synthesizer) -> None:
        """Route to a model from now on, in its expected place or behind the others."""
        with self._lock:
            self._models = {**self._models, name: model}
        self.refresh()

    def models(self) -> dict[str, str]:
        """The expected models, in their order: ``ready``, or ``coming``."""
        here = self._models
        return {name: "ready" if name in here else "coming" for name in self._expected}

    def has_models(self) -> bool:
        return bool(self._models)

    def refresh(self) -> None:
        """List the voices anew; to be called when those of a model have changed. From any thread."""
        with self._lock:
            names = [*self._expected, *(name for name in self._models if name not in self._expected)]
            listed: list[Voice] = []
            for name in names:
                model = self._models.get(name)
                listed += self._expected[name] if model is None else _assigned(model)
            self._listed = (*listed, *_assigned(self._embedded))

    def voices(self) -> Sequence[Voice]:
        """The voices of all models, here or expected, then the embedded ones; the same object until they change."""
        return self._listed

    def stream(self, request: SynthesisRequest, on_ready: Callable[[], None] | None = None) -> Iterator[Pcm | Pending]:
        """Synthesize with the model that lists the voice; a ``VoiceError`` if it was not added yet."""
        if request.voice.synthesizer is None:
            raise VoiceError(f"the voice '{request.voice.name}' is not there")
        yield from request.voice.synthesizer.stream(request, on_ready)


def _assigned(model: Synthesizer) -> list[Voice]:
    return [replace(voice, synthesizer=model) for voice in model.voices()]


class _Catalog(Protocol):
    def voices(self) -> Sequence[Voice]: ...


class SynthesisPipeline(Synthesizer):
    """Synthesizes for the voices of a catalog: normalises the text, generates with the voice's model, applies effects.

    ``engine`` is for voices that no router has assigned to a model.
    """

    def __init__(
        self,
        engine: Synthesizer,
        catalog: _Catalog,
        *,
        normalize: Normalize = normalize_text,
        effects: Effects = shape,
    ) -> None:
        self._engine = engine
        self._catalog = catalog
        self._normalize = normalize
        self._effects = effects

    def voices(self) -> Sequence[Voice]:
        return self._catalog.voices()

    def stream(self, request: SynthesisRequest, on_ready: Callable[[], None] | None = None) -> Iterator[Pcm | Pending]:
        """Blocks have ``options.rate_hz`` or the engine's voice's rate; a ``VoiceError`` if that is not installed."""
        voice = request.voice.engine_voice
        if voice is None:
            raise VoiceError(f"the voice '{request.voice.name}' is not installed yet")
        text = self._normalize(request.text, request.language or request.voice.languages[0], request.options.text)
        # Texts of users are for the debug log alone.
        written = "" if text == request.text else f" (written {request.text!r})"
        _LOGGER.debug("%r says %r%s", voice.name, text, written)
        asked = replace(request, text=text, voice=voice, speaker=request.voice.style or request.speaker)
        blocks = (voice.synthesizer or self._engine).stream(asked, on_ready)
        try:
            yield from self._effects(blocks, voice.sample_rate_hz, request.options)
        finally:
            close(blocks)
