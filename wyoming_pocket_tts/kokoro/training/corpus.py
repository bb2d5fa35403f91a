"""Texts for the training: prose and household sentences."""

import gzip
import operator
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import yaml

CORPUS = Path(__file__).with_name("corpus.txt.gz")
DICTIONARIES = (Path("/usr/share/dictd/jargon.dict.dz"), Path("/usr/share/dictd/devil.dict.dz"))
TEMPLATES = Path(__file__).with_name("house.yaml")
HELD_OUT = 400  # sentences at the end of the corpus, for validation and tests

_FEWEST_WORDS, _MOST_WORDS = 3, 26  # of a sentence
_STRAIGHT_QUOTES = str.maketrans("\u201c\u201d\u2018\u2019", "\"\"''")
_ALLOWED = re.compile(r"[A-Z][A-Za-z' ,;:?!-]*[.?!]")
_UNFIT = re.compile(
    r"\b(fuck\w*|shit\w*|nigg\w*|negro\w*|jew\w*|bitch\w*|whore\w*|rape\w*|slave\w*|cunt\w*|arse\w*|ass|asshole\w*|"
    r"damn\w*|crap\w*|piss\w*|sex\w*|nazi\w*|hell|bastard\w*|woman|women|black|savage\w*|christian\w*|moslem\w*)\b",
    re.IGNORECASE,
)
_BROKEN = re.compile(r"\s\s|-[.?!]|\b[a-zA-Z][.?!]$|\s[,;:?!-]\s?|see also|Compare|Syn\b")  # left-over mark-up

_ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("zero", "ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_LARGEST = 999_999  # of ``cardinal``
_PARTS_OF_DAY = ("", " in the morning", " in the afternoon", " in the evening", " at night", " A M", " P M")
_ROUND_MINUTES = (0, 0, 5, 10, 15, 20, 30, 45)
_ODD_MINUTES = 0.3  # share of times of day with any minute at all
_LARGEST_TERM = 99  # of a sum or a product
_BRACES = re.compile(r"\{([^{}]*)\}")

Slot = Callable[[random.Random], str]  # draws the text of a placeholder


def prose(text: str, words: frozenset[str]) -> Iterator[str]:
    """Sentences of 3 to 26 words out of a dictionary file, each word of which is in ``words``."""
    for paragraph in re.split(r"\n\s*\n", text):
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
    rng = random.Random(seed)  # noqa: S311  (chooses sentences, keeps no secret)
    unique: dict[str, None] = {}
    for path in DICTIONARIES:
        for sentence in prose(gzip.decompress(path.read_bytes()).decode("utf-8", "replace"), words):
            unique.setdefault(sentence)
    house = SentenceGenerator(rng)
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
    return gzip.decompress(path.read_bytes()).decode().splitlines()


def cardinal(n: int) -> str:
    """``n`` (0 to 999 999) in words."""
    thousands, below_thousand = divmod(n, 1000)
    if thousands:
        return f"{cardinal(thousands)} thousand" + (f" {cardinal(below_thousand)}" if below_thousand else "")
    hundreds, below_hundred = divmod(n, 100)
    if hundreds:
        return f"{_ONES[hundreds]} hundred" + (f" and {cardinal(below_hundred)}" if below_hundred else "")
    if n < len(_ONES):
        return _ONES[n]
    tens, ones = divmod(n, 10)
    return _TENS[tens] + (f" {_ONES[ones]}" if ones else "")


def clock(rng: random.Random) -> str:
    hour = cardinal(rng.randint(1, 12))
    minute = rng.randint(1, 59) if rng.random() < _ODD_MINUTES else rng.choice(_ROUND_MINUTES)
    part_of_day = rng.choice(_PARTS_OF_DAY)
    if minute == 0:
        return hour + (part_of_day or " o'clock")
    return f"{hour} {'oh ' if minute < 10 else ''}{cardinal(minute)}{part_of_day}"  # noqa: PLR2004  (one digit)


def _sum_or_product(words: str, result: Callable[[int, int], int], rng: random.Random) -> str:
    a, b = rng.randint(1, _LARGEST_TERM), rng.randint(1, _LARGEST_TERM)
    return words.format(cardinal(a), cardinal(b), cardinal(result(a, b)))


_PLAIN_SLOTS: dict[str, Slot] = {
    "clock": clock,
    "addition": partial(_sum_or_product, "{} plus {} is {}", operator.add),
    "multiplication": partial(_sum_or_product, "{} times {} equals {}", operator.mul),
}


@dataclass(frozen=True, slots=True)
class NumberSlot:
    """A whole number from ``low`` to ``high``, with a digit after the point if ``decimal``."""

    low: int
    high: int
    decimal: bool

    def __call__(self, rng: random.Random) -> str:
        whole = cardinal(rng.randint(self.low, self.high))
        return f"{whole} point {cardinal(rng.randint(0, 9))}" if self.decimal else whole


@dataclass(frozen=True, slots=True)
class ChoiceSlot:
    options: tuple[str, ...]

    def __call__(self, rng: random.Random) -> str:
        return rng.choice(self.options)


Template = tuple[str | Slot, ...]


class SentenceGenerator:
    """Household sentences. ``ValueError`` with the place if the file of templates is wrong."""

    def __init__(self, rng: random.Random, path: Path = TEMPLATES) -> None:
        self._rng = rng
        self._groups = load(path)

    def sentence(self) -> str:
        """The next sentence: all groups are equally likely, and so are the templates of a group."""
        template = self._rng.choice(self._rng.choice(self._groups))
        drawn: list[str] = []
        for part in template:
            drawn.append(part if isinstance(part, str) else self._draw(part, drawn))
        sentence = "".join(drawn)
        return sentence[:1].upper() + sentence[1:]

    def _draw(self, slot: Slot, drawn: Sequence[str]) -> str:
        text = slot(self._rng)
        while isinstance(slot, ChoiceSlot) and text in drawn:  # "eggs, eggs and milk"
            text = slot(self._rng)
        return text


def load(path: Path) -> list[list[Template]]:
    raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(raw, dict) or raw.keys() != {"words", "sentences"}:
        raise ValueError(f"{path.name}: expected the sections 'words' and 'sentences'")
    lists = {name: ChoiceSlot(tuple(words)) for name, words in _texts(raw["words"], f"{path.name}: words").items()}
    groups = _texts(raw["sentences"], f"{path.name}: sentences")
    used = {name for templates in groups.values() for line in templates for name in _BRACES.findall(line)}
    if unused := lists.keys() - used:
        raise ValueError(f"{path.name}: no sentence uses the words of {', '.join(sorted(unused))}")
    return [[parse(line, lists) for line in templates] for templates in groups.values()]


def _texts(raw: object, where: str) -> dict[str, list[str]]:
    """``raw`` if it maps names to lists of texts, none of them empty."""
    if not isinstance(raw, dict) or not raw:
        raise ValueError(f"{where}: expected names with lists")
    for name, texts in raw.items():
        if not isinstance(name, str) or not isinstance(texts, list) or not texts:
            raise ValueError(f"{where}: {name}: expected a list of texts")
        for text in texts:
            if not isinstance(text, str) or not text:  # YAML reads a bare "on" or "12" as something else
                raise ValueError(f"{where}: {name}: {text!r} is not a text; put it in quotes")
        if repeated := [text for text, count in Counter(texts).items() if count > 1]:
            raise ValueError(f"{where}: {name}: {repeated[0]!r} is there twice")
    return raw


def parse(line: str, lists: Mapping[str, ChoiceSlot]) -> Template:
    """The texts of a line and, between them, its slots."""
    pieces = _BRACES.split(line)  # text, placeholder, text, ...
    for text in pieces[::2]:
        if "{" in text or "}" in text:
            raise ValueError(f"{line!r}: a brace without its partner")
    try:
        template = tuple(_slot(piece, lists) if at % 2 else piece for at, piece in enumerate(pieces))
    except ValueError as error:
        raise ValueError(f"{line!r}: {error}") from None
    choices = [part for part in template if isinstance(part, ChoiceSlot)]
    for choice in choices:  # the generator draws until it has a word that the sentence lacks: there must be one
        if len(choice.options) < sum(not set(choice.options).isdisjoint(other.options) for other in choices):
            raise ValueError(f"{line!r}: too few words to choose from: {', '.join(choice.options)}")
    return template


def _slot(placeholder: str, lists: Mapping[str, ChoiceSlot]) -> Slot:
    if "|" in placeholder:
        options = tuple(placeholder.split("|"))
        if "" in options:
            raise ValueError(f"{{{placeholder}}} has an empty choice")
        return ChoiceSlot(options)
    if placeholder in lists:
        return lists[placeholder]
    if placeholder in _PLAIN_SLOTS:
        return _PLAIN_SLOTS[placeholder]
    numeric = re.fullmatch(r"(number|decimal) (\d+) (\d+)", placeholder)
    if numeric is None:
        raise ValueError(f"{{{placeholder}}} is not known")
    low, high = int(numeric[2]), int(numeric[3])
    if not low < high <= _LARGEST:
        raise ValueError(f"{{{placeholder}}}: expected two numbers in order, up to {_LARGEST}")
    return NumberSlot(low, high, decimal=numeric[1] == "decimal")
