"""What is said for what is written: the cases of each language, and the promises that hold for any text."""

# ruff: noqa: RUF001  (signs that look like others are what is tested)

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from wyoming_pocket_tts.text.normalize import normalize

CASES_EN = yaml.safe_load((Path(__file__).parent / "cases_en.yaml").read_text(encoding="utf-8"))
KNOWN_MISSES = set(CASES_EN["known_misses"])
PAIRS_EN = [(text, spoken) for group in CASES_EN["cases"].values() for text, spoken in group.items()]


@pytest.mark.parametrize(("text", "spoken"), PAIRS_EN)
def test_english_is_read_as_a_person_would_say_it(text: str, spoken: str) -> None:
    if text in KNOWN_MISSES:
        assert normalize(text) != spoken, "no longer a miss: take it off the list"
    else:
        assert normalize(text) == spoken


def test_known_misses_are_few_and_are_cases() -> None:
    texts = {text for text, _ in PAIRS_EN}
    assert texts >= KNOWN_MISSES
    assert len(KNOWN_MISSES) <= 0.02 * len(texts)
    assert len(texts) >= 200


FRAGMENTS = st.sampled_from(
    [word + space for text, _ in PAIRS_EN for word in text.split() for space in ("", " ")]
    + [
        *" .,;:?!-–—−+=/#&@*_~`'\"()[]{}<>|%°$€×²½\n5",
        "\\",
        "A ",
        "I ",
        "X ",
        "The ",
        "&lt;b&gt;",
        "<b>",
        "](",
        "chapter ",
        "wind ",
    ]
)
TEXTS = st.one_of(st.lists(FRAGMENTS, max_size=12).map("".join), st.text(max_size=60))


@given(TEXTS)
@settings(max_examples=1500, deadline=None)
def test_normalising_again_changes_nothing(text: str) -> None:
    once = normalize(text)
    assert normalize(once) == once


@given(TEXTS)
@settings(max_examples=500, deadline=None)
def test_no_digit_is_left(text: str) -> None:
    assert not any(char.isdecimal() for char in normalize(text))


@given(st.lists(FRAGMENTS, max_size=12).map("".join))
@settings(max_examples=500, deadline=None)
def test_only_letters_and_sentence_marks_are_left(text: str) -> None:
    assert set(re.sub(r"[^\W\d_]", "", normalize(text))) <= set(" '.,;:?!-")


LETTERS = st.text(st.characters(categories=["Ll", "Lo"]), min_size=1, max_size=8)


@given(st.lists(LETTERS, min_size=1, max_size=8))
def test_unknown_words_pass_unchanged(words: list[str]) -> None:
    """Letters alone are never lost, whatever their script; only known abbreviations without dots are words."""
    said = normalize(" ".join(words)).split()
    assert len(said) >= len(words)


@pytest.mark.parametrize("text", ["Es sind 21,5 °C.", "**fett**", "Dr. 5"])
def test_other_languages_pass_unchanged(text: str) -> None:
    assert normalize(text, "de-DE") == text
    assert normalize(text, "xx") == text


@pytest.mark.parametrize("language", ["en", "en-GB", "en_US", "EN"])
def test_english_is_recognised_by_its_tag(language: str) -> None:
    assert normalize("5 °C", language) == "five degrees Celsius"


UNITS = [
    *"1a-.,/:'\"([<*_~|# +°%$&@\\A²¼×", "1.", "1,", "1-", "a.", "a-", "](", "[a](", "[[", "<b", "<!--", "&a", "&amp;",
    "1 1", "+1 ", "1/", "$1", "5 °", "May ", "St. ", "J. ", "the 1", "1h", "12:", "1:00-", "0123 1", "1,2", "1.1.1.1",
    "v1.", "a@", "http://a", "www.a", "AB-", "X ", "chapter I ", "\n- ", "\n|-|", "per kWh", "e.g.", "a.b:",
    *(text + " " for text, _ in PAIRS_EN[5::40]),
]  # fmt: skip


def seconds_for(unit: str, chars: int) -> float:
    text = unit * (chars // len(unit))
    started = time.process_time()
    normalize(text)
    return time.process_time() - started


@pytest.mark.parametrize("unit", UNITS, ids=repr)
def test_time_is_linear(unit: str) -> None:
    """Ten times the text takes about ten times as long; a quadratic rule takes a hundred times."""
    normalize(unit)
    ratios = (seconds_for(unit, 20_000) / max(seconds_for(unit, 2_000), 2e-3) for _ in range(3))
    assert any(ratio < 25 for ratio in ratios)


def test_a_sentence_takes_at_most_a_millisecond_on_average() -> None:
    """About 70 µs on a 2024 laptop core."""
    texts = [text for text, _ in PAIRS_EN]
    for text in texts:
        normalize(text)
    started = time.process_time()
    for text in texts:
        normalize(text)
    assert (time.process_time() - started) / len(texts) < 1e-3


def test_number_words_are_loaded_only_when_a_number_is_spoken() -> None:
    code = (
        "import sys\nfrom wyoming_pocket_tts.text.normalize import normalize\n"
        "assert 'pydantic' not in sys.modules\nnormalize('Hello there.')\nassert 'num2words' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
