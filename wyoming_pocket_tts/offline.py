"""Speaks a text in this process, without a server. Knows nothing about files, sockets or asyncio."""

from collections.abc import Iterator, Sequence

from wyoming_pocket_tts.errors import VoiceError
from wyoming_pocket_tts.speech import Pcm, Reading, Request, Synthesizer, Voice
from wyoming_pocket_tts.text.reading import read_aloud
from wyoming_pocket_tts.text.sentences import SentenceStream
from wyoming_pocket_tts.voices.catalogue import Choice, choose_voice


def find_voice(voices: Sequence[Voice], name: str | None) -> Choice:
    """Find the voice of that name, or the default one for None.

    Raises:
        VoiceError: there is no such voice. A person at the command line wants to know; a server speaks with another.
    """
    choice = choose_voice(voices, name=name)
    if choice.warnings:
        names = ", ".join(voice.name for voice in voices if voice.installed)
        raise VoiceError(f"no voice is called '{name}'; there are: {names}")
    return choice


def as_said(text: str, language: str, reading: Reading) -> str:
    """The text as a person would say it, read sentence by sentence."""
    sentences = SentenceStream(language, cut_first_early=False)
    return " ".join(
        read_aloud(sentence, language, reading) for sentence in [*sentences.feed(text), *sentences.finish()]
    )


def speak(synthesizer: Synthesizer, text: str, choice: Choice) -> Iterator[Pcm]:
    """Yield the speech block by block, sentence after sentence.

    Raises:
        SpeechError: the text cannot be spoken.
    """
    sentences = SentenceStream(choice.voice.languages[0])
    for sentence in [*sentences.feed(text), *sentences.finish()]:
        yield from synthesizer.synthesize(Request(text=sentence, voice=choice.voice, speaker=choice.speaker))
