"""Cleaning and cutting by example, and what holds for any text: nothing is lost, and time is linear.

That the result is the peer's is shown in test_prompt_parity.py.
"""

# ruff: noqa: RUF001  (marks that look like others are what is tested)

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.pocket.tokenizers import ENTRIES, tokenizer_files
from tests.support.tiers import mostly
from wyoming_pocket_tts.core.errors import ConfigError, EmptyText, TtsError
from wyoming_pocket_tts.pocket.text import TextRules, Tokenizer, clean, load_tokenizer, split

TOKENIZER = load_tokenizer(tokenizer_files().sentencepiece, kind="sentencepiece", entries=ENTRIES)
PLAIN = TextRules()
GERMAN = TextRules(remove_semicolons=True, replace_characters={'"': "", "(": "", ")": "", "–": ",", "’": "'"})
AS_IT_IS = TextRules(append_terminal_punctuation=False, capitalize_first_letter=False)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("hello", "Hello."),
        ("  Hello!  ", "Hello!"),
        ("wait,", "Wait."),
        ("wait -", "Wait."),
        ("He said “yes”", "He said “yes”."),
        ("He said “yes.”", "He said “yes.”"),
        ("He said “yes,”", "He said “yes.”"),
        ("one\ntwo\r\nthree", "One two three."),
        ("ça va", "Ça va."),
        ("ßa", "SSa."),
        ("你好", "你好."),
        ("...", "..."),
        ('"', '"'),
        ("—", "."),
        ("a\x00b", "A\x00b."),
        ("e\u0301te\u0301", "E\u0301te\u0301."),
        ("12 lamps", "12 lamps."),
    ],
)
def test_a_text_is_cleaned(text: str, cleaned: str) -> None:
    assert clean(text, PLAIN) == cleaned


def test_characters_are_replaced_and_what_they_leave_is_tidied() -> None:
    assert clean('"Ja?", sagte  sie (leise); gut – so’s', GERMAN) == "Ja? sagte sie leise, gut , so's."


def test_marks_and_case_are_left_alone_if_the_rules_say_so() -> None:
    assert clean(" hello, ", AS_IT_IS) == "hello,"


def test_few_words_are_padded_for_models_that_need_it() -> None:
    rules = TextRules(pad_with_spaces_for_short_inputs=True)
    assert clean("one two three four", rules) == "        One two three four."
    assert clean("one two three four five", rules) == "One two three four five."
    (chunk,) = split("Hi", TOKENIZER, rules)
    assert chunk.text == "        Hi."
    assert list(chunk.tokens) == TOKENIZER.encode("        Hi.")


@pytest.mark.parametrize("text", ["", "  \n\t\u2028 ", '"„ (', "\ud800"])
def test_nothing_to_say_is_an_error(text: str) -> None:
    rules = TextRules(replace_characters={'"': "", "„": "", "(": ""})
    with pytest.raises(EmptyText):
        clean(text, rules)
    with pytest.raises(ValueError, match="no text") as caught:
        split(text, TOKENIZER, rules)
    assert isinstance(caught.value, TtsError)


def test_a_rule_for_more_than_one_character_is_an_error() -> None:
    with pytest.raises(ConfigError, match="'--' is not a single character"):
        TextRules(replace_characters={"--": "-"})


def test_half_characters_are_left_out_and_pairs_are_joined() -> None:
    """A client's JSON may hold them; no tokenizer takes them."""
    assert clean("a\ud83d b\ude00 \ud83d\ude00", AS_IT_IS) == "a b 😀"


def texts(text: str, *, max_tokens: int = 50, rules: TextRules = PLAIN) -> list[str]:
    return [chunk.text for chunk in split(text, TOKENIZER, rules, max_tokens=max_tokens)]


@pytest.mark.parametrize(
    ("text", "chunks"),
    [
        ("One day. Two days! Good? yes", ["One day.", "Two days!", "Good?", "Yes."]),
        ("It is 3.14 now. Or 1.000.000", ["It is 3.14 now.", "Or 1.000.000."]),
        ("Wait... What?! No", ["Wait...", "What?!", "No."]),
        ("It is 3. Then", ["It is 3.", "Then."]),
        (". . hello", [".", ".", "Hello."]),
    ],
)
def test_a_text_is_cut_after_sentences_but_not_in_numbers(text: str, chunks: list[str]) -> None:
    assert texts(text, max_tokens=1) == chunks


