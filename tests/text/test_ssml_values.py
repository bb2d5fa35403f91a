"""Numbers of ``say-as``: what is said, and that it is quickly found."""

import pytest

from wyoming_pocket_tts.text.ssml import say_as


@pytest.mark.parametrize(
    ("language", "written", "said"),
    [
        ("en", "007", "seven"),
        ("en", "+1,234.5", "one thousand two hundred and thirty-four point five"),
        ("de", "2.5", "zwei Komma fünf"),
        ("fr", "-71", "moins soixante et onze"),
        ("it", "12.345", "dodici virgola tre quattro cinque"),
        ("it", "1234567.8", "un milione e duecentotrentaquattromilacinquecentosessantasette virgola otto"),
        ("en", "1" * 16, " ".join(["one"] * 16)),
    ],
)  # fmt: skip
def test_numbers_are_said(language: str, written: str, said: str) -> None:
    assert say_as(written, "number", "", language) == said


@pytest.mark.parametrize("written", ["-1234567890123456", "3.141592653589793238", "0.000000000001"])
def test_a_number_that_nobody_has_words_for_is_left_to_be_read_with_sign_and_point(written: str) -> None:
    assert say_as(written, "number", "", "it") == written


@pytest.mark.parametrize("kind", ["cardinal", "ordinal"])
def test_whole_numbers_are_no_decimals(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Of which the words of 15 digits take 20 ms, while everybody waits."""
    asked_for: list[object] = []

    def note(value: object, **_: object) -> str:
        asked_for.append(value)
        return "many"

    monkeypatch.setattr("num2words.num2words", note)
    assert say_as("987654321098765", kind, "", "de") == "many"
    assert [type(value) for value in asked_for] == [int]
