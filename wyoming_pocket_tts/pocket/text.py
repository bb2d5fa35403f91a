"""Tokenizer; text cleaned and cut into chunks."""

# ruff: noqa: RUF001  (marks that look like others are read here)

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from wyoming_pocket_tts.core.errors import ConfigError, EmptyText, MissingWeights, ModelError, quote_untrusted

KINDS = ("sentencepiece", "tokenizers", "json")
"""Of tokenizers, as model configurations name them; the last two mean the same."""
MAX_TOKENS: Final = 50  # of a chunk, unless its one clause is longer: about the length of the texts in training
OVERLONG: Final = 10
"""A clause this many times too long is cut between words, so that memory stays bounded; shorter ones stay whole."""

_log = logging.getLogger(__name__)

_SENTENCE_MARKS = ".!...?"
_CLAUSE_MARKS = ",;:"
_TERMINAL = ".!?…"
_WEAK = ",;:-–—"
_CLOSERS = "\"'”’)]»"
_STRAY_CLAUSE_MARK = re.compile(r"([.!?…])\s*[,;:]")
_PADDING = " " * 8
_PADDED_BELOW_WORDS = 5
_SHORT_WORDS = 4
_ADDED_TOKENS = 4  # by cleaning a part: a capital letter, a mark at the end
_FRAMES_AFTER_SHORT, _FRAMES_AFTER_LONG = 5, 3


class Tokenizer(Protocol):
    """Keeps no state between calls: any number of threads may share one."""

    @property
    def size(self) -> int:
        """The number of entries: tokens are 0 .. size - 1."""

    def encode(self, text: str) -> list[int]:
        """All tokens of a text, which holds no lone surrogates. Linear in its length."""

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of some tokens, without the space that a first word's token stands for."""


def load_tokenizer(path: Path, *, kind: str, entries: int) -> Tokenizer:
    """Read a tokenizer file of a kind in ``KINDS``; a name that ends in ``.json`` is JSON whatever ``kind`` is.

    Raises ``MissingWeights``, or ``ModelError`` if it is not of that kind, damaged, or without exactly ``entries``.
    """
    if kind not in KINDS:
        raise ModelError(f"{path}: unknown kind of tokenizer {kind!r}; allowed are {', '.join(KINDS)}")
    if not path.is_file():
        raise MissingWeights(f"{path}: there is no such tokenizer file")
    is_json = kind != "sentencepiece" or path.suffix == ".json"
    tokenizer: _JsonTokenizer | _SentencePieceTokenizer
    try:
        tokenizer = _JsonTokenizer(path) if is_json else _SentencePieceTokenizer(path)
    except Exception as error:  # the package tokenizers raises nothing more precise
        expected = "a tokenizer.json" if is_json else "a SentencePiece model"
        raise ModelError(
            f"{path}: cannot be read as {expected} ({error}); fetch the file again, or correct the tokenizer's kind"
        ) from error
    if tokenizer.size != entries:
        raise ModelError(
            f"{path}: the tokenizer has {tokenizer.size} entries, but the model expects {entries} (n_bins); "
            f"it belongs to another model"
        )
    return tokenizer


class _SentencePieceTokenizer:
    def __init__(self, path: Path) -> None:
        from sentencepiece import SentencePieceProcessor  # noqa: PLC0415  (the other kind does without)

        model = path.read_bytes()
        if not model:
            raise ValueError("it is empty")  # the library would take it, and complain on standard error
        self._model = SentencePieceProcessor(model_proto=model)
        self.size = int(self._model.vocab_size())

    def encode(self, text: str) -> list[int]:
        tokens: list[int] = self._model.encode(text, out_type=int)
        return tokens

    def decode(self, tokens: Sequence[int]) -> str:
        return str(self._model.decode(list(tokens)))


class _JsonTokenizer:
    def __init__(self, path: Path) -> None:
        from tokenizers import Tokenizer as Library  # noqa: PLC0415  (the other kind does without)

        self._model = Library.from_file(str(path))
        # If a file has these, they would cut the end of a text or lengthen it.
        self._model.no_truncation()
        self._model.no_padding()
        self.size = self._model.get_vocab_size()

    def encode(self, text: str) -> list[int]:
        return list(self._model.encode(text).ids)

    def decode(self, tokens: Sequence[int]) -> str:
        return str(self._model.decode(list(tokens)))


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRules:
    """How the texts of a model's training were written; a ``ConfigError`` if a replaced character is none."""

    pad_with_spaces_for_short_inputs: bool = False
    """Eight spaces in front of fewer than five words: an old model is bad at very few tokens."""
    remove_semicolons: bool = False  # a comma in place of each semicolon
    append_terminal_punctuation: bool = True  # without a mark at its end, a last word tends to be wrong or repeated
    capitalize_first_letter: bool = True
    replace_characters: Mapping[str, str] = field(default_factory=dict)
    """Single characters and their replacements; "" removes them."""

    def __post_init__(self) -> None:
        for key in self.replace_characters:
            if len(key) != 1:
                raise ConfigError(
                    f"replace_characters: {quote_untrusted(key)} is not a single character, as each key must be"
                )


