"""Decides who speaks a text into a WAV file, the embedded voices or Pocket TTS, and lets them. Knows no model."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field

from wyoming_pocket_tts.commands.manner import Manner
from wyoming_pocket_tts.commands.pocket_model import ModelChoice, names_pocket_voice
from wyoming_pocket_tts.errors import ConfigError, EmptyText
from wyoming_pocket_tts.offline import Stage, Tell, rate_of
from wyoming_pocket_tts.settings import Settings
from wyoming_pocket_tts.speech import Synthesizer
from wyoming_pocket_tts.voices.names import same
from wyoming_pocket_tts.wav import Format, open_wav


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What somebody wants to hear.

    Attributes:
        text: what to say, ``-`` for what standard input says; None when nothing was given.
        voice: who is to say it; None when nobody was named.
        model: what was said about Pocket TTS's model.
        manner: what was said about how that one speaks.
        output: a WAV file, or ``-`` for standard output.
        settings: the service's: its voices and satellites, and what becomes of texts.
    """

    text: str | None
    voice: str | None
    model: ModelChoice
    manner: Manner
    output: str
    settings: Settings = field(default_factory=Settings)


def generate_speech(
    wanted: Wanted, *, load_embedded: Callable[[], Synthesizer], quiet: bool, complain: Tell = lambda _: None
) -> str:
    """Speak, and tell in a line or two how it went; ``complain`` takes what the text asks for in vain.

    Raises:
        ConfigError: there is no text, or options do not fit together.
        SpeechError: the voice, the text or the model cannot be used, or the file cannot be written.
    """
    voice = wanted.voice or wanted.settings.voice.default
    pocket_voice = voice is not None and names_pocket_voice(voice) and not _is_of_settings(voice, wanted.settings)
    asked_for = wanted.model != ModelChoice() or wanted.manner != Manner()
    if wanted.text is None and not (asked_for or pocket_voice):
        raise ConfigError("there is no text: give one, or - to read it from standard input")
    text = sys.stdin.read() if wanted.text == "-" else wanted.text
    if text is None or asked_for or pocket_voice:
        from wyoming_pocket_tts.commands.speak import speak_with_pocket  # noqa: PLC0415  (what Pocket TTS needs)

        # The settings' default voice may be an embedded one; with Pocket TTS it was not meant.
        speaker = voice if pocket_voice else wanted.voice
        reading = wanted.settings.text.as_reading()
        spoken = speak_with_pocket(
            text,
            speaker,
            wanted.model,
            wanted.manner,
            output=wanted.output,
            quiet=quiet,
            reading=reading,
            tell=complain,
        )
        return str(spoken)
    return _speak_embedded(text, wanted, Stage(load_embedded(), wanted.settings), complain)


def _is_of_settings(voice: str, settings: Settings) -> bool:
    return any(same(voice, name) for name in (*settings.voices, *settings.satellites))


def _speak_embedded(text: str, wanted: Wanted, stage: Stage, complain: Tell) -> str:
    choice = stage.find(wanted.voice)
    audio_format = Format(rate_hz=rate_of(choice))
    with open_wav(wanted.output) as wav:
        for block in stage.speak(text, choice, tell=complain):
            wav.write(block.astype("<i2").tobytes(), audio_format)
        if not wav.seconds:
            raise EmptyText("the text holds nothing to say")
        wav.finish(audio_format)
    return f"{wav.seconds:.2f} s of speech by '{choice.voice.name}' in {wanted.output}"
