"""Sentences from deltas: every rule by example, and the promises that hold for any text and any cutting."""

# ruff: noqa: RUF001  (marks that look like others are what is tested)

import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.tiers import mostly
from wyoming_pocket_tts.text.sentences import (
    FIRST_PIECE_CHARS,
    FIRST_PIECE_MIN_CHARS,
    HARD_LIMIT_CHARS,
    LOOKAHEAD_CHARS,
    SOFT_LIMIT_CHARS,
    SentenceSplitter,
    split_sentences,
)

# Each example is one text with its sentence ends marked by a bar.
SPLIT = [
    "The light is on.| The door is closed.",
    "Is it on?| Yes!| Good.",
    "Set it to 3.5 degrees.| Done.",
    "It costs 1,000 dollars.| Fine.",
    "Dr. Smith and Mr. Jones met Mrs. Lee.| They talked.",
    "Use fruit, e.g. apples, i.e. red ones.| Enjoy.",
    "Wake me at 9 a.m. tomorrow.| Good night.",
    "The alarm is at 9 a.m.| The lights go on.",
    "The call is at 9 a.m. Eastern time.| Be there.",
    "See you at 5 p.m. Monday.",
    "J. R. Smith came.| He left.",
    "J.R.R. Tolkien wrote it.",
    "Take vitamin C.| It helps.",
    "So do I.| Tell her.",
    "Update to 2026.11 now.| It is 2026.11.2 today.",
    "Python 3.| That is old.",
    "No. 5 is alive.| No.| That is wrong.",
    "Go to Main St.| The shop is open.",
    "St. John lives on Main St. near Boston.",
    "The U.S. market opens.| The U.S.| It is big.",
    "Well... maybe not.| Well...| Yes.",
    "Wait… what?| Wait…| No.",
    "What?!| Really!!!| Yes.",
    'She said "Hello."| Then she left.',
    "“Is it on?”| “Yes.”",
    '"Is it on?" he asked.| "Yes!" she said.',
    "(It is on.)| [It is off.]| Good.",
    "**It is on.**| *Really.*| Good.",
    "All done! 🎉 Next one.",
    "One\ntwo\n\nthree",
    "- milk\n- bread\n1. eggs\n2. salt",
    "1. Preheat the oven.| 2. Bake it.",
    "Title:\nText",
    "See https://example.com/a?b=c.d&e=f!g for more.| Yes.",
    "Go to www.example.com.| Mail john.doe@example.com.| Thanks.",
    "Open configuration.yaml.| Then edit light.kitchen and README.md now.",
    "Read [the manual. All of it.](https://example.com/a.b) first.| Then go.",
    "As shown here.[1]| More text.[^2]| End.",
    "灯开了。| 门关了！| 好吗？| 是。",
    "他说：“好。”| 走吧。",
    "ठीक है।| अच्छा।",
    "هل هو مفتوح؟| نعم.",
    "the door is open.| please close it.",
    "Yahoo!, the company, is here.",
    "He has a Ph.D. in physics.",
    "It is 12 ft.| The roof is low.",
    "Milk, eggs, etc.| The list is long.",
    "Milk, eggs, etc. are on it.",
]

