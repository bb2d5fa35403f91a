"""All voices of the service: those it always has, and those of models that come while it runs.

Knows nothing about any model, nor where they come from.
"""

from collections.abc import Mapping, Sequence
from threading import Lock

from wyoming_pocket_tts.errors import VoiceError
from wyoming_pocket_tts.speech import Derived, Pcm, Request, Synthesizer, Voice

_NAMES_REMEMBERED = 256


class Repertoire:
    """Several synthesizers as one. Models stand before what is embedded: they are what one waited for.

    The order is that of the expectation and does not change when models come.

    Args:
        embedded: what speaks from the beginning, and whenever nothing else can.
        expected: the models that are on their way, in the order of preference, each with its voices: these are listed
            as they are given until the model comes.
    """

    def __init__(self, embedded: Synthesizer, expected: Mapping[str, Sequence[Voice]]) -> None:
        self._embedded = embedded
        self._expected = dict(expected)
        self._models: dict[str, Synthesizer] = {}
        self._lately: dict[str, Synthesizer] = {}
        self._lock = Lock()

    def add(self, name: str, model: Synthesizer) -> None:
        """Let a model speak from now on, in its expected place or behind the others; what is being spoken goes on."""
        with self._lock:
            self._models = {**self._models, name: model}

    def models(self) -> dict[str, str]:
        """The expected models, in their order: ``ready``, or ``coming``."""
        here = self._models
        return {name: "ready" if name in here else "coming" for name in self._expected}

    def has_models(self) -> bool:
        """Whether any model can speak."""
        return bool(self._models)

    def voices(self) -> Sequence[Voice]:
        """The voices of all models, here or on their way, then the embedded ones."""
        models = self._models
        expected = {**self._expected, **{name: () for name in models if name not in self._expected}}
        of_models = (
            voice
            for name, coming in expected.items()
            for voice in (models[name].voices() if name in models else coming)
        )
        return [*of_models, *self._embedded.voices()]

    def synthesize(self, request: Request) -> Derived[Pcm]:
        """Speak with whom the voice belongs to.

        Raises:
            VoiceError: the voice is nobody's, or of a model that has not come yet.
            SpeechError: the text cannot be spoken.
        """
        return Derived(lambda: self._speaker_of(request).synthesize(request), lambda blocks: blocks)

    def _speaker_of(self, request: Request) -> Synthesizer:
        name = request.voice.name
        for part in (*self._models.values(), self._embedded):
            if any(voice.name == name for voice in part.voices()):
                self._remember(name, part)
                return part
        if name in self._lately:  # it has gone from the list; an answer that began with it ends with it
            return self._lately[name]
        raise VoiceError(f"the voice '{request.voice.name}' is not there")

    def _remember(self, name: str, part: Synthesizer) -> None:
        if self._lately.get(name) is not part:
            with self._lock:
                self._lately = dict([*self._lately.items(), (name, part)][-_NAMES_REMEMBERED:])
