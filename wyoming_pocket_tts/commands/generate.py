"""Decides who speaks a text into a WAV file, the embedded voice or Pocket TTS, and lets them. Knows no model."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field

from wyoming_pocket_tts.commands.manner import Manner
from wyoming_pocket_tts.commands.pocket_model import ModelChoice, names_pocket_voice
from wyoming_pocket_tts.errors import ConfigError, EmptyText
from wyoming_pocket_tts.offline import as_said, find_voice, speak
from wyoming_pocket_tts.speech import Reading, Synthesizer
from wyoming_pocket_tts.wav import Format, open_wav


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What somebody wants to hear.

    Attributes:
        text: what to say, ``-`` for what standard input says; None when nothing was given.
        voice: who is to say it; None when nobody was named.
        default_voice: who speaks then, by the settings.
        model: what was said about Pocket TTS's model.
        manner: what was said about how that one speaks.
        output: a WAV file, or ``-`` for standard output.
        reading: what becomes of the text.
    """

    text: str | None
    voice: str | None
    default_voice: str | None
    model: ModelChoice
    manner: Manner
    output: str
    reading: Reading = field(default_factory=Reading)


def generate_speech(wanted: Wanted, *, load_embedded: Callable[[], Synthesizer], quiet: bool) -> str:
    """Speak, and tell in a line or two how it went.

    Raises:
        ConfigError: there is no text, or options do not fit together.
        SpeechError: the voice, the text or the model cannot be used, or the file cannot be written.
    """
    voice = wanted.voice or wanted.default_voice
    pocket_voice = voice is not None and names_pocket_voice(voice)
    asked_for = wanted.model != ModelChoice() or wanted.manner != Manner()
    if wanted.text is None and not (asked_for or pocket_voice):
        raise ConfigError("there is no text: give one, or - to read it from standard input")
    text = sys.stdin.read() if wanted.text == "-" else wanted.text
    if text is None or asked_for or pocket_voice:
        from wyoming_pocket_tts.commands.speak import speak_with_pocket  # noqa: PLC0415  (what Pocket TTS needs)

        # The settings' default voice may be an embedded one; with Pocket TTS it was not meant.
        speaker = voice if pocket_voice else wanted.voice
        text = text and as_said(text, wanted.model.language_code(), wanted.reading)
        return str(speak_with_pocket(text, speaker, wanted.model, wanted.manner, output=wanted.output, quiet=quiet))
    return _speak_embedded(text, voice, load_embedded(), wanted.output)


def _speak_embedded(text: str, voice: str | None, synthesizer: Synthesizer, output: str) -> str:
    choice = find_voice(synthesizer.voices(), voice)
    audio_format = Format(rate_hz=choice.voice.sample_rate_hz)
    with open_wav(output) as wav:
        for block in speak(synthesizer, text, choice):
            wav.write(block.astype("<i2").tobytes(), audio_format)
        if not wav.seconds:
            raise EmptyText("the text holds nothing to say")
        wav.finish(audio_format)
    return f"{wav.seconds:.2f} s of speech by '{choice.voice.name}' in {output}"
