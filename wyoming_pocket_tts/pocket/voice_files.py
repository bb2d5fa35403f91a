"""The voices of one Pocket TTS model, from files: which there are, and which file a request means.

Knows nothing about how models and voices are brought here, nor whether the model is in memory.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from wyoming_pocket_tts.errors import VoiceError
from wyoming_pocket_tts.speech import Request, Voice
from wyoming_pocket_tts.voices.styles import VOICE_SUFFIX
from wyoming_pocket_tts.voices.tensor_file import looks_whole

logger = logging.getLogger(__name__)

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


class VoiceFiles:
    """Ready-made voices, each of which is there once its file is, and those of the user's own.

    Args:
        name: what the model is called in the names of its voices.
        voices: names of all its ready-made voices, the default one first.
        language: what it speaks, as a tag.
        rate_hz: its samples per second.
        directory: holds ``NAME.safetensors`` for each ready-made voice that is there; others may come at any time.
    """

    def __init__(self, *, name: str, voices: Sequence[str], language: str, rate_hz: int, directory: Path) -> None:
        self._name = name
        self._paths = {voice_name(name, voice): directory / f"{voice}{VOICE_SUFFIX}" for voice in voices}
        self._ready_made_names = tuple(voices)
        self._language = language
        self._rate_hz = rate_hz
        self._ready_made: tuple[Voice, ...] = ()
        self._own: Mapping[str, OwnVoice] = {}
        self._gone: Mapping[str, OwnVoice] = {}
        self._lock = Lock()
        self.look_for_voices()

    def look_for_voices(self) -> None:
        """Notice which ready-made voices are there by now."""
        with self._lock:  # else an older look could have the last word
            there = {path.stem for path in self._paths.values() if looks_whole(path)}
            self._ready_made = tuple(
                listed_voices(
                    self._name, self._ready_made_names, language=self._language, rate_hz=self._rate_hz, there=there
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

    def path(self, request: Request) -> Path:
        """The file of the voice, in the style, that is asked for.

        Raises:
            VoiceError: there is no such voice.
        """
        name = request.voice.name
        if name in self._paths:
            return self._paths[name]
        own = self._own.get(name) or self._gone.get(name)
        if own is None:
            raise VoiceError(f"the model {self._name} has no voice '{name}'")
        return own.styles.get(request.speaker or "") or next(iter(own.styles.values()))

    def give_up(self, path: Path) -> None:
        """Delete a file that cannot be used. What lies here is ours alone, and can be made again."""
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
            sample_rate_hz=self._rate_hz,
            speakers=tuple(own.styles) if len(own.styles) > 1 else (),
        )
