"""Tokenizers as they are loaded: both formats say the same, and what cannot be used is refused by name."""

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.pocket.tokenizers import ENTRIES, tokenizer_files, train
from wyoming_pocket_tts.core.errors import ModelError
from wyoming_pocket_tts.pocket.text import load_tokenizer

FROM_MODEL = load_tokenizer(tokenizer_files().sentencepiece, kind="sentencepiece", entries=ENTRIES)
FROM_JSON = load_tokenizer(tokenizer_files().json, kind="tokenizers", entries=ENTRIES)


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