SPLIT_GERMAN = [
    "Das Licht ist an.| Die Tür ist zu.",
    "Am 3. Oktober ist Feiertag.| Am 4. nicht.",
    "Heute ist der 3. Oktober.| Morgen ist der 4. Oktober 2026.",
    "Vom 3. bis 5. Oktober ist zu.| Danach nicht.",
    "Vom 3.–5. Mai und am 7./8. Juni.| Gut.",
    "Der 2. Versuch klappte.| Der 3. auch.",
    "Ihr 40. Geburtstag naht.| Feiern!",
    "Licht im 2. Stock ist an.| Das im 1. Stock auch.",
    "Es sind 3.| Das ist gut.",
    "Es sind 21.| Lampen gibt es genug.",
    "Der Termin ist am 3.| Bitte komm.",
    "Sie kam 2026.| Dann ging sie.",
    "Am 3.10. Anna fragen.| Am 3.10. ist frei.",
    "Am Montag, 5. Mai, ist frei.| Am Mo, 5. Mai auch.",
    "Obst, z. B. Äpfel, d. h. rote.| Lecker.",
    "Obst, z.B. Äpfel, u.a. rote.| Lecker.",
    "Nr. 5 lebt.| Haus Nr. 7 auch.",
    "Äpfel, Birnen usw. sind da.| Äpfel usw.| Die Liste ist lang.",
    "Dr. Müller und Prof. Schmidt, ca. 50.| Nett.",
    "Hr. Meier, Fr. Meier u. a. waren da.| Ja.",
    "In 5 Min. ist es so weit.| Noch 5 Min.| Dann ist Schluss.",
    "Siehe Abb. 3 und Art. 5.| Das ist eine neue Art.| Sie lebt.",
    "Das gilt max. 5 Tage.| Das ist Max.| Hallo!",
    "Die Hauptstr. 5 ist da.| Die Hauptstr. in Köln auch.",
    "1. Mehl sieben.| 2. Butter rühren.",
    "Ludwig XIV. war König.| Kaiser Wilhelm II.| Er war es.",
    "Update auf 2026.11.| Das ist neu.",
    "21,5 Grad.| 1.000 Watt.| Fertig.",
]
"""The same in German, where digits with a full stop are ordinals."""
SPLIT_BY_LANGUAGE = [("en", example) for example in SPLIT] + [("de", example) for example in SPLIT_GERMAN]


def marked(example: str) -> tuple[str, list[str]]:
    """The text and its sentences. A line end always ends a sentence and an emoji after a mark starts the next."""
    bars = example.replace("\n", "\n|").replace("! 🎉", "!| 🎉")
    return example.replace("|", ""), [part.strip() for part in bars.split("|") if part.strip()]


def stream(deltas: list[str], language: str = "en", *, cut_first_early: bool = True) -> list[str]:
    sentences = SentenceSplitter(language, cut_first_early=cut_first_early)
    pieces = [piece for delta in deltas for piece in sentences.feed(delta)]
    return [*pieces, *sentences.finish()]


def squeezed(text: str) -> str:
    return "".join(text.split())


@pytest.mark.parametrize(("language", "example"), SPLIT_BY_LANGUAGE)
def test_sentences_end_where_they_end(language: str, example: str) -> None:
    text, expected = marked(example)
    assert split_sentences(text, language) == expected


@pytest.mark.parametrize(("language", "example"), SPLIT_BY_LANGUAGE)
def test_one_character_at_a_time_gives_the_same(language: str, example: str) -> None:
    text, expected = marked(example)
    assert stream(list(text), language, cut_first_early=False) == expected


def test_a_german_date_is_waited_for_but_no_longer_than_needed() -> None:
    sentences = SentenceSplitter("de")
    assert sentences.feed("Es sind 3. ") == []
    assert sentences.feed("Das ") == ["Es sind 3."]
    assert sentences.feed("war am 3. ") == []
    assert sentences.feed("Okt") == []
    assert sentences.feed("ober. ") == ["Das war am 3. Oktober."]


def test_a_sentence_comes_out_as_soon_as_it_is_certain() -> None:
    sentences = SentenceSplitter()
    assert sentences.feed("The light is on") == []
    assert sentences.feed(".") == []  # "on.5" would be something else
    assert sentences.feed(" ") == ["The light is on."]
    assert sentences.feed("At 9 a.m. ") == []
    assert sentences.feed("The ") == ["At 9 a.m."]
    assert sentences.feed("end\n") == ["The end"]
    assert sentences.finish() == []


def test_a_stream_serves_several_texts() -> None:
    sentences = SentenceSplitter()
    assert sentences.feed("One. Two") == ["One."]
    assert sentences.finish() == ["Two"]
    assert sentences.feed("Three") == []
    assert sentences.finish() == ["Three"]


def test_nothing_but_space_is_no_sentence() -> None:
    assert stream(["", " ", "\n\n", "\t"]) == []


SLOW = "When the washing machine in the basement is done, I will tell you, and the light in the hall will turn green."


def test_a_slow_first_sentence_is_cut_at_a_clause() -> None:
    sentences = SentenceSplitter()
    emitted_after = next(n for n, char in enumerate(SLOW, 1) if sentences.feed(char))
    assert FIRST_PIECE_CHARS < emitted_after < FIRST_PIECE_CHARS + 12
    assert stream([SLOW])[0] == "When the washing machine in the basement is done,"
    assert len(stream([SLOW])) == 2, "only the first piece is cut"
    assert split_sentences(SLOW) == [SLOW]


