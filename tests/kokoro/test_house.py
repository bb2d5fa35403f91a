"""Sentences of a house: readable by the voice, the same for the same seed, and strict about their templates."""

import random
import re
from itertools import islice
from pathlib import Path

import pytest

from wyoming_pocket_tts.kokoro.phonemes import Lexicon
from wyoming_pocket_tts.kokoro.synthesizer import VOICE_FOLDER
from wyoming_pocket_tts.kokoro.training.corpus import TEMPLATES, SentenceGenerator, cardinal, load

WORDS = "words:\n  fruit: [apple, pear]\n"


def seeded(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311  (chooses sentences, keeps no secret)


def house_of(folder: Path, line: str) -> SentenceGenerator:
    """A house with ``line`` as the second of its two templates."""
    path = folder / "house.yaml"
    path.write_text(f"{WORDS}sentences:\n  some:\n    - 'The {{fruit}}.'\n    - {line!r}\n", encoding="utf-8")
    return SentenceGenerator(seeded(3), path)


def sentences(house: SentenceGenerator, count: int) -> list[str]:
    return list(islice(iter(house.sentence, None), count))


def test_the_voice_knows_every_word_of_a_house() -> None:
    said = sentences(SentenceGenerator(seeded(1)), 20_000)
    known = set(Lexicon.load(VOICE_FOLDER / "lexicon.txt").words())
    assert {word for sentence in said for word in re.findall(r"[a-z']+", sentence.lower())} - known == set()
    assert [s for s in said if not re.fullmatch(r"[A-Z][A-Za-z' ,:]*[.?!]", s)] == []
    listed = {word for words in re.findall(r"\[([^]]*)\]", TEMPLATES.read_text()) for word in re.split(r",\s+", words)}
    assert [word for word in listed if not any(word.lower() in sentence.lower() for sentence in said)] == []


def test_a_seed_gives_the_same_sentences_again() -> None:
    first, again, other = (sentences(SentenceGenerator(seeded(seed)), 50) for seed in (1, 1, 2))
    assert first == again != other


def test_every_group_is_as_likely_as_any_other(tmp_path: Path) -> None:
    path = tmp_path / "house.yaml"
    path.write_text(f"{WORDS}sentences:\n  one: ['{{fruit}}']\n  two: [b, c, d, e, f, g, h]\n", encoding="utf-8")
    said = sentences(SentenceGenerator(seeded(1), path), 1000)
    assert 400 < sum(s in ("Apple", "Pear") for s in said) < 600


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("{fruit} and {fruit}.", r"(Apple and pear|Pear and apple)\."),
        ("{a|b} {a|b}", r"A b|B a"),
        ("{number 3 4} or {number 3 4}", r"(Three|Four) or (three|four)"),
        ("{decimal 20 21}!", r"Twenty( one)? point (zero|one|two|three|four|five|six|seven|eight|nine)!"),
        ("{addition}", r"[A-Z][a-z ]* plus [a-z ]+ is [a-z ]+"),
        ("{multiplication}", r"[A-Z][a-z ]* times [a-z ]+ equals [a-z ]+"),
        ("At {clock}", r"At [a-z]+( o'clock|( [a-z ]+)?( (in the|at) [a-z]+| [AP] M)?)"),
    ],
)
def test_placeholders(tmp_path: Path, line: str, expected: str) -> None:
    said = {s for s in sentences(house_of(tmp_path, line), 200) if s not in ("The apple.", "The pear.")}
    assert len(said) > 1
    assert [s for s in said if not re.fullmatch(expected, s)] == []


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("The {vegetable}.", "{vegetable} is not known"),
        ("{}", "{} is not known"),
        ("{number 2}", "{number 2} is not known"),
        ("{number 9 2}", "two numbers in order"),
        ("{number 1 2000000}", "two numbers in order"),
        ("{clock 3}", "{clock 3} is not known"),
        ("{a|}", "empty choice"),
        ("The {fruit", "a brace without its partner"),
        ("{fruit}, {fruit} and {fruit}", "too few words"),
        ("The {fruit}.", "is there twice"),
    ],
)
def test_a_wrong_template_is_named(tmp_path: Path, line: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(complaint)) as raised:
        house_of(tmp_path, line)
    assert line in str(raised.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[]", "expected the sections"),
        (f"{WORDS}sentences: {{}}", "expected names with lists"),
        (f"{WORDS}sentences: {{some: []}}", "expected a list of texts"),
        (f"{WORDS}sentences: {{some: [on]}}", "put it in quotes"),
        (f"{WORDS}sentences: {{some: [Hello.]}}", "no sentence uses the words of fruit"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "house.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape(complaint)):
        load(path)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "zero"),
        (20, "twenty"),
        (21, "twenty one"),
        (305, "three hundred and five"),
        (12040, "twelve thousand forty"),
        (999_999, "nine hundred and ninety nine thousand nine hundred and ninety nine"),
    ],
)
def test_numbers_in_words(number: int, words: str) -> None:
    assert cardinal(number) == words