@dataclass(frozen=True, slots=True)
class TextChunk:
    """Text that is generated in one go."""

    text: str  # cleaned, as it was tokenized
    tokens: tuple[int, ...]
    words: int
    frames_after_eos: int = field(init=False)
    """Frames to generate after the end of speech, where the model has no value of its own."""

    def __post_init__(self) -> None:
        frames = _FRAMES_AFTER_SHORT if self.words <= _SHORT_WORDS else _FRAMES_AFTER_LONG
        object.__setattr__(self, "frames_after_eos", frames)


def clean(text: str, rules: TextRules) -> str:
    """Apply the rules of a model; raises ``EmptyText`` if nothing is left."""
    return _clean_and_count(text, rules)[0]


def split(text: str, tokenizer: Tokenizer, rules: TextRules, *, max_tokens: int = MAX_TOKENS) -> Iterator[TextChunk]:
    """Clean a text of any length and cut it into chunks of at most ``max_tokens``, as far as its marks allow.

    Chunks are cleaned and tokenized when they are asked for. Raises ``EmptyText`` at once if nothing is left.
    """
    parts = _sentences(clean(text, rules).strip(), tokenizer)
    parts = _refined(parts, tokenizer, max_tokens)
    chunks = [chunk for chunk in _joined(parts, max_tokens) if _has_content(chunk, rules)]
    if not chunks:
        raise EmptyText(f"the text {quote_untrusted(text)} holds nothing that can be said")
    return (_chunk(chunk, tokenizer, rules, max_tokens) for chunk in chunks)


def _chunk(text: str, tokenizer: Tokenizer, rules: TextRules, max_tokens: int) -> TextChunk:
    cleaned, words = _clean_and_count(text, rules)
    tokens = tuple(tokenizer.encode(cleaned))
    if len(tokens) > max_tokens:
        _log.warning("a part without marks has %d tokens (limit %d): words may be lost", len(tokens), max_tokens)
    return TextChunk(cleaned, tokens, words)


def _clean_and_count(text: str, rules: TextRules) -> tuple[str, int]:
    """The cleaned text and its number of words, which are counted before marks and spaces are added."""
    text = _replaced(_without_lone_surrogates(text).strip(), rules)
    if not text:
        raise EmptyText("there is no text to say")
    text = text.replace("\n", " ").replace("\r", " ").replace("  ", " ")
    if rules.remove_semicolons:
        text = text.replace(";", ",")
    words = len(text.split())
    if rules.capitalize_first_letter and not text[0].isupper():
        text = text[0].upper() + text[1:]
    if rules.append_terminal_punctuation:
        text = _with_terminal_mark(text)
    if rules.pad_with_spaces_for_short_inputs and len(text.split()) < _PADDED_BELOW_WORDS:
        text = _PADDING + text
    return text, words


def _without_lone_surrogates(text: str) -> str:
    """Remove half characters, which JSON can carry and no tokenizer accepts; join pairs."""
    if text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text):
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "ignore")


def _replaced(text: str, rules: TextRules) -> str:
    if not rules.replace_characters:
        return text
    text = " ".join(text.translate({ord(key): value for key, value in rules.replace_characters.items()}).split())
    # Without its quotes, '"Hi?", she said' would be a sentence that ends in '?,'.
    return _STRAY_CLAUSE_MARK.sub(r"\1", text)


def _has_content(text: str, rules: TextRules) -> bool:
    return bool(_replaced(text.strip(), rules))


def _with_terminal_mark(text: str) -> str:
    core = text.rstrip(_CLOSERS + " ")
    if not core or core[-1] in _TERMINAL:
        return text
    if core[-1] in _WEAK:
        closers = text[len(core) :].strip()
        return core.rstrip(_WEAK + " ") + "." + closers
    return text + "."


class _Part(NamedTuple):
    """Part of a text that is not cut further, and how many tokens of the whole it was."""

    text: str
    tokens: int


