"""One Pocket TTS model as a synthesizer: its ready-made voices and those of one's own, each able to speak once its file
is there.

Knows nothing about how models and voices are brought here, what clients wrote, nor who asks.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from wyoming_pocket_tts.errors import EmptyText, VoiceError, VoiceOutOfReach
from wyoming_pocket_tts.pocket.choir import Listener
from wyoming_pocket_tts.pocket.prompt_cache import PromptCache
from wyoming_pocket_tts.pocket.tts_model import TTSModel
from wyoming_pocket_tts.speech import Derived, Pcm, Request, Voice
from wyoming_pocket_tts.voices.styles import VOICE_SUFFIX
from wyoming_pocket_tts.voices.tensor_file import looks_whole

logger = logging.getLogger(__name__)

_VOICES_IN_MEMORY = 4
"""Some six megabytes each for the larger models."""
_LOUDEST = 32_767
_GONE_REMEMBERED = 64


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


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnVoice:
    """A voice that is not the model's maker's.

    Attributes:
        name: what clients call it.
        description: what people read.
        styles: a file for each way in which it speaks, the default one first; files of the house's, which never change.
        language: a tag; None for the model's language.
    """

    name: str
    description: str
    styles: Mapping[str, Path]
    language: str | None = None


class PocketSynthesizer:
    """A model that speaks with voices from files.

    Args:
        model: the loaded model.
        name: what the model is called in the names of its voices.
        voices: names of all its ready-made voices, the default one first.
        language: what it speaks, as a tag.
        directory: holds ``NAME.safetensors`` for each ready-made voice that is there; others may come at any time.
        listener: hears how the model fares while several speak; None for nobody.

    Whoever made it closes it: with ONNX Runtime it has a thread while it speaks.
    """

    def __init__(
        self,
        model: TTSModel,
        *,
        name: str,
        voices: Sequence[str],
        language: str,
        directory: Path,
        listener: Listener | None = None,
    ) -> None:
        self._model = model
        self._name = name
        self._paths = {voice_name(name, voice): directory / f"{voice}{VOICE_SUFFIX}" for voice in voices}
        self._ready_made_names = tuple(voices)
        self._language = language
        self._states = PromptCache(_VOICES_IN_MEMORY)
        self._ready_made: tuple[Voice, ...] = ()
        self._own: Mapping[str, OwnVoice] = {}
        self._gone: Mapping[str, OwnVoice] = {}
        self._lock = Lock()
        self._choir = model.choir(listener)
        self.look_for_voices()

    def look_for_voices(self) -> None:
        """Notice which ready-made voices are there by now."""
        with self._lock:  # else an older look could have the last word
            there = {path.stem for path in self._paths.values() if looks_whole(path)}
            self._ready_made = tuple(
                listed_voices(
                    self._name,
                    self._ready_made_names,
                    language=self._language,
                    rate_hz=self._model.sample_rate,
                    there=there,
                )
            )

    def speak_also_as(self, own: Sequence[OwnVoice]) -> None:
        """Have these voices of one's own from now on, in place of those before.

        Those that go are no longer listed; for answers that began with them the last ones of them still speak.
        """
        with self._lock:
            now = {voice.name: voice for voice in own}
            gone = [(name, voice) for name, voice in (*self._gone.items(), *self._own.items()) if name not in now]
            self._own, self._gone = now, dict(gone[-_GONE_REMEMBERED:])

    def voices(self) -> Sequence[Voice]:
        """The ready-made voices, the default one first, and those of one's own."""
        return (*self._ready_made, *map(self._listed, self._own.values()))

    def synthesize(self, request: Request) -> Derived[Any]:
        """Speak in blocks of one frame of 80 ms or several; nothing for a text without a word.

        Raises:
            VoiceError: the voice is not there, or its file is damaged.
            ModelError: the model failed.
        """
        return Derived(lambda: self._begin(request), lambda pieces: (_pcm(np.asarray(piece)) for piece in pieces))

    def close(self, deadline_seconds: float = 5.0) -> None:
        """End what is being spoken, which fails, and the thread that speaks; a model that hangs is left behind."""
        if self._choir is not None:
            self._choir.close(deadline_seconds)

    @property
    def busy_seconds(self) -> float:
        """How long the model has been computing one thing; 0 when it does not. A hung model is known by it."""
        return 0.0 if self._choir is None else self._choir.busy_seconds

    def _begin(self, request: Request) -> Iterator[Any]:
        path, manner = self._path(request), request.manner
        try:
            state = self._states.get(_identity(path), lambda: self._model.get_state_for_audio_prompt(path))
        except VoiceOutOfReach:
            raise
        except VoiceError:
            self._give_up(path)
            raise
        try:
            script = self._model.script(
                state, request.text, temp=manner.temperature, eos_threshold=manner.eos_threshold
            )
        except EmptyText:
            return iter(())
        return self._model.speak(script) if self._choir is None else self._choir.speak(script)

    def _path(self, request: Request) -> Path:
        name = request.voice.name
        if name in self._paths:
            return self._paths[name]
        own = self._own.get(name) or self._gone.get(name)
        if own is None:
            raise VoiceError(f"the model {self._name} has no voice '{name}'")
        return own.styles.get(request.speaker or "") or next(iter(own.styles.values()))

    def _give_up(self, path: Path) -> None:
        """What lies here is ours alone, and can be made again: what cannot be used is not there."""
        path.unlink(missing_ok=True)
        self.look_for_voices()
        logger.warning(
            "%s: the voice is damaged and was deleted; it is brought again, at the latest at the next start", path
        )

    def _listed(self, own: OwnVoice) -> Voice:
        return Voice(
            name=own.name,
            description=own.description,
            languages=(own.language or self._language,),
            sample_rate_hz=self._model.sample_rate,
            speakers=tuple(own.styles) if len(own.styles) > 1 else (),
        )


def _identity(path: Path) -> tuple[Path, int, int]:
    """What changes when a file does."""
    try:
        status = path.stat()
    except OSError as error:
        raise VoiceOutOfReach(f"{path}: the voice is not there ({error.strerror or error})") from error
    return path, status.st_mtime_ns, status.st_size


def _pcm(samples: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Pcm:
    pcm: Pcm = np.nan_to_num(np.rint(samples * _LOUDEST).clip(-_LOUDEST - 1, _LOUDEST)).astype(np.int16)
    return pcm
