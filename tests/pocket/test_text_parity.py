"""Cleaning and chunks against the peer's, ``pocket-tts`` 4.0.1: equal for any text, all rules and both tokenizers."""

# ruff: noqa: RUF001  (marks that look like others are what is tested)

from dataclasses import dataclass, replace

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pocket_tts.models.text_chunking import prepare_text_prompt, split_into_best_sentences
from pocket_tts.modules.text_conditioner import build_tokenizer

from tests.pocket.tokenizers import ENTRIES, tokenizer_files
from wyoming_pocket_tts.core.errors import EmptyText
from wyoming_pocket_tts.pocket.text import OVERLONG, TextRules, Tokenizer, clean, load_tokenizer, split

pytest.importorskip("pocket_tts")

APOSTROPHES = {"’": "'", "‘": "'"}
UNQUOTED = APOSTROPHES | dict.fromkeys('"“”„«»()[]', "") | {"–": ","}
RULES = {
    "english": TextRules(replace_characters=APOSTROPHES),
    "english_2026-01": TextRules(replace_characters=APOSTROPHES, pad_with_spaces_for_short_inputs=True),
    "english_18m": TextRules(replace_characters=APOSTROPHES | {"–": ",", "—": ","}),
    "dutch, italian, portuguese": TextRules(replace_characters=UNQUOTED),
    "french": TextRules(replace_characters=UNQUOTED | {":": ","}, remove_semicolons=True),
    "german": TextRules(replace_characters=UNQUOTED | {"—": ","}, remove_semicolons=True),
    "spanish": TextRules(replace_characters=UNQUOTED | {"¡": "", "¿": ""}),
    "nothing replaced": TextRules(),
    "everything": TextRules(
        pad_with_spaces_for_short_inputs=True, remove_semicolons=True, replace_characters={"a": "", "b": "a"}
    ),
}
VARIANTS = {
    **RULES,
    "english, unended": replace(RULES["english"], append_terminal_punctuation=False),
    "english, uncapitalized": replace(RULES["english"], capitalize_first_letter=False),
    "german, unended": replace(RULES["german"], append_terminal_punctuation=False),
    "german, uncapitalized": replace(RULES["german"], capitalize_first_letter=False),
    "no case, no marks": TextRules(append_terminal_punctuation=False, capitalize_first_letter=False),
}


@dataclass(frozen=True)
class Pair:
    """One file, read by the peer and by us."""

    theirs: object
    ours: Tokenizer


PAIRS = [
    Pair(build_tokenizer(ENTRIES, str(path), kind), load_tokenizer(path, kind=kind, entries=ENTRIES))
    for path, kind in ((tokenizer_files().sentencepiece, "sentencepiece"), (tokenizer_files().json, "tokenizers"))
]

WORDS = [
    "the",
    "light",
    "is",
    "on",
    "in",
    "kitchen",
    "it's",
    "well-known",
    "Straße",
    "été",
    "ñandú",
    "ß",
    "ŉ",
    "ǆ",
    "日本語",
]
WORDS += ["مرحبا", "Ελλάδα", "e\u0301"]
NUMBERS = ["3.14", "1.000.000", "3. 14", "5.", ".5", "1,5", "12:30", "٣.٥", "²", "2.²", "7", "1.2.3."]
MARKS = [".", "!", "?", "...", "…", "?!", ",", ";", ":", "-", "–", "—", ". ", ", ", "; ", "! ", "? ", ".\n"]
BRACKETS = list("\"'“”„«»‘’()[]¡¿")
SPACES = [" ", " ", " ", " ", " ", "  ", "\n", "\r\n", "\t", "\u00a0", "\u2028", "\x0b", "\x85", "        "]
ODDITIES = [
    "😀",
    "👩‍👩‍👧",
    "\x00",
    "\u0301",
    "\ufeff",
    "\u200b",
    "\ufffd",
    "▁",
    "<s>",
    "<0x41>",
    "\U0010ffff",
    "%",
    "€",
]

fragment = st.one_of(
    *(st.sampled_from(part) for part in (WORDS, NUMBERS, MARKS, BRACKETS, SPACES, ODDITIES)), st.text(max_size=3)
)
sentence = st.lists(st.sampled_from(WORDS + NUMBERS), min_size=1, max_size=40).map(" ".join)
prose = st.lists(
    st.tuples(sentence, st.sampled_from(MARKS), st.sampled_from(BRACKETS + SPACES)).map("".join), max_size=12
)
any_text = st.one_of(st.lists(fragment, max_size=60), st.lists(fragment, max_size=12), prose).map("".join)


def options(rules: TextRules) -> dict[str, object]:
    return {
        "pad_with_spaces_for_short_inputs": rules.pad_with_spaces_for_short_inputs,
        "remove_semicolons": rules.remove_semicolons,
        "append_terminal_punctuation": rules.append_terminal_punctuation,
        "capitalize_first_letter": rules.capitalize_first_letter,
        "replace_characters": dict(rules.replace_characters),
    }


def cleaned_by_the_peer(text: str, rules: TextRules) -> tuple[str, int] | None:
    """Its text and the frames it adds after the end; None where it fails because nothing is left."""
    try:
        cleaned, frames = prepare_text_prompt(text, **options(rules))
    except ValueError:
        return None
    return cleaned, frames + 2  # as its generate_audio_stream does


def cleaned_by_us(text: str, rules: TextRules) -> str | None:
    try:
        return clean(text, rules)
    except EmptyText:
        return None


@pytest.mark.parity
@pytest.mark.parametrize("rules", VARIANTS.values(), ids=VARIANTS.keys())
@given(text=any_text, max_tokens=st.sampled_from([50, 50, 20, 5, 1]))
@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example(text="", max_tokens=50)
@example(text='"', max_tokens=50)
@example(text="ß", max_tokens=50)
@example(text="a " * 600, max_tokens=50)
def test_the_same_chunks_as_the_peer(rules: TextRules, text: str, max_tokens: int) -> None:
    whole = cleaned_by_the_peer(text, rules)
    assert cleaned_by_us(text, rules) == (whole and whole[0])
    if whole is None:
        return
    for pair in PAIRS:
        parts = split_into_best_sentences(pair.theirs, text, max_tokens, **options(rules))
        expected = [
            cleaned for part in parts if (cleaned := cleaned_by_the_peer(part, rules))
        ]  # without: it stops there
        tokens = [pair.theirs(cleaned)[0].tolist() for cleaned, _ in expected]  # type: ignore[operator]
        if any(len(part) > OVERLONG * 50 for part in tokens):
            continue  # the one case in which we do not do the same
        try:
            ours = list(split(text, pair.ours, rules, max_tokens=max_tokens))
        except EmptyText:
            ours = []
        assert [(chunk.text, chunk.frames_after_eos) for chunk in ours] == expected
        assert [list(chunk.tokens) for chunk in ours] == tokens
