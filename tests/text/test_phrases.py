"""Words in the place of others, compared with the obvious way: a regular expression of all keys."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.tiers import mostly
from wyoming_pocket_tts.core.types import TextOptions
from wyoming_pocket_tts.text.normalization.pipeline import PhraseReplacer, normalize_text

Pairs = list[tuple[str, str]]


def obviously_replaced(pairs: Pairs, text: str) -> str:
    """What ``Phrases`` does, in time proportional to the number of pairs."""
    pairs = sorted(((" ".join(key.split()), words) for key, words in pairs if key.strip()), key=lambda p: -len(p[0]))
    pattern = re.compile("|".join(f"({whole_words(key)})" for key, _ in pairs) or "(?!)")
    return pattern.sub(lambda match: pairs[(match.lastindex or 1) - 1][1], text)


def whole_words(key: str) -> str:
    before = r"(?<!\w)" if re.match(r"\w", key) else ""
    behind = r"(?!\w)" if re.search(r"\w\Z", key) else ""
    body = r"\s+".join(map(re.escape, key.split()))
    return before + (f"(?i:{body})" if key == key.lower() else body) + behind


parts = st.sampled_from(["a", "A", "b", "B", "ab", "é", "É", "ß", "_", "1", "+", "°", ".", "-", " ", "  ", "\n", "\t"])
texts = st.lists(parts, max_size=12).map("".join)


@settings(max_examples=1_000, deadline=None)
@given(keys=st.lists(texts, max_size=8), text=st.lists(parts, max_size=40).map("".join))
def test_it_finds_what_the_obvious_way_finds(keys: list[str], text: str) -> None:
    pairs = [(key, f"<{number}>") for number, key in enumerate(keys)]
    assert PhraseReplacer(pairs).replaced(text) == obviously_replaced(pairs, text)


@pytest.mark.parametrize(
    ("pairs", "text", "said"),
    [
        ([("c++", "see plus plus"), ("c", "see")], "C++11, c+ and C.", "see plus plus11, see+ and see."),
        ([(".net", "dot net"), ("->", " to ")], "ASP.NET a->b .nets", "ASPdot net a to b .nets"),
        ([("°C", "Celsius"), ("°c", "never")], "21°C 5 °c", "21Celsius 5 never"),
        ([("living room", "lounge"), ("living room tv", "screen")], "Living\n Room TVs", "lounge TVs"),
        ([("a b", "first"), ("a  B", "second")], "a B", "first"),
        ([("a", "b"), ("b", "a"), ("a  b  c", "long")], "a b b a\tb c", "b a a long"),
        ([("gruß", "x"), ("é", "y")], "GRUß É", "x y"),
        ([("don't", "do not")], "Don't", "do not"),
        ([("", "x"), ("  ", "y")], "a  b", "a  b"),
    ],
)
def test_keys_and_what_they_match(pairs: Pairs, text: str, said: str) -> None:
    assert PhraseReplacer(pairs).replaced(text) == said


def quickest_seconds(pairs: int) -> float:
    reading = TextOptions(normalize=False, replacements=tuple((f"word{n} and more", f"{n}") for n in range(pairs)))
    text = "The living room light is word1 and more, or word49 and MORE, and nobody knows why. " * 20
    assert "is 1, or 49, and nobody" in normalize_text(text, "en", reading)  # prepares it

    def seconds() -> float:
        started = time.process_time()
        normalize_text(text, "en", reading)
        return time.process_time() - started

    return min(seconds() for _ in range(5))


def test_a_hundred_times_as_many_words_take_hardly_longer() -> None:
    assert any(quickest_seconds(5_000) < 10 * quickest_seconds(50) for _ in range(3))


@pytest.mark.parametrize("key", mostly(pytest.mark.perf, ["a " * 99 + "b", "+" * 100, "a+" * 50]))
def test_keys_that_almost_match_take_linear_time(key: str) -> None:
    phrases = PhraseReplacer([(key, "x")])

    def seconds_for(characters: int) -> float:
        started = time.process_time()
        phrases.replaced((key[:2] * characters)[:characters])
        return time.process_time() - started

    seconds_for(100)
    assert any(seconds_for(16_000) / max(seconds_for(2_000), 1e-3) < 24 for _ in range(3))
