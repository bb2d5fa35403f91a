import pytest

from wyoming_pocket_tts.pocket.voice_store import voice_name
from wyoming_pocket_tts.voices.matching import (
    library_voice_name,
    may_be_installed_later,
    ready_made_name,
    slug,
    spoken_language,
)


def test_ready_made_voices_are_called_as_the_engine_calls_them() -> None:
    assert ready_made_name("english", "alba") == voice_name("english", "alba")


@pytest.mark.parametrize(
    ("name", "expected"),
    [("Anna", "anna"), ("Grandma's  room!", "grandma-s-room"), ("Jürgen_2", "jürgen-2"), ("!", "voice")],
)
def test_slugs(name: str, expected: str) -> None:
    assert slug(name) == expected
    assert library_voice_name("german", name) == f"own-german-{expected}"


def test_languages_for_people() -> None:
    assert [spoken_language(tag) for tag in ("de", "en-US", "pt_BR", "sv-SE")] == [
        "German",
        "English",
        "Portuguese",
        "sv-SE",
    ]


def test_what_is_called_like_a_voice_of_a_model_may_come() -> None:
    assert may_be_installed_later("English-Bob", ["english"])
    assert may_be_installed_later("own-x-bob", [])
    assert not may_be_installed_later("bob", ["english"])
    assert not may_be_installed_later("german-bob", ["english"])