def _sentences(text: str, tokenizer: Tokenizer) -> Iterator[_Part]:
    tokens = tokenizer.encode(text)
    runs = _runs_of_marks(tokens, _marks(_SENTENCE_MARKS, tokenizer))
    cuts = [
        end
        for start, end, stop in _surroundings(runs, len(tokens))
        if not _is_decimal(tokenizer, before=tokens[start:end], after=tokens[end:stop])
    ]
    return _parts(tokens, cuts, tokenizer)


def _refined(sentences: Iterator[_Part], tokenizer: Tokenizer, max_tokens: int) -> Iterator[_Part]:
    """Cut what is too long at the marks between clauses and, where there are none for very long, between words."""
    clause_marks = _marks(_CLAUSE_MARKS, tokenizer)
    room = max(max_tokens, MAX_TOKENS)
    for sentence in sentences:
        parts = [sentence]
        if sentence.tokens > max_tokens:
            tokens = tokenizer.encode(sentence.text.strip())
            cuts = [end for _, end in _runs_of_marks(tokens, clause_marks) if end < len(tokens)]
            parts = list(_parts(tokens, cuts, tokenizer)) if cuts else parts
        for part in parts:
            if part.tokens > OVERLONG * room:
                yield from _cut_anywhere(part.text, tokenizer, room - _ADDED_TOKENS)
            else:
                yield part


def _joined(parts: Iterator[_Part], max_tokens: int) -> Iterator[str]:
    waiting: list[str] = []
    tokens = 0
    for part in parts:
        if waiting and tokens + part.tokens > max_tokens:
            yield " ".join(waiting).strip()
            waiting, tokens = [], 0
        waiting.append(part.text)
        tokens += part.tokens
    yield " ".join(waiting).strip()


def _marks(text: str, tokenizer: Tokenizer) -> frozenset[int]:
    """The tokens of some marks, without the token for the beginning of a word."""
    return frozenset(tokenizer.encode(text)[1:])


def _parts(tokens: Sequence[int], cuts: Sequence[int], tokenizer: Tokenizer) -> Iterator[_Part]:
    return (_Part(tokenizer.decode(tokens[a:b]), b - a) for a, b in pairwise([0, *cuts, len(tokens)]))


def _runs_of_marks(tokens: Sequence[int], marks: frozenset[int]) -> list[tuple[int, int]]:
    """First and one-past-last position of each unbroken run of marks."""
    runs: list[tuple[int, int]] = []
    for position, token in enumerate(tokens):
        if token not in marks:
            continue
        if runs and runs[-1][1] == position:
            runs[-1] = (runs[-1][0], position + 1)
        else:
            runs.append((position, position + 1))
    return runs


def _surroundings(runs: Sequence[tuple[int, int]], size: int) -> Iterator[tuple[int, int, int]]:
    """Of each run, but for one that ends the text: where its context begins, its end, and where its context ends.

    The context reaches to the neighbouring runs (backwards including the last mark): characters of several tokens are
    then whole, and no token is decoded more than twice.
    """
    starts = [0, *(end - 1 for _, end in runs)]
    stops = [*(start for start, _ in runs[1:]), size]
    for (_, end), start, stop in zip(runs, starts, stops, strict=False):
        if end < size:
            yield start, end, stop


def _is_decimal(tokenizer: Tokenizer, *, before: Sequence[int], after: Sequence[int]) -> bool:
    """Whether the mark between them is the point of a number: a digit, a point, a digit."""
    if not tokenizer.decode(after)[:1].isdigit():
        return False
    text = tokenizer.decode(before)
    return text[-1:] == "." and text[-2:-1].isdigit()


def _cut_anywhere(text: str, tokenizer: Tokenizer, room: int) -> Iterator[_Part]:
    """Words in parts that fit; a word that does not fit is cut itself."""
    parts: list[str] = []
    tokens = 0
    for word in text.split():
        for part in _fitting(word, tokenizer, room):
            if parts and tokens + part.tokens > room:
                yield _Part(" ".join(parts), tokens)
                parts, tokens = [], 0
            parts.append(part.text)
            tokens += part.tokens
    if parts:
        yield _Part(" ".join(parts), tokens)


def _fitting(word: str, tokenizer: Tokenizer, room: int) -> Iterator[_Part]:
    """The word, or parts of it with at most ``room`` characters: most tokens are at least one character long."""
    for start in range(0, len(word), room) if len(word) > room else [0]:
        part = word[start : start + room]
        yield _Part(part, len(tokenizer.encode(part)))