def test_sentences_are_joined_while_they_fit() -> None:
    text = "One day. Two days."
    size = len(TOKENIZER.encode(text))
    assert texts(f"{text} {text}", max_tokens=size) == [text, text]
    assert texts(f"{text} {text}", max_tokens=size - 1) == ["One day.", "Two days."] * 2
    assert texts(f"{text} {text}", max_tokens=2 * size) == [f"{text} {text}"]


def test_a_long_sentence_is_cut_between_clauses() -> None:
    text = "It is on, it is good; it is there: so it is"
    assert texts(text, max_tokens=7) == ["It is on.", "It is good.", "It is there.", "So it is."]


def test_frames_after_the_end_depend_on_the_number_of_words() -> None:
    chunks = [next(split(text, TOKENIZER, PLAIN)) for text in ("a", "a b c d", "a b c d e")]
    found = {chunk.words: chunk.frames_after_eos for chunk in chunks}
    assert found == {1: 5, 4: 5, 5: 3}


def test_a_clause_without_marks_stays_whole_and_is_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        (chunk,) = split("light " * 100, TOKENIZER, PLAIN)
    assert chunk.words == 100
    assert f"{len(chunk.tokens)} tokens (limit 50)" in caplog.text


@pytest.mark.parametrize(
    ("text", "most"),
    [
        ("light " * 5000, 50),
        ("l" * 20_000, 50),
        ("light " * 3000 + "l" * 9000, 50),
        ("🎉" * 3000, 4 * 50),  # four tokens each
    ],
)
def test_what_never_ends_is_cut_all_the_same(text: str, most: int) -> None:
    """The peer would generate it in one go, with memory for all of it."""
    chunks = list(split(text, TOKENIZER, PLAIN))
    assert max(len(chunk.tokens) for chunk in chunks) <= most
    assert letters(chunk.text for chunk in chunks) == letters([text])


def letters(parts: Iterable[str]) -> str:
    return "".join(character for part in parts for character in part.casefold() if character not in " .")


@given(st.lists(st.sampled_from(["light", " ", ".", "3", ",", "\n", "é", "?", "日本", "…", '"', "😀"]), min_size=1))
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_letter_is_lost(parts: list[str]) -> None:
    text = "".join(parts)
    try:
        chunks = texts(text, max_tokens=4)
    except EmptyText:
        assert not text.strip()
        return
    spoken = [character for character in text.casefold() if character.isalnum()]
    assert [character for chunk in chunks for character in chunk.casefold() if character.isalnum()] == spoken


def test_a_chunk_that_cleaning_empties_is_left_out() -> None:
    """What a character becomes may be removed when the chunk is cleaned in its turn; the peer stops there."""
    rules = TextRules(replace_characters={"(": "[", "[": ""}, append_terminal_punctuation=False)
    assert texts("Yes. ( ( ( ( ( ( ( (. No.", max_tokens=3, rules=rules) == ["Yes.", ".", "No."]
    assert texts("a. ((((", max_tokens=1, rules=rules) == ["A."]
    with pytest.raises(EmptyText):
        split("((", TOKENIZER, rules)


@dataclass
class Counting:
    """Counts the tokens that go through a tokenizer."""

    tokenizer: Tokenizer
    tokens: int = 0

    @property
    def size(self) -> int:
        return self.tokenizer.size

    def encode(self, text: str) -> list[int]:
        tokens = self.tokenizer.encode(text)
        self.tokens += len(tokens)
        return tokens

    def decode(self, tokens: Sequence[int]) -> str:
        self.tokens += len(tokens)
        return self.tokenizer.decode(tokens)


@pytest.mark.parametrize(
    "unit",
    mostly(
        pytest.mark.perf,
        ["It is 3.14 now. ", "1.", "No. ", "...", "a, ", "light ", "🎉.", "5.🎉", "3. 4", ". ", "(", "x" * 40 + " "],
    ),
)
def test_work_is_linear_in_the_length_of_a_text(unit: str) -> None:
    text = unit * 3000
    counting = Counting(TOKENIZER)
    list(split(text, counting, PLAIN))
    assert counting.tokens <= 8 * len(TOKENIZER.encode(text)) + 100
