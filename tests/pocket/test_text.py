"""Tokenizers, cleaning and chunks by example, and properties of any text. Parity is in test_text_parity.py."""

# ruff: noqa: RUF001  (marks that look like others are what is tested)

import json
import logging
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.pocket.tokenizers import ENTRIES, tokenizer_files, train
from wyoming_pocket_tts.core.errors import ConfigError, EmptyText, ModelError, TtsError
from wyoming_pocket_tts.pocket.text import TextRules, Tokenizer, clean, load_tokenizer, split

FROM_MODEL = load_tokenizer(tokenizer_files().sentencepiece, kind="sentencepiece", entries=ENTRIES)
FROM_JSON = load_tokenizer(tokenizer_files().json, kind="tokenizers", entries=ENTRIES)
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
    (chunk,) = split("Hi", FROM_MODEL, rules)
    assert chunk.text == "        Hi."
    assert list(chunk.tokens) == FROM_MODEL.encode("        Hi.")


@pytest.mark.parametrize("text", ["", "  \n\t\u2028 ", '"„ (', "\ud800"])
def test_nothing_to_say_is_an_error(text: str) -> None:
    rules = TextRules(replace_characters={'"': "", "„": "", "(": ""})
    with pytest.raises(EmptyText):
        clean(text, rules)
    with pytest.raises(ValueError, match="no text") as caught:
        split(text, FROM_MODEL, rules)
    assert isinstance(caught.value, TtsError)


def test_a_rule_for_more_than_one_character_is_an_error() -> None:
    with pytest.raises(ConfigError, match="'--' is not a single character"):
        TextRules(replace_characters={"--": "-"})


def test_half_characters_are_left_out_and_pairs_are_joined() -> None:
    """A client's JSON may hold them; no tokenizer takes them."""
    assert clean("a\ud83d b\ude00 \ud83d\ude00", AS_IT_IS) == "a b 😀"


def texts(text: str, *, max_tokens: int = 50, rules: TextRules = PLAIN) -> list[str]:
    return [chunk.text for chunk in split(text, FROM_MODEL, rules, max_tokens=max_tokens)]


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
    size = len(FROM_MODEL.encode(text))
    assert texts(f"{text} {text}", max_tokens=size) == [text, text]
    assert texts(f"{text} {text}", max_tokens=size - 1) == ["One day.", "Two days."] * 2
    assert texts(f"{text} {text}", max_tokens=2 * size) == [f"{text} {text}"]


def test_a_long_sentence_is_cut_between_clauses() -> None:
    text = "It is on, it is good; it is there: so it is"
    assert texts(text, max_tokens=7) == ["It is on.", "It is good.", "It is there.", "So it is."]


def test_frames_after_the_end_depend_on_the_number_of_words() -> None:
    chunks = [next(split(text, FROM_MODEL, PLAIN)) for text in ("a", "a b c d", "a b c d e")]
    found = {chunk.words: chunk.frames_after_eos for chunk in chunks}
    assert found == {1: 5, 4: 5, 5: 3}


def test_a_clause_without_marks_stays_whole_and_is_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        (chunk,) = split("light " * 100, FROM_MODEL, PLAIN)
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
    chunks = list(split(text, FROM_MODEL, PLAIN))
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
        split("((", FROM_MODEL, rules)


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
    "unit", ["It is 3.14 now. ", "1.", "No. ", "...", "a, ", "light ", "🎉.", "5.🎉", "3. 4", ". ", "(", "x" * 40 + " "]
)
def test_work_is_linear_in_the_length_of_a_text(unit: str) -> None:
    text = unit * 3000
    counting = Counting(FROM_MODEL)
    list(split(text, counting, PLAIN))
    assert counting.tokens <= 8 * len(FROM_MODEL.encode(text)) + 100


