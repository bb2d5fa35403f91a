"""The text both speakers read: public-domain prose and sentences a house says. Knows nothing about audio.

Sources, all free to ship: the Jargon File (public domain, Debian ``dict-jargon``), Ambrose Bierce's *The Devil's
Dictionary* (copyright expired, Debian ``dict-devil``), and the templates of ``house.yaml``.
The text that the shipped voice has heard lies compressed beside this file, so that training can be repeated without
those packages. A rebuild gives a text of the same kind, not the same text: dictionaries, templates and the generator
have changed since.
"""

import gzip
import random
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from wyoming_pocket_tts.kokoro.training.house import House

CORPUS = Path(__file__).with_name("corpus.txt.gz")
DICTIONARIES = (Path("/usr/share/dictd/jargon.dict.dz"), Path("/usr/share/dictd/devil.dict.dz"))
HELD_OUT = 400  # sentences at the end of the corpus that no training ever sees

_FEWEST_WORDS, _MOST_WORDS = 3, 26  # of a sentence
_STRAIGHT_QUOTES = str.maketrans("\u201c\u201d\u2018\u2019", "\"\"''")

_ALLOWED = re.compile(r"[A-Z][A-Za-z' ,;:?!-]*[.?!]")
_UNFIT = re.compile(
    r"\b(fuck\w*|shit\w*|nigg\w*|negro\w*|jew\w*|bitch\w*|whore\w*|rape\w*|slave\w*|cunt\w*|arse\w*|ass|asshole\w*|"
    r"damn\w*|crap\w*|piss\w*|sex\w*|nazi\w*|hell|bastard\w*|woman|women|black|savage\w*|christian\w*|moslem\w*)\b",
    re.IGNORECASE,
)
_BROKEN = re.compile(r"\s\s|-[.?!]|\b[a-zA-Z][.?!]$|\s[,;:?!-]\s?|see also|Compare|Syn\b")
"""Where the dictionary's mark-up was."""


def prose(text: str, words: frozenset[str]) -> Iterator[str]:
    """Sentences of 3 to 26 words out of a dictionary file, each word of which is in ``words``."""
    paragraphs = re.split(r"\n\s*\n", text)
    for paragraph in paragraphs:
        flat = re.sub(r"\s+", " ", paragraph).translate(_STRAIGHT_QUOTES)
        flat = re.sub(r"[{}\"()]|\[[^\]]*\]|(?<=\s)'|'(?=[\s.,])", "", flat).replace(" -- ", ", ").replace("--", ", ")
        for sentence in re.split(r"(?<=[.?!]) +(?=[A-Z])", flat):
            yield from _pieces(re.sub(r" +,", ",", sentence).strip(), words)


def _pieces(sentence: str, words: frozenset[str]) -> Iterator[str]:
    """The sentence itself if it fits, otherwise the clauses between its semicolons and colons that do."""
    if _fits(sentence, words):
        yield sentence
        return
    for clause in re.split(r"[;:] +", sentence):
        whole = clause[:1].upper() + clause[1:].rstrip(",")
        whole += "" if whole[-1:] in ".?!" else "."
        if _fits(whole, words):
            yield whole


def _fits(sentence: str, words: frozenset[str]) -> bool:
    tokens = re.findall(r"[A-Za-z']+", sentence)
    return (
        _FEWEST_WORDS <= len(tokens) <= _MOST_WORDS
        and _ALLOWED.fullmatch(sentence) is not None
        and _UNFIT.search(sentence) is None
        and _BROKEN.search(sentence) is None
        and not any(token.isupper() and len(token) > 1 for token in tokens)
        and all(token.lower() in words for token in tokens)
    )


def build(words: frozenset[str], n_house: int = 8000, seed: int = 7) -> list[str]:
    """A whole corpus in a fixed random order, without repeats. The last ``HELD_OUT`` are for validation and tests."""
    rng = random.Random(seed)  # noqa: S311  (chooses sentences, keeps no secret)
    unique: dict[str, None] = {}
    for path in DICTIONARIES:
        for sentence in prose(gzip.decompress(path.read_bytes()).decode("utf-8", "replace"), words):
            unique.setdefault(sentence)
    house = House(rng)
    while n_house:
        sentence = house.sentence()
        if sentence not in unique:
            unique.setdefault(sentence)
            n_house -= 1
    sentences = list(unique)
    rng.shuffle(sentences)
    return sentences


def write(sentences: Iterable[str], path: Path = CORPUS) -> None:
    """Write the corpus, one sentence a line, byte-identical on every run."""
    path.write_bytes(gzip.compress("".join(f"{s}\n" for s in sentences).encode(), compresslevel=9, mtime=0))


def read(path: Path = CORPUS) -> list[str]:
    """The sentences of the corpus; the last ``HELD_OUT`` are for validation and tests."""
    return gzip.decompress(path.read_bytes()).decode().splitlines()