def test_an_early_cut_leaves_numbers_dates_and_links_alone() -> None:
    text = "We will all meet on Sunday, May 3, 2026 [in the house, the red one](http://a.b/c,d) to eat 1,000 cakes now"
    assert stream([text]) == ["We will all meet on Sunday,", text.removeprefix("We will all meet on Sunday, ")]


def test_a_first_clause_that_is_too_short_waits_for_a_longer_one() -> None:
    text = "Well, the washing machine in the basement of the house is done at last - and the light is green"
    first = stream([text])[0]
    assert len(first) >= FIRST_PIECE_MIN_CHARS
    assert first.endswith("at last -")


def test_an_endless_sentence_is_cut_at_a_clause_then_between_words() -> None:
    with_clauses = "and then it went on with many words, " * 40
    pieces = split_sentences(with_clauses)
    assert all(piece.endswith(",") and len(piece) <= SOFT_LIMIT_CHARS + 1 for piece in pieces)
    pieces = split_sentences("and then it went on and on " * 40)
    assert all(abs(len(piece) - SOFT_LIMIT_CHARS) <= len("went ") for piece in pieces[:-1])
    assert " ".join(pieces) == ("and then it went on and on " * 40).strip()


def test_text_without_any_space_is_cut_and_the_buffer_stays_bounded() -> None:
    sentences = SentenceSplitter()
    pieces = [piece for _ in range(5000) for piece in sentences.feed("x")]
    assert [*pieces, *sentences.finish()] == ["x" * HARD_LIMIT_CHARS] * 5


@pytest.mark.parametrize(
    "unit", ["x", ".", "!", '."', "[", "[a](", " ", "e.g. ", "a.m. ", ". ", "1 ", "J. ", "……", "[1"]
)
def test_any_repetition_keeps_the_buffer_bounded(unit: str) -> None:
    sentences = SentenceSplitter()
    longest = 0
    for _ in range(3000):
        sentences.feed(unit)
        longest = max(longest, len(sentences._text))
    assert longest <= HARD_LIMIT_CHARS + LOOKAHEAD_CHARS


FRAGMENTS = st.sampled_from(
    [*"abXYZ.!?…,;:-—()[]\"'”*_ \n\t\r5。，」🎉", ". ", ", ", "e.g.", "a.m. ", "Dr. ", "The ", "I'm ", "...", "](",
     "U.S. ", "3.5", "[1]", "http://a.b/c?d ", "word " * 15, "y" * 90, "No. ",
     "am 3. ", "Mai ", "und 4. ", "z. B. ", "usw. ", "3.–"]
)  # fmt: skip
TEXTS = st.one_of(st.lists(FRAGMENTS, max_size=60).map("".join), st.text(max_size=200))


@given(TEXTS, st.data(), st.booleans(), st.sampled_from(["en", "de"]))
@settings(max_examples=600, deadline=None)
def test_the_cutting_does_not_matter_and_nothing_is_lost(
    text: str, data: st.DataObject, early: bool, language: str
) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=12)))
    deltas = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    whole = stream([text], language, cut_first_early=early)
    assert stream(deltas, language, cut_first_early=early) == whole
    assert stream(list(text), language, cut_first_early=early) == whole
    assert squeezed("".join(whole)) == squeezed(text)
    assert all(piece and piece == piece.strip() for piece in whole)


@pytest.mark.parametrize(
    "unit",
    mostly(pytest.mark.perf, ["The light is on. ", "x", "word ", "[link, ", "e.g. ", ".", "1 ", "a.b", '"', "a, b "]),
    ids=repr,
)
def test_time_is_linear(unit: str) -> None:
    """200 kB in any pieces: a quadratic reading takes minutes."""
    text = unit * (200_000 // len(unit))
    started = time.perf_counter()
    stream([text])
    stream(list(text))
    assert time.perf_counter() - started < 20


def test_importing_is_cheap() -> None:
    code = "import sys, wyoming_pocket_tts.text.sentences; print(*{'yaml', 'pydantic', 'num2words'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""
