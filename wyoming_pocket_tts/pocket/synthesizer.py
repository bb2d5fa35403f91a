"""One Pocket TTS model as a synthesizer: its ready-made voices, each able to speak once its file is there.

Knows nothing about how models and voices are brought here, nor who asks.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from wyoming_pocket_tts.errors import EmptyText, VoiceError
from wyoming_pocket_tts.pocket.prompt_cache import PromptCache
from wyoming_pocket_tts.pocket.tts_model import TTSModel
from wyoming_pocket_tts.speech import Pcm, Request, Voice
from wyoming_pocket_tts.text.normalize import normalize

_VOICES_IN_MEMORY = 4
"""Some six megabytes each for the larger models."""
_LOUDEST = 32_767
_SUFFIX = ".safetensors"


def voice_name(model: str, voice: str) -> str:
    """What clients call a voice of a model. It stays the same whatever else is installed."""
    return f"{model}-{voice}"


def listed_voices(model: str, voices: Sequence[str], *, language: str, rate_hz: int, there: set[str]) -> list[Voice]:
    """Describe the ready-made voices of a model.

    Args:
        model: its name.
        voices: the voices' names, the default one first.
        language: what the model speaks, as a tag.
        rate_hz: its samples per second.
        there: names of the voices that can be spoken with now.
    """
    return [
        Voice(
            name=voice_name(model, voice),
            description=f"{voice.replace('_', ' ').title()} ({model})",
            languages=(language,),
            sample_rate_hz=rate_hz,
            installed=voice in there,
            attribution_name="Kyutai, CC-BY-4.0",
        )
        for voice in voices
    ]


class PocketSynthesizer:
    """A model that speaks with voices from a directory.

    Args:
        model: the loaded model.
        name: what the model is called in the names of its voices.
        voices: names of all its voices, the default one first.
        language: what it speaks, as a tag.
        directory: holds ``NAME.safetensors`` for each voice that is there; others may be put there at any time.
    """

    def __init__(self, model: TTSModel, *, name: str, voices: Sequence[str], language: str, directory: Path) -> None:
        self._model = model
        self._name = name
        self._names = {voice_name(name, voice): voice for voice in voices}
        self._language = language
        self._directory = directory
        self._states = PromptCache(_VOICES_IN_MEMORY)
        self._voices: tuple[Voice, ...] = ()
        self.look_for_voices()

    def look_for_voices(self) -> None:
        """Notice the voices that were put into the directory since."""
        there = {path.stem for path in self._directory.glob(f"*{_SUFFIX}")}
        self._voices = tuple(
            listed_voices(
                self._name,
                list(self._names.values()),
                language=self._language,
                rate_hz=self._model.sample_rate,
                there=there,
            )
        )

    def voices(self) -> Sequence[Voice]:
        """All ready-made voices, the default one first."""
        return self._voices

    def synthesize(self, request: Request) -> Iterator[Pcm]:
        """Speak in blocks of one frame of 80 ms or several; nothing for a text without a word.

        Raises:
            VoiceError: the voice's file has gone or is damaged.
            ModelError: the model failed.
        """
        voice = self._names.get(request.voice.name)
        if voice is None:
            raise VoiceError(f"the model {self._name} has no voice '{request.voice.name}'")
        path = self._directory / f"{voice}{_SUFFIX}"
        state = self._states.get(voice, lambda: self._model.get_state_for_audio_prompt(path))
        try:
            with closing(self._model.generate_audio_stream(state, normalize(request.text, self._language))) as pieces:
                for piece in pieces:
                    yield _pcm(np.asarray(piece))
        except EmptyText:
            return


def _pcm(samples: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Pcm:
    return np.rint(samples * _LOUDEST).clip(-_LOUDEST - 1, _LOUDEST).astype(np.int16)
