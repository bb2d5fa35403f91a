"""Text to tokens and back, from a SentencePiece model or a ``tokenizer.json``. Knows nothing about what is tokenized.

The released models come with either; both hold the same kind of vocabulary. Only the library that a file needs is
imported. A tokenizer keeps no state between calls: any number of threads may share one.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from wyoming_pocket_tts.errors import MissingWeights, ModelError

KINDS = ("sentencepiece", "tokenizers", "json")
"""What a model's configuration may call its tokenizer; the last two mean the same."""


class Tokenizer(Protocol):
    """Both libraries look the same to those who use them."""

    @property
    def size(self) -> int:
        """The number of entries: tokens are 0 .. size - 1."""

    def encode(self, text: str) -> list[int]:
        """All tokens of a text, which holds no lone surrogates. Linear in its length."""

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of some tokens, without the space that a first word's token stands for."""


def load_tokenizer(path: Path, *, kind: str, entries: int) -> Tokenizer:
    """Read a tokenizer and check that it belongs to a model with so many text embeddings.

    Args:
        path: a local file; a name that ends in ``.json`` is JSON whatever ``kind`` says.
        kind: one of ``KINDS``.
        entries: how many entries the model was trained with.

    Raises:
        MissingWeights: it is not there.
        ModelError: not of that kind, damaged, or with another number of entries.
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
        # Left in a file by whoever made it, these would swallow the end of a text or lengthen it.
        self._model.no_truncation()
        self._model.no_padding()
        self.size = self._model.get_vocab_size()

    def encode(self, text: str) -> list[int]:
        return list(self._model.encode(text).ids)

    def decode(self, tokens: Sequence[int]) -> str:
        return str(self._model.decode(list(tokens)))
