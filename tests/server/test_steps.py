"""The words of the debug log: who was found, by which rule, in which manner."""

import pytest

from tests.support.tone import VOICES
from wyoming_pocket_tts.core.types import SilenceOptions, SynthesisOptions, TextOptions
from wyoming_pocket_tts.server.request_stats import options_text, segment_text, voice_choice_text
from wyoming_pocket_tts.voices.matching import VoiceMatch

NOBODY = {"name": None, "speaker": None, "language": None}
LOW = VOICES[0]


@pytest.mark.parametrize(
    ("wish", "ssml", "asked"),
    [
        (NOBODY, None, "asked for no voice"),
        ({**NOBODY, "name": ""}, None, "asked for no voice"),
        ({**NOBODY, "name": "zoe"}, True, "asked for name 'zoe' for SSML"),
        (
            {"name": "zoe", "speaker": "calm", "language": "de"},
            False,
            "name 'zoe', speaker 'calm', language 'de' for p",
        ),
    ],
)
def test_a_choice_says_who_was_asked_for(wish: dict[str, str | None], ssml: bool | None, asked: str) -> None:
    line = voice_choice_text(VoiceMatch(voice=LOW, why="by a rule"), wish, ssml=ssml)
    assert asked in line
    assert line.endswith(": 'tone-low', by a rule; in its own manner")


def test_a_choice_says_in_which_style() -> None:
    line = voice_choice_text(VoiceMatch(voice=LOW, speaker="calm", why="by a rule"), NOBODY, ssml=None)
    assert line.endswith(": 'tone-low' in the style 'calm', by a rule; in its own manner")


def test_what_a_client_asks_for_cannot_fill_the_line() -> None:
    wish = dict.fromkeys(NOBODY, "z\n" * 10_000)
    line = voice_choice_text(VoiceMatch(voice=LOW, why="by a rule"), wish, ssml=None)
    assert len(line) < 400
    assert "\n" not in line


def test_a_manner_is_what_differs_from_the_voices_own() -> None:
    manner = SynthesisOptions(
        speed=0.9,
        volume_db=6.0,
        rate_hz=16_000,
        temperature=0.3,
        eos_threshold=-4.0,
        pauses=SilenceOptions(before=0.5, between=0.1, after=1.0),
        reading=TextOptions(normalize=False, emoji="speak", replacements=(("a", "b"),), pronunciations=(("c", "d"),)),
    )
    assert options_text(manner) == (
        "speed 0.9, volume +6 dB, 16000 Hz, temperature 0.3, eos threshold -4, silence before 0.5 s, "
        "silence between 0.1 s, silence after 1 s, not normalised, emoji speak, 1 replacements, 1 pronunciations"
    )
    assert options_text(SynthesisOptions()) == "in its own manner"


def test_a_piece_is_told_with_its_length_and_its_time() -> None:
    assert segment_text(1.844, 0.2104) == "made 1.84 s of audio in 210 ms"
