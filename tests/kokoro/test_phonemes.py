"""Reading words: dictionary, suffixes, compounds, letter names, pauses, and cutting long sentences."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wyoming_pocket_tts.kokoro.phonemes import (
    INDEX,
    PAUSES,
    SYMBOLS,
    Lexicon,
    Phonemizer,
    Word,
    flatten,
    indices,
    phrases,
    read_symbols,
)

ENTRIES = {
    "cat": ["k", "ae1", "t"], "dog": ["d", "ao1", "g"], "oak": ["ow1", "k"], "bus": ["b", "ah1", "s"],
    "kitchen": ["k", "ih1", "ch", "ax", "n"], "light": ["l", "ay1", "t"], "bake": ["b", "ey1", "k"],
    "isn't": ["ih1", "z", "ax", "n", "t"],
}  # fmt: skip


def guess(word: str) -> list[str]:
    """A letter-to-sound that leaves a trace: one ``zh`` a letter."""
    return ["zh"] * len(word)


@pytest.fixture
def phonemizer() -> Phonemizer:
    return Phonemizer(Lexicon(Lexicon.encode({w: tuple(s) for w, s in ENTRIES.items()})), guess)


def spoken(phonemizer: Phonemizer, text: str) -> str:
    return " ".join(symbol for word in phonemizer.words(text) for symbol in word.symbols)


def test_the_vocabulary_has_63_symbols_and_pads_with_the_first() -> None:
    assert len(SYMBOLS) == 63
    assert SYMBOLS[0] == "_"
    assert [SYMBOLS[INDEX[s]] for s in SYMBOLS] == list(SYMBOLS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The cat.", "dh ax k ae1 t ."),
        ("The oak?", "dh iy ow1 k ?"),
        ("A cat, a dog!", "ax k ae1 t , ax d ao1 g !"),
        ("cat", "k ae1 t ."),
        ("cats", "k ae1 t s ."),
        ("The dog's buses", "dh ax d ao1 g z b ah1 s ax z ."),
        ("baking", "b ey1 k ih ng ."),
        ("kitchenlight", "k ih1 ch ax n l ay t ."),
        ("isn\u2019t", "ih1 z ax n t ."),
        ("T V", "t iy1 v iy1 ."),
        ("A M", "ey1 eh1 m ."),
        ("A cat", "ax k ae1 t ."),
        ("xyq", "zh zh zh ."),
        ("btw", "b iy1 t iy1 d ah1 b ax l y uw ."),
        ("cat ... dog", "k ae1 t . d ao1 g ."),
        ("cat,;. dog", "k ae1 t . d ao1 g ."),
        ("cat (dog)", "k ae1 t , d ao1 g ."),
        ("cat \u2014 dog", "k ae1 t - d ao1 g ."),
        ("cat-dog", "k ae1 t d ao1 g ."),
        ('"Cat," dog:', "k ae1 t , d ao1 g ."),
        ("?! cat", "k ae1 t ."),
        ("", ""),
        ("... ?!", ""),
        ("喵", ""),
    ],
)
def test_reading(phonemizer: Phonemizer, text: str, expected: str) -> None:
    assert spoken(phonemizer, text) == expected


@given(st.text(max_size=80))
def test_any_text_becomes_words_the_model_knows(text: str) -> None:
    phonemizer = Phonemizer(Lexicon(Lexicon.encode({w: tuple(s) for w, s in ENTRIES.items()})), guess)
    words = phonemizer.words(text)
    assert indices(flatten(words))[0] == INDEX["^"]
    assert not words or words[-1].symbols[0] in ".?!"
    assert not any(first.is_pause and second.is_pause for first, second in pairwise(words))


@given(
    st.dictionaries(st.from_regex(r"[a-z]+('[a-z]+)?", fullmatch=True), st.lists(st.sampled_from(SYMBOLS), min_size=1))
)
def test_a_lexicon_gives_back_what_was_put_in(entries: dict[str, list[str]]) -> None:
    lexicon = Lexicon(Lexicon.encode({word: tuple(symbols) for word, symbols in entries.items()}))
    assert {word: lexicon.get(word) for word in entries} == entries
    assert sorted(lexicon.words()) == sorted(entries)
    assert lexicon.get("zzzzzz-not-there") is None


words_and_pauses = st.lists(
    st.one_of(
        st.one_of(st.integers(1, 12), st.integers(19, 150)).map(lambda n: Word("w", ("zh",) * n)),
        st.sampled_from(PAUSES).map(lambda p: Word(p, (p,))),
    ),
    max_size=60,
)


@given(words_and_pauses, st.integers(20, 60))
def test_phrases_keep_every_word_in_order_and_stay_short(words: list[Word], longest: int) -> None:
    parts = phrases(words, longest)
    spoken = [s for part in parts for w in part if not w.is_pause for s in w.symbols]
    assert spoken == [s for w in words if not w.is_pause for s in w.symbols]
    assert all(part[-1].is_pause for part in parts)
    assert all(len(flatten(part)) <= longest + 1 for part in parts)


def test_phrases_are_cut_at_a_pause_where_there_is_one() -> None:
    words = [
        Word("one", ("zh",) * 8),
        Word(",", (",",)),
        Word("two", ("zh",) * 8),
        Word("three", ("zh",) * 8),
        Word(".", (".",)),
    ]
    assert [[w.text for w in part] for part in phrases(words, 20)] == [["one", ","], ["two", "three", "."]]


def test_ctc_merges_repeats_and_drops_blanks() -> None:
    k, ae = INDEX["k"], INDEX["ae1"]
    assert read_symbols([0, k, k, 0, k, ae, 0, 0]) == ["k", "k", "ae1"]
