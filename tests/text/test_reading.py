"""A user's own words, spoken emoji, and what is done when nothing is asked for."""

import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.tiers import mostly
from wyoming_pocket_tts.core.types import TextOptions
from wyoming_pocket_tts.text.normalization.pipeline import normalize, normalize_text


def replaced(text: str, **replacements: str) -> str:
    pairs = tuple((key.replace("_", " "), words) for key, words in replacements.items())
    return normalize_text(text, "en", TextOptions(normalize=False, replacements=pairs))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Turn on the tv.", "Turn on the television."),
        ("TV or Tv?", "television or television?"),
        ("tvs and mtv stay", "tvs and mtv stay"),
        ("the living  room\nlamp", "the lounge\nlamp"),
        ("the living room tv", "the big screen"),
        ("Bob and bob", "Robert and bob"),
        ("c++ and c", "see plus plus and c"),
        ("nothing here", "nothing here"),
    ],
)
def test_whole_words_are_replaced_the_longest_first(text: str, said: str) -> None:
    pairs = (("tv", "television"), ("living room", "lounge"), ("living room tv", "big screen"), ("Bob", "Robert"))
    reading = TextOptions(normalize=False, replacements=(*pairs, ("c++", "see plus plus")))
    assert normalize_text(text, "en", reading) == said


def test_what_was_put_in_is_not_replaced_again() -> None:
    assert replaced("a b", a="b", b="a") == "b a"


def test_a_replacement_may_be_any_text() -> None:
    assert replaced("say it", it=r"\1 \g<0>") == r"say \1 \g<0>"


def test_a_blank_key_replaces_nothing() -> None:
    reading = TextOptions(normalize=False, replacements=(("", "x"), (" ", "x")))
    assert normalize_text("a b", "en", reading) == "a b"


def test_replacements_are_read_like_any_text_and_pronunciations_are_left_alone() -> None:
    reading = TextOptions(replacements=(("temp", "21.5 °C"),), pronunciations=(("Celsius", "sell-see-us 1"),))
    assert normalize_text("It is temp.", "en", reading) == "It is twenty-one point five degrees sell-see-us 1."


def test_pronunciations_see_what_is_said() -> None:
    reading = TextOptions(pronunciations=(("gigabyte", "Giga-Beit"), ("16", "never")))
    assert normalize_text("Es sind 16 GB.", "de", reading) == "Es sind sechzehn Giga-Beit."


def test_without_normalising_nothing_else_changes() -> None:
    text = "**21.5 °C** 🎉"
    assert normalize_text(text, "en", TextOptions(normalize=False)) == text
    assert normalize_text(text, "en", TextOptions(normalize=False, emoji="speak")) == "**21.5 °C** party popper"


@pytest.mark.parametrize(
    ("language", "text", "said"),
    [
        ("en", "Good morning! ☀️", "Good morning! sun"),
        ("en", "🎉 Done.", "party popper, Done."),
        ("en", "I ❤️ coffee", "I, red heart, coffee"),
        ("en", "Well done 👍🏽!", "Well done, thumbs up!"),
        ("en", "Ha 😂😂😂", "Ha, face with tears of joy"),
        ("en", "Yes ✅🏠.", "Yes, check mark button, house."),
        ("de", "Erledigt ✅", "Erledigt, weißes Häkchen"),
        ("de-DE", "🎉 Fertig.", "konfettibombe, Fertig."),
        ("fr", "Bonjour ☀️ à tous", "Bonjour, soleil, à tous"),
        ("es", "Hecho 👍", "Hecho, pulgar hacia arriba"),
        ("it", "Fatto 👍", "Fatto, pollice in su"),
        ("pt", "Feito ☀️", "Feito, sol"),
        ("nl", "Klaar 👍🏽", "Klaar, duim omhoog"),
        ("nl", "Klaar 🦩", "Klaar"),
        ("en", "Press 1️⃣.", "Press one."),
        ("en", "A © sign", "A copyright sign"),
    ],
)
def test_emoji_are_spoken_if_asked_for(language: str, text: str, said: str) -> None:
    assert normalize_text(text, language, TextOptions(emoji="speak")).lower() == said.lower()


def test_emoji_stay_where_no_names_are_known_and_nothing_is_normalised() -> None:
    assert normalize_text("Hej 🎉", "sv", TextOptions(emoji="speak")) == "Hej 🎉"


SENTENCES = st.lists(st.sampled_from([*"😀👍☀❤ 🏠.,!a1", "️", "🏽", "‍", " Tv ", "living room"]), max_size=20).map(
    "".join
)


@given(st.sampled_from(["en", "de", "nl", "xx"]), SENTENCES)
@settings(max_examples=300, deadline=None)
def test_the_default_is_normalising(language: str, text: str) -> None:
    assert normalize_text(text, language, TextOptions()) == normalize(text, language)


@given(st.sampled_from(["en", "de", "fr", "nl", "xx"]), SENTENCES)
@settings(max_examples=300, deadline=None)
def test_speaking_emoji_loses_no_letter(language: str, text: str) -> None:
    """Whatever emoji stand between them."""
    said = normalize_text(text, language, TextOptions(emoji="speak", normalize=False))
    rest = iter(said)
    assert all(char in rest for char in text if char.isalnum())


@pytest.mark.parametrize("unit", mostly(pytest.mark.perf, ["😀", "😀 ", " ", "a 😀", "tv ", "living ", "living  "]))
def test_time_is_linear(unit: str) -> None:
    reading = TextOptions(emoji="speak", replacements=(("tv", "x"), ("living room", "y")))

    def seconds_for(chars: int) -> float:
        started = time.process_time()
        normalize_text(unit * (chars // len(unit)), "de", reading)
        return time.process_time() - started

    seconds_for(100)
    assert any(seconds_for(16_000) / max(seconds_for(2_000), 1e-3) < 24 for _ in range(3))


def test_the_names_of_emoji_are_loaded_only_when_one_is_spoken() -> None:
    code = (
        "import sys\n"
        "from wyoming_pocket_tts.speech import Reading\n"
        "from wyoming_pocket_tts.text.reading import read_aloud\n"
        "read_aloud('Hällo 🎉', 'en', Reading())\n"
        "read_aloud('Hällo.', 'en', Reading(emoji='speak'))\n"
        "assert 'emoji' not in sys.modules\n"
        "read_aloud('🎉', 'en', Reading(emoji='speak'))\n"
        "assert 'emoji' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
