"""Speaks a text in this process as the service would, without a server. Knows nothing about files, sockets or asyncio.

The embedded voices speak, under their own names and for voices and satellites of the settings. Who needs a model cannot
speak here.
"""

import shlex
from collections.abc import Callable, Iterator

import numpy as np

from wyoming_pocket_tts.casting import Casting, resolve
from wyoming_pocket_tts.errors import VoiceError
from wyoming_pocket_tts.narrator import Narrator
from wyoming_pocket_tts.serving.direction import Direction, primary_language
from wyoming_pocket_tts.serving.limits import Limits
from wyoming_pocket_tts.serving.silence import Silence
from wyoming_pocket_tts.settings import Settings
from wyoming_pocket_tts.speech import Pcm, Synthesizer
from wyoming_pocket_tts.text.any_pieces import pieces_for
from wyoming_pocket_tts.text.pieces import Piece
from wyoming_pocket_tts.voices.catalogue import Choice
from wyoming_pocket_tts.voices.names import same

Tell = Callable[[str], None]


class Stage:
    """The embedded voices, and everybody in the settings for whom one of them speaks."""

    def __init__(self, embedded: Synthesizer, settings: Settings) -> None:
        """Cast the settings; loads nothing."""
        self._embedded = embedded
        self._casting: Casting = resolve(settings, embedded=[voice.name for voice in embedded.voices()])
        self._cast = self._casting.cast(embedded.voices)
        self._narrator = Narrator(embedded, self._cast)

    def find(self, name: str | None) -> Choice:
        """Find who is called so, or the default voice for None.

        Raises:
            VoiceError: there is nobody, or only a model could speak. A person at the command line wants to know; a
                server speaks with another voice.
        """
        satellite = next(
            (each for each in self._casting.satellites if name is not None and same(each.name, name)), None
        )
        if satellite is not None:
            choice = self._cast.choose(satellite=satellite.name)
            wanted = satellite.voice or self._casting.default
        else:
            choice = self._cast.choose(name=name)
            wanted = name or self._casting.default
        if choice.warnings:
            raise VoiceError(self._why_not(name or wanted or "", wanted or ""))
        return choice

    def speak(self, text: str, choice: Choice, *, tell: Tell) -> Iterator[Pcm]:
        """Yield the speech block by block, at ``rate_of(choice)``; ``tell`` gets what the text asks for in vain.

        Raises:
            SpeechError: the text cannot be spoken.
        """
        direction = Direction(choice, self._cast.choose)
        silence = Silence(choice.manner.pauses, rate_hz=direction.rate_hz, most_seconds=Limits().pause_seconds)
        is_heard = False
        for piece in pieces_of(text, choice.voice.languages[0], tell=tell):
            silence.piece_begins(piece)
            for block in self._narrator.synthesize(direction.request(piece)) if piece.text.strip() else ():
                silence.sound_comes()
                yield from _zeros(silence)
                yield block
                is_heard = True
        for warning in direction.warnings():
            tell(warning.what)
        if is_heard:
            silence.nothing_follows()
            yield from _zeros(silence)

    def _why_not(self, asked: str, wanted: str) -> str:
        """Why somebody cannot speak here."""
        of_settings = next((voice for voice in self._casting.voices if same(voice.name, wanted)), None)
        problems = [
            each.text for each in self._casting.problems if of_settings and each.key[1:2] == (of_settings.name,)
        ]
        if problems:
            return f"the voice '{wanted}' of the settings cannot speak: {'; '.join(problems)}"
        if of_settings is not None or wanted in self._casting.needed():
            whose = f"'{asked}'" if same(asked, wanted) else f"'{asked}' speaks with '{wanted}', which"
            source = of_settings.source if of_settings is not None else None
            made_of = f", or name what the voice is made of: --voice {source.path}" if source and source.path else ""
            return (
                f"{whose} needs a model of Pocket TTS, which a running service has: "
                f"wyoming-pocket-tts say --voice {shlex.quote(asked)} TEXT{made_of}"
            )
        own = [*(voice.name for voice in self._casting.voices), *(each.name for each in self._casting.satellites)]
        there = [voice.name for voice in self._embedded.voices() if voice.installed]
        return f"no voice is called '{wanted}'; there are: {', '.join([*own, *there])}"


def rate_of(choice: Choice) -> int:
    """Samples a second of what ``Stage.speak`` yields."""
    return choice.manner.rate_hz or choice.voice.sample_rate_hz


def pieces_of(text: str, language: str, *, tell: Tell) -> Iterator[Piece]:
    """What of a text, plain or SSML, is spoken at once; ``tell`` gets what is wrong with its markup."""
    reader = pieces_for(primary_language(language), ssml=None)
    yield from (*reader.feed(text), *reader.finish())
    for problem in reader.problems():
        tell(problem.what)


def _zeros(silence: Silence) -> Iterator[Pcm]:
    if samples := silence.take(silence.owed_samples):
        yield np.zeros(samples, np.int16)
