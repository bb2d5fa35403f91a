"""The cases of each language, and properties that hold for any text."""

# ruff: noqa: RUF001  (signs that look like others are what is tested)

import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from wyoming_pocket_tts.text.normalization.data import load_language
from wyoming_pocket_tts.text.normalization.pipeline import GRAMMARS, normalize

FOLDER = Path(__file__).parent
CASES: dict[str, Any] = {
    path.stem.removeprefix("cases_"): yaml.safe_load(path.read_text(encoding="utf-8"))
    for path in sorted(FOLDER.glob("cases_*.yaml"))
}
"""Language -> its cases."""
LANGUAGES = list(CASES)
GROUPS = [(language, group) for language, cases in CASES.items() for group in cases["cases"]]
PAIRS = {
    language: [(text, spoken) for group in cases["cases"].values() for text, spoken in group.items()]
    for language, cases in CASES.items()
}
FEWEST = {"en": 300, "de": 300}


@pytest.mark.parametrize(("language", "group"), GROUPS)
def test_cases_of_a_group(language: str, group: str) -> None:
    """All misses at once; a known miss that is no longer one has to be taken off the list."""
    cases, known = CASES[language]["cases"][group], set(CASES[language]["known_misses"])
    said = {text: normalize(text, language) for text in cases}
    misses = {text: (said[text], spoken) for text, spoken in cases.items() if said[text] != spoken}
    assert {text: words for text, words in misses.items() if text not in known} == {}
    assert known & set(cases) <= set(misses)


@pytest.mark.parametrize("language", LANGUAGES)
def test_known_misses_are_few_and_are_cases(language: str) -> None:
    texts, misses = {text for text, _ in PAIRS[language]}, set(CASES[language]["known_misses"])
    assert texts >= misses
    assert len(misses) <= 0.02 * len(texts)
    assert len(texts) >= FEWEST.get(language, 100)


def test_every_language_has_cases() -> None:
    assert {tag for tag in GRAMMARS if "-" not in tag} == set(LANGUAGES)


COMMON = [
    *" .,;:?!-–—−+=/#&@*_~`'\"()[]{}<>|%°$€×²½\n5", "\\", "A ", "I ", "X ", "&lt;b&gt;", "<b>", "](", "3. ", "3.–",
    "1.5", "1,5", "1.234", "1 234", "03.10.", "10/12", "14:05", "14h30", "5-", "-3", "v1.", "XIV", "kW/", "€/", "2x ",
    "1/2 ", "n°", "1º ", "1e ", "1er ", "'s ", "1 ", "0:05:00 ", "<think>", "</think>", "5 °C/", "72F", "½ ",
]  # fmt: skip
GRAMMAR_WORDS = {
    "en": ["The ", "chapter ", "wind ", "timer ", "outside", "Rm. "],
    "de": [
        *("am ", "der ", "vom ", "Uhr", "Mai ", "Kapitel ", "Wind ", "str.", "z. ", "bis ", "und ", "jeder ", "in "),
        *("Mo. ", "Fr. ", "Jh. ", "Pers. ", "Timer ", "Std. ", "ern "),
    ],
    "fr": ["le ", "du ", "M. ", "vent ", "heures", "mai ", "l'", "zone ", "siècle ", "c. à café "],
    "es": ["el ", "la ", "D. ", "viento ", "de ", "mayo ", "¿", "mil ", "zona ", "a. m. ", "guerra "],
    "it": [
        *("il ", "le ", "S. ", "vento ", "alle ", "maggio ", "dell'", "ora ", "zona ", "secolo ", "piano "),
        *("Sono le ", "1:00 "),
    ],
    "pt": ["o ", "O ", "D. ", "vento ", "de ", "maio ", "mil ", "horas", "zona ", "século "],
    "nl": ["de ", "het ", "wind ", "uur", "u", "mei ", "t/m ", "ma ", "zo ", "'t "],
}


def fragments(language: str) -> st.SearchStrategy[str]:
    """Words and signs of a language in any order, mostly with digits between them."""
    words = [word + space for text, _ in PAIRS[language] for word in text.split() for space in ("", " ")]
    return st.lists(st.sampled_from([*words, *COMMON, *GRAMMAR_WORDS.get(language, [])]), max_size=12).map("".join)


IN_ANY_LANGUAGE = st.sampled_from(LANGUAGES).flatmap(lambda language: st.tuples(st.just(language), fragments(language)))
TEXTS = st.one_of(IN_ANY_LANGUAGE, st.tuples(st.sampled_from(LANGUAGES), st.text(max_size=60)))


@given(TEXTS)
@settings(max_examples=2000, deadline=None)
def test_normalising_again_changes_nothing(case: tuple[str, str]) -> None:
    language, text = case
    once = normalize(text, language)
    assert normalize(once, language) == once


@given(TEXTS)
@settings(max_examples=1500, deadline=None)
def test_no_digit_is_left(case: tuple[str, str]) -> None:
    language, text = case
    assert not any(char.isdecimal() for char in normalize(text, language))