@given(st.text().filter(lambda text: "<" not in text))  # JSON tokenizers read '<0x41>' as a byte
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_both_formats_give_the_same_tokens_and_the_text_back(text: str) -> None:
    tokens = FROM_MODEL.encode(text)
    assert FROM_JSON.encode(text) == tokens
    assert FROM_MODEL.decode(tokens) == FROM_JSON.decode(tokens) == text.replace("▁", " ")
    assert all(0 <= token < FROM_MODEL.size for token in tokens)


def test_no_text_is_no_tokens() -> None:
    assert FROM_MODEL.encode("") == FROM_JSON.encode("") == []
    assert FROM_MODEL.decode([]) == FROM_JSON.decode([]) == ""


@pytest.mark.parametrize("marks", [".!...?", ",;:"])
def test_each_mark_is_one_token_behind_that_of_a_word(marks: str) -> None:
    pieces = [FROM_MODEL.decode([token]) for token in FROM_MODEL.encode(marks)]
    assert pieces == ["", *([".", "!", "...", "?"] if "." in marks else list(marks))]


@pytest.mark.parametrize("kind", ["sentencepiece", "tokenizers", "json"])
def test_a_json_name_decides_whatever_the_kind_says(kind: str) -> None:
    assert load_tokenizer(tokenizer_files().json, kind=kind, entries=ENTRIES).size == ENTRIES


def test_json_may_have_any_name_if_the_kind_says_so(tmp_path: Path) -> None:
    path = tmp_path / "blob"
    shutil.copy(tokenizer_files().json, path)
    assert load_tokenizer(path, kind="tokenizers", entries=ENTRIES).encode("Hi.") == FROM_MODEL.encode("Hi.")


def test_what_a_file_says_about_lengths_does_not_cut_texts(tmp_path: Path) -> None:
    description = json.loads(tokenizer_files().json.read_text(encoding="utf-8"))
    description["truncation"] = {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0}
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(description), encoding="utf-8")
    text = "Please turn the kitchen light on."
    assert load_tokenizer(path, kind="json", entries=ENTRIES).encode(text) == FROM_MODEL.encode(text)


@pytest.mark.parametrize("name", ["sentencepiece", "json"])
def test_another_number_of_entries_is_refused_with_both_numbers(name: str) -> None:
    path = getattr(tokenizer_files(), name)
    with pytest.raises(ModelError) as caught:
        load_tokenizer(path, kind="sentencepiece", entries=8000)
    assert str(path) in str(caught.value)
    assert "4000" in str(caught.value)
    assert "8000" in str(caught.value)


def test_training_follows_the_number_of_entries(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.model"
    path.write_bytes(train(1000))
    assert load_tokenizer(path, kind="sentencepiece", entries=1000).size == 1000


@pytest.mark.parametrize("suffix", [".model", ".json"])
@pytest.mark.parametrize("content", ["", "garbage", "half", "the other format"])
def test_a_damaged_file_is_refused_by_name(
    suffix: str, content: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    own, other = tokenizer_files().sentencepiece.read_bytes(), tokenizer_files().json.read_bytes()
    own, other = (own, other) if suffix == ".model" else (other, own)
    path = tmp_path / f"tokenizer{suffix}"
    path.write_bytes({"": b"", "garbage": b"garbage " * 99, "half": own[: len(own) // 2]}.get(content, other))
    with pytest.raises(ModelError, match=f"{path}: cannot be read as a"):
        load_tokenizer(path, kind="sentencepiece", entries=ENTRIES)
    assert capfd.readouterr().err == ""


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such tokenizer file") as caught:
        load_tokenizer(tmp_path / "tokenizer.model", kind="sentencepiece", entries=ENTRIES)
    assert isinstance(caught.value, ModelError)


def test_an_unknown_kind_is_refused_with_what_is_allowed() -> None:
    with pytest.raises(ModelError, match="'spm'; allowed are sentencepiece, tokenizers, json"):
        load_tokenizer(tokenizer_files().sentencepiece, kind="spm", entries=ENTRIES)
