"""Who speaks for a voice whose engine is kept busy by others: an embedded one. Pure: knows no load and no engine."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from wyoming_pocket_tts.cast import Cast
from wyoming_pocket_tts.errors import VoiceError
from wyoming_pocket_tts.speech import Voice
from wyoming_pocket_tts.voices.catalogue import Choice, choose_voice


class StandIns:
    """Embedded voices that can take others' places.

    Args:
        cast: everybody who can be asked to speak.
        embedded: the embedded voices' names there, the preferred one first.
    """

    def __init__(self, cast: Cast, embedded: Sequence[str]) -> None:
        self._cast = cast
        self._embedded = tuple(embedded)

    def find(self, choice: Choice) -> Choice | None:
        """An embedded voice of the same language, in the manner of the one that was meant; None if there is none.

        Who is spoken by an embedded voice already, stays.
        """
        if self._is_embedded(choice.voice):
            return choice
        try:
            found = choose_voice(list(self._voices()), language=choice.voice.languages[0])
        except VoiceError:
            return None
        return replace(choice, voice=found.voice, speaker=found.speaker, why=f"it stands in for {choice.voice.name!r}")

    def _is_embedded(self, voice: Voice) -> bool:
        try:
            return self._cast.base(voice.name) in self._embedded
        except VoiceError:  # it has just gone
            return False

    def _voices(self) -> Iterator[Voice]:
        yield from (voice for name in self._embedded for voice in self._cast.voices() if voice.name == name)
