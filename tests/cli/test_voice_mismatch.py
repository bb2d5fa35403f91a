"""Whom a server lists, and who asks for somebody else."""

import pytest
from wyoming.info import Attribution, TtsVoice, TtsVoiceSpeaker

from wyoming_pocket_tts.cli.client import voice_mismatch_warning


def voice(name: str, *, description: str | None = None, speakers: tuple[str, ...] = (), here: bool = True) -> TtsVoice:
    return TtsVoice(
        name=name,
        attribution=Attribution(name="", url=""),
        installed=here,
        description=description,
        version=None,
        languages=["en"],
        speakers=[TtsVoiceSpeaker(name=speaker) for speaker in speakers] or None,
    )


LISTED = (voice("anna", speakers=("Calm",)), voice("Kitchen", description="Kitchen (Anna)"), voice("bert", here=False))


@pytest.mark.parametrize("name", ["anna", "ANNA", "calm", "kitchen"])
def test_who_is_listed_by_name_or_style_is_not_doubted(name: str) -> None:
    assert voice_mismatch_warning(name, LISTED) == ""


@pytest.mark.parametrize(
    ("name", "doubt"),
    [
        ("nobody", "the server lists no voice 'nobody': another one speaks, unless its settings have a satellite of"),
        ("nobody", "(voices: anna, Kitchen)"),
        ("Kitchen (Anna)", "is how the voice 'Kitchen' is shown; another voice may speak: ask for 'Kitchen'"),
        ("Bert", "the voice 'Bert' is listed and not there yet: another one speaks"),
    ],
)
def test_who_is_not_there_is_told_from_who_is_shown_otherwise_and_who_is_to_come(name: str, doubt: str) -> None:
    assert doubt in voice_mismatch_warning(name, LISTED)


def test_a_long_list_is_cut() -> None:
    many = [voice(f"v{number}") for number in range(13)]
    assert voice_mismatch_warning("nobody", many).endswith("v8, v9 and 3 more)")
