"""Makes a model with random weights, so that a machine can be measured before anything is downloaded.

The time that speech takes depends on shapes, not on values. Knows no released model but by its config.
"""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from wyoming_pocket_tts.pocket.config import load_config
from wyoming_pocket_tts.pocket.random_weights import write_random_model
from wyoming_pocket_tts.pocket.schema import ModelConfig
from wyoming_pocket_tts.voices.state import VoiceState, write_state

_SEED = 1
_VOICE_POSITIONS = 126
"""A voice prompt of ten seconds."""
_MARKS = (".", "!", "...", "?", ",", ";", ":")
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'-"
_WORDS = "the a and to of in on is are be it will off out door room rain good"
"""As a trained tokenizer has them, so that a text has about as many tokens."""
_SPACE = "▁"


def make_model(directory: Path, config: ModelConfig) -> ModelConfig:
    """Write weights and tokenizer into a directory; return a config that names them.

    Raises:
        OSError: the directory cannot be written to.
    """
    directory.mkdir(parents=True, exist_ok=True)
    tokenizer = directory / "tokenizer.json"
    tokenizer.write_text(json.dumps(_tokenizer(config.flow_lm.lookup_table.n_bins)), encoding="utf-8")
    return load_config(write_random_model(directory, config, seed=_SEED, tokenizer=tokenizer, dtype="bfloat16"))


def make_voice(path: Path, config: ModelConfig) -> None:
    """Write a voice that fits a model.

    Raises:
        SpeechError: it cannot be written.
    """
    sizes = config.flow_lm.transformer
    empty = np.zeros((2, _VOICE_POSITIONS, sizes.kv_heads, sizes.head_dim), dtype=np.float32)
    write_state(VoiceState((empty,) * sizes.num_layers), path)


def _tokenizer(entries: int) -> dict[str, object]:
    """A ``tokenizer.json`` whose entries are signs, syllables and a few words: about three letters to a token."""
    pieces = list(itertools.islice(_pieces(), entries))
    return {
        "version": "1.0",
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Prepend", "prepend": _SPACE},
                {"type": "Replace", "pattern": {"String": " "}, "content": _SPACE},
            ],
        },
        "decoder": {"type": "Replace", "pattern": {"String": _SPACE}, "content": " "},
        "model": {"type": "Unigram", "unk_id": 0, "vocab": [[piece, -float(len(piece) < 2)] for piece in pieces]},  # noqa: PLR2004  (single signs are the last resort)
    }


def _pieces() -> Iterator[str]:
    yield from ("<unk>", *_MARKS, _SPACE, *_LETTERS)
    yield from (_SPACE + word for word in _WORDS.split() if len(word) > 2)  # noqa: PLR2004  (pairs follow)
    small = _LETTERS[:26]
    pairs = ["".join(pair) for pair in itertools.product(small, repeat=2)]
    yield from pairs
    yield from (_SPACE + pair for pair in pairs)
    for vowel in "eaoiu":
        yield from (pair[0] + vowel + pair[1] for pair in pairs if pair[0] + vowel + pair[1] not in pairs)
