"""Replacements, spoken emoji, pronunciations, defaults, and a whole streamed answer."""

import re
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wyoming_pocket_tts.core.types import TextOptions
from wyoming_pocket_tts.text.normalization.markup import PLAIN_SENTENCE, strip_markup
from wyoming_pocket_tts.text.normalization.pipeline import PhraseReplacer, normalize, normalize_text
from wyoming_pocket_tts.text.sentences import SentenceSplitter


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


@pytest.mark.perf
@pytest.mark.parametrize("unit", ["😀", "😀 ", " ", "a 😀", "tv ", "living ", "living  "])
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
        "from wyoming_pocket_tts.core.types import TextOptions\n"
        "from wyoming_pocket_tts.text.normalization.pipeline import normalize_text\n"
        "normalize_text('Hällo 🎉', 'en', TextOptions())\n"
        "normalize_text('Hällo.', 'en', TextOptions(emoji='speak'))\n"
        "assert 'emoji' not in sys.modules\n"
        "normalize_text('🎉', 'en', TextOptions(emoji='speak'))\n"
        "assert 'emoji' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


Pairs = list[tuple[str, str]]


def obviously_replaced(pairs: Pairs, text: str) -> str:
    """What ``PhraseReplacer`` does, in time proportional to the number of pairs."""
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


@pytest.mark.perf
def test_a_hundred_times_as_many_words_take_hardly_longer() -> None:
    assert any(quickest_seconds(5_000) < 10 * quickest_seconds(50) for _ in range(3))


@pytest.mark.perf
@pytest.mark.parametrize("key", ["a " * 99 + "b", "+" * 100, "a+" * 50])
def test_keys_that_almost_match_take_linear_time(key: str) -> None:
    phrases = PhraseReplacer([(key, "x")])

    def seconds_for(characters: int) -> float:
        started = time.process_time()
        phrases.replaced((key[:2] * characters)[:characters])
        return time.process_time() - started

    seconds_for(100)
    assert any(seconds_for(16_000) / max(seconds_for(2_000), 1e-3) < 24 for _ in range(3))


GERMAN = (
    "Am 3. Oktober 2026 sind es **21,5 °C**, d. h. warm. Der 2. Termin ist um 14:30 Uhr in der Hauptstr. 5, "
    "ca. 3 km von hier. Du brauchst:\n1. 500 g Mehl\n2. z. B. 2 Eier\nDas kostet 1,99 € usw. Der Rest ist da. 🎉"
)
GERMAN_SAID = [
    "Am dritten Oktober zweitausendsechsundzwanzig sind es einundzwanzig Komma fünf Grad Celsius, das heißt warm.",
    "Der zweite Termin ist um vierzehn Uhr dreißig in der Hauptstraße fünf, circa drei Kilometer von hier.",
    "Du brauchst:",
    "erstens, fünfhundert Gramm Mehl",
    "zweitens, zum Beispiel zwei Eier",
    "Das kostet einen Euro neunundneunzig und so weiter.",
    "Der Rest ist da.",
    "konfettibombe",
]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 11, 1000])
def test_a_german_answer_is_said_the_same_in_any_deltas(size: int) -> None:
    stream = SentenceSplitter("de", cut_first_early=False)
    deltas = [GERMAN[at : at + size] for at in range(0, len(GERMAN), size)]
    sentences = [*(sentence for delta in deltas for sentence in stream.feed(delta)), *stream.finish()]
    assert [normalize_text(sentence, "de", TextOptions(emoji="speak")).lower() for sentence in sentences] == [
        said.lower() for said in GERMAN_SAID
    ]


@given(st.from_regex(PLAIN_SENTENCE, fullmatch=True))
def test_plain_sentence_has_no_markup(text: str) -> None:
    assert strip_markup(text) == text


def test_most_sentences_are_plain() -> None:
    assert PLAIN_SENTENCE.fullmatch("It is 21.5 degrees in the kitchen, isn't it?")
    assert not PLAIN_SENTENCE.fullmatch("- It is **cold**.")
