"""Builds the ``info`` event that answers ``describe``. Knows nothing about connections or models."""

from collections.abc import Sequence

from wyoming.event import Event
from wyoming.info import Attribution, Info, TtsProgram, TtsVoice, TtsVoiceSpeaker

from wyoming_pocket_tts import __version__
from wyoming_pocket_tts.speech import Voice

PROGRAM = "wyoming-pocket-tts"
"""The program's name. Home Assistant's memory of a server hangs on it, so it never changes."""


def info_event(voices: Sequence[Voice], *, program: str = PROGRAM) -> Event:
    """Describe the voices, in their order. Home Assistant rebuilds its list of voices when anything of it changes."""
    described = TtsProgram(
        name=program,
        description="Text to speech that streams, offline",
        attribution=Attribution(name="wyoming-pocket-tts", url=""),
        installed=any(voice.installed for voice in voices),
        version=__version__,
        voices=[_voice(voice) for voice in voices],
        supports_synthesize_streaming=True,
    )
    return Info(tts=[described]).event()


def _voice(voice: Voice) -> TtsVoice:
    return TtsVoice(
        name=voice.name,
        description=voice.description,
        attribution=Attribution(name=voice.attribution_name, url=voice.attribution_url),
        installed=voice.installed,
        version=voice.version,
        languages=list(voice.languages),
        speakers=[TtsVoiceSpeaker(name=speaker) for speaker in voice.speakers] or None,
    )