@given(IN_ANY_LANGUAGE)
@settings(max_examples=1500, deadline=None)
def test_only_letters_and_sentence_marks_are_left(case: tuple[str, str]) -> None:
    language, text = case
    kept = load_language(language).kept_marks
    assert set(re.sub(r"[^\W\d_]", "", normalize(text, language))) <= set(f" '.,;:?!-{kept}")


LETTERS = st.text(st.characters(categories=["Ll", "Lo"]), min_size=1, max_size=8)


@given(st.sampled_from(LANGUAGES), st.lists(LETTERS, min_size=1, max_size=8))
def test_letters_are_never_lost(language: str, words: list[str]) -> None:
    """Whatever their script; only known abbreviations without dots become other words, and more of them."""
    said = normalize(" ".join(words), language).split()
    assert len(said) >= len(words)


INVENTED = st.text("bdfgklmnoprstuvwz", min_size=5, max_size=9).map(lambda word: f"q{word}")


@given(st.sampled_from(LANGUAGES), st.lists(INVENTED, min_size=1, max_size=6), st.integers(0, 10**6))
@settings(max_examples=300, deadline=None)
def test_unknown_words_pass_unchanged_beside_numbers(language: str, words: list[str], number: int) -> None:
    said = normalize(f" {number} ".join(words), language).split()
    assert [word for word in said if word.startswith("q") and word in words] == words


@pytest.mark.parametrize("text", ["Het is 21,5 °C.", "**fet**", "Dr. 5"])
def test_other_languages_pass_unchanged(text: str) -> None:
    assert normalize(text, "sv-SE") == text
    assert normalize(text, "xx") == text


@pytest.mark.parametrize("language", ["en", "en-GB", "en_US", "EN"])
def test_a_language_is_recognised_by_its_tag(language: str) -> None:
    assert normalize("5 °C", language) == "five degrees Celsius"
    assert normalize("5 °C", language.lower().replace("en", "de")) == "fünf Grad Celsius"


UNITS = [
    *"1a-.,/:'\"([<*_~|# +°%$&@\\A²¼×", "1.", "1,", "1-", "a.", "a-", "](", "[a](", "[[", "<b", "<!--", "&a", "&amp;",
    "1 1", "+1 ", "1/", "$1", "5 °", "May ", "St. ", "J. ", "the 1", "1h", "12:", "1:00-", "0123 1", "1,2", "1.1.1.1",
    "v1.", "a@", "http://a", "www.a", "AB-", "X ", "chapter I ", "\n- ", "\n|-|", "per kWh", "e.g.", "a.b:", "3. ",
    "3.–", "am 3. ", "3. und ", "1.234 ", "1 234 ", "1'234", "03.10.", "1 Mio. ", "5 €/", "14h", "Mo-", "str.", "XIV. ",
    "612 345 678 ", "1'234'", "1 mil ", "2½ a ", "M. Ab ", "03/10 ", "l'1 ", "ma t/m vr ",
    "<think>", "<think>a</think>", "</think>", "<thinking>", "<break", "1 m/", "5 °C / ", "0:00:01 ", "1x a ", "72F ",
    "in 1/2 ", "am Mo.", "Montag, ", "Montag und ", "3. Jh. ", "alle 1:00 ", "it's ",
]  # fmt: skip


def seconds_for(unit: str, chars: int, language: str) -> float:
    text = unit * (chars // len(unit))
    started = time.process_time()
    normalize(text, language)
    return time.process_time() - started


@pytest.mark.perf
@pytest.mark.parametrize("language", LANGUAGES)
def test_time_is_linear(language: str) -> None:
    """Eight times the text takes about eight times as long; a quadratic rule takes sixty-four times."""
    for unit in [*UNITS, *(text + " " for text, _ in PAIRS[language][5::40] if text)]:
        normalize(unit, language)
        ratios = (seconds_for(unit, 8_000, language) / max(seconds_for(unit, 1_000, language), 1e-3) for _ in range(3))
        assert any(ratio < 24 for ratio in ratios), unit


@pytest.mark.parametrize("unit", ["1", "1 1", "am 3. ", "<b", "AB-"])
def test_time_is_linear_in_a_few_repetitions(unit: str) -> None:
    normalize(unit, "de")
    assert any(seconds_for(unit, 8_000, "de") / max(seconds_for(unit, 1_000, "de"), 1e-3) < 24 for _ in range(3))


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_sentence_takes_at_most_a_millisecond_on_average(language: str) -> None:
    """About 70 µs on a 2024 laptop core."""
    texts = [text for text, _ in PAIRS[language]]
    for text in texts:
        normalize(text, language)
    started = time.process_time()
    for text in texts:
        normalize(text, language)
    assert (time.process_time() - started) / len(texts) < 1e-3


@pytest.mark.parametrize("language", LANGUAGES)
def test_number_words_are_loaded_only_when_a_number_is_spoken(language: str) -> None:
    code = (
        "import sys\nfrom wyoming_pocket_tts.text.normalization.pipeline import normalize\n"
        "assert 'pydantic' not in sys.modules\n"
        f"normalize('Hallo.', {language!r})\nassert 'num2words' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
