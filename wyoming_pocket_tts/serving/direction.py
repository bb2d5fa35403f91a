"""Turns the pieces of one answer into requests: whose voice, in which manner. Knows nothing about events.

An answer has one rate, that of the voice it was begun with: what another voice says within it is asked for at that
rate, since clients take the format from the first ``audio-start``.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final, Protocol

from wyoming_pocket_tts.errors import VoiceError, shown
from wyoming_pocket_tts.speech import SILENT_DB, Manner, Request
from wyoming_pocket_tts.text.pieces import Complaint, Piece, Style
from wyoming_pocket_tts.voices.catalogue import Choice

_SLOWEST: Final = 0.5
_FASTEST: Final = 2.0
_LOUDEST_DB: Final = 20.0


class ChooseVoice(Protocol):
    """Finds the voice that a client means."""

    def __call__(self, *, name: str | None, speaker: str | None, language: str | None) -> Choice:
        """Choose.

        Raises:
            VoiceError: nobody can speak so.
        """
        ...


FindStandIn = Callable[[Choice], Choice | None]
"""Finds who can speak instead of somebody whose engine has too much to do."""


class Direction:
    """How one answer is to be spoken."""

    def __init__(self, choice: Choice, choose: ChooseVoice) -> None:
        """Take the voice of the answer, and a way to find others that its text asks for."""
        self.choice = choice
        self.rate_hz = choice.manner.rate_hz or choice.voice.sample_rate_hz
        self._choose = choose
        self._others: dict[tuple[str | None, str | None], Choice] = {}
        self._warnings: list[Complaint] = []

    def request(self, piece: Piece) -> Request:
        """What to ask of a synthesizer, so that it speaks the piece. Only pieces with text can be spoken."""
        style = piece.style
        choice = self._choice(style)
        return Request(
            text=piece.text,
            voice=choice.voice,
            speaker=choice.speaker,
            manner=self._manner(choice.manner, style),
            language=style.language,
        )

    def by_stand_ins(self, find: FindStandIn) -> "Direction | None":
        """The same answer given by others, whoever its text asks for; None if nobody can."""
        choice = find(self.choice)

        def choose(*, name: str | None, speaker: str | None, language: str | None) -> Choice:
            found = find(self._choose(name=name, speaker=speaker, language=language))
            if found is None:
                raise VoiceError("nobody stands in for that voice")
            return found

        return None if choice is None else Direction(choice, choose)

    def warnings(self) -> list[Complaint]:
        """What of the text's wishes could not be granted since this was last asked; each is told once."""
        warnings, self._warnings = self._warnings, []
        return warnings

    def _manner(self, manner: Manner, style: Style) -> Manner:
        speed = min(max(manner.speed * style.speed, _SLOWEST), _FASTEST)
        volume_db = min(max(manner.volume_db + style.volume_db, SILENT_DB), _LOUDEST_DB)
        return replace(manner, speed=speed, volume_db=volume_db, rate_hz=self.rate_hz)

    def _choice(self, style: Style) -> Choice:
        wish = (style.voice, style.language)
        if wish not in self._others:  # as many as the longest text can name
            if style.voice is not None:
                self._others[wish] = self._called(style.voice)
            elif style.language is not None and not _speaks(self.choice, style.language):
                self._others[wish] = self._speaking(style.language)
            else:
                self._others[wish] = self.choice
        return self._others[wish]

    def _called(self, name: str) -> Choice:
        try:
            choice = self._choose(name=name, speaker=None, language=None)
        except VoiceError:
            granted = False
        else:
            granted = not choice.warnings
        if granted:
            return choice
        told = f"the text asks for voice {shown(name)}, which is not there; {self.choice.voice.name!r} reads on"
        self._warnings.append(Complaint("a voice that is not there", told))
        return self.choice

    def _speaking(self, language: str) -> Choice:
        try:
            choice = self._choose(name=None, speaker=None, language=language)
        except VoiceError:
            granted = False
        else:
            granted = _speaks(choice, language)
        if granted:
            return choice
        told = f"no voice speaks {shown(language)}; {self.choice.voice.name!r} reads on"
        self._warnings.append(Complaint("a language that nobody speaks", told))
        return self.choice


def primary_language(tag: str) -> str:
    """``de`` for ``de-DE`` or ``de_DE``."""
    return tag.replace("_", "-").partition("-")[0].lower()


def _speaks(choice: Choice, language: str) -> bool:
    return primary_language(language) in map(primary_language, choice.voice.languages)
