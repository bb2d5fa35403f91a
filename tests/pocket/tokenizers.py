"""Tokenizers like the released ones, trained here: 4000 SentencePiece entries with byte fallback, and the same as JSON.

Like in the released files, each sentence mark is an entry of its own and the spaces of a text are kept as they are.
"""

import atexit
import io
import itertools
import random
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import sentencepiece
from tokenizers import Tokenizer, decoders, models, normalizers

ENTRIES = 4000
_SPACE = "▁"
_MARKS = [".", "!", "...", "?", ",", ";", ":"]  # of the strings by which a text is split: each is one token

_WORDS = """the be to of and a in that have it for not on with he as you do at this but his by from they we say her she
or an will my one all would there their what so up out if about who get which go me when make can like time no just him
know take people into year your good some could them see other than then now look only come its over think also back
after use two how our work first well way even new want because any these give day most us turn light kitchen door open
close temperature living room degrees weather tomorrow morning evening timer minutes hours seconds alarm music play stop
good night hello world please thank lamp window garage garden battery percent is are was were been has had does did
der die das und ist nicht ein eine mit auf für den dem le la les des est une pour dans que qui el los las una por con"""
_CONSONANTS = "b c d f g h j k l m n p r s t v w z br ch cl dr fr gr pl sh st th tr"
_VOWELS = "a e i o u ai ea ee oo ou ä ö ü é è ñ"
_CODAS = ["", "", "", "n", "r", "s", "t", "l", "nd", "st", "ng", "ck"]


@dataclass(frozen=True, slots=True)
class TokenizerFiles:
    """Both hold the same entries: the same text becomes the same tokens."""

    sentencepiece: Path
    json: Path


@lru_cache(maxsize=1)
def tokenizer_files() -> TokenizerFiles:
    """Train once for all tests of this process; the files are gone when it ends."""
    directory = Path(tempfile.mkdtemp(prefix="tokenizers-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    files = TokenizerFiles(directory / "tokenizer.model", directory / "tokenizer.json")
    files.sentencepiece.write_bytes(train(ENTRIES))
    as_json(files.sentencepiece).save(str(files.json))
    return files


def train(entries: int) -> bytes:
    """A SentencePiece model with exactly so many entries, the same on every machine."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=_sentences(random.Random(4000)),  # noqa: S311  (reproducible, not secret)
        model_writer=model,
        vocab_size=entries,
        model_type="unigram",
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        split_digits=True,
        character_coverage=1.0,
        user_defined_symbols=_MARKS,
        num_threads=1,
        minloglevel=2,
    )
    return model.getvalue()


def as_json(path: Path) -> Tokenizer:
    """The same model for the package ``tokenizers``."""
    model = sentencepiece.SentencePieceProcessor(str(path))
    scored = [(model.id_to_piece(token), model.get_score(token)) for token in range(model.vocab_size())]
    tokenizer = Tokenizer(models.Unigram(scored, unk_id=model.unk_id(), byte_fallback=True))
    # Not the Metaspace pre-tokenizer: it puts no mark in front of a text that begins with a space.
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(_SPACE), normalizers.Replace(" ", _SPACE)])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return tokenizer


def _sentences(rng: random.Random) -> Iterator[str]:
    common = _WORDS.split()
    words = common + [_pseudo_word(rng) for _ in range(6000)]
    for start in itertools.count(0, 7):
        if start >= len(words):
            return
        line = [*words[start : start + 7], *rng.choices(common, k=25), str(rng.randrange(10_000))]
        rng.shuffle(line)
        yield f'{" ".join(line).capitalize()} "{rng.choice(words)}" ({rng.choice(words)}) it\'s-{rng.choice(words)}'


def _pseudo_word(rng: random.Random) -> str:
    syllables = rng.randint(1, 3)
    return "".join(
        rng.choice(_CONSONANTS.split()) + rng.choice(_VOWELS.split()) for _ in range(syllables)
    ) + rng.choice(_CODAS)
