"""Plain text in pieces: pauses written in brackets, and that no cutting into deltas changes anything."""

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wyoming_pocket_tts.text.reader import segment_reader_for
from wyoming_pocket_tts.text.segments import (
    DEFAULT_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    PlainTextReader,
    ProsodyStyle,
    Segment,
    SegmentBuilder,
    SegmentReader,
)
from wyoming_pocket_tts.text.sentences import SentenceSplitter


def read(pieces: SegmentReader, deltas: list[str]) -> list[Segment]:
    return [*(piece for delta in deltas for piece in pieces.feed(delta)), *pieces.finish()]


def said(text: str) -> list[tuple[float, str]]:
    """Pauses and texts."""
    return [(piece.pause_seconds, piece.text) for piece in read(PlainTextReader("en"), [text])]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two.", [(0, "One."), (0, "Two.")]),
        ("One. [pause 500ms] Two.", [(0, "One."), (0.5, "Two.")]),
        ("Wait [pause 1.5s] for it.", [(0, "Wait"), (1.5, "for it.")]),
        ("Wait [PAUSE 2 S]for it.", [(0, "Wait"), (2, "for it.")]),
        ("Wait[ pause ]for it.", [(0, "Wait"), (DEFAULT_PAUSE_SECONDS, "for it.")]),
        ("[pause 1s]One.[pause 2s]", [(1, "One."), (2, "")]),
        ("One. [pause 1s] [pause 2s] Two.", [(0, "One."), (3, "Two.")]),
        ("One. [pause 8s][pause 9s] Two.", [(0, "One."), (LONGEST_PAUSE_SECONDS, "Two.")]),
        ("One. [pause 999999s] Two.", [(0, "One."), (LONGEST_PAUSE_SECONDS, "Two.")]),
        ("[pause 0s]One.", [(0, "One.")]),
        ("[pause]", [(DEFAULT_PAUSE_SECONDS, "")]),
        ("Press [pause the music] now.", [(0, "Press [pause the music] now.")]),
        ("Press [pause 5] now.", [(0, "Press [pause 5] now.")]),
        ("Press [pauses] now.", [(0, "Press [pauses] now.")]),
        ("Press [[pause 1s] now.", [(0, "Press ["), (1, "now.")]),
        ("Press [pause", [(0, "Press [pause")]),
        ("Press [pause 1s", [(0, "Press [pause 1s")]),
        ("Press [pause -1s] now.", [(0, "Press [pause -1s] now.")]),
        ("Read [this](https://a.b/pause) now.", [(0, "Read [this](https://a.b/pause) now.")]),
    ],
)  # fmt: skip
def test_pauses(text: str, expected: list[tuple[float, str]]) -> None:
    assert said(text) == expected


def test_a_sentence_comes_out_as_soon_as_without_pauses() -> None:
    pieces = PlainTextReader("en")
    assert pieces.feed("The light is on. ") == [Segment(text="The light is on.")]
    assert pieces.feed("Wait [pau") == []
    assert pieces.feed("se 1s]") == [Segment(text="Wait")]
    assert pieces.feed("Now. ") == [Segment(text="Now.", pause_seconds=1)]
    assert pieces.finish() == []


def test_a_long_sentence_says_where_it_goes_on() -> None:
    text = "When the washing machine in the basement of the house is done at last, I will tell you at once. Good."
    assert [(piece.text, piece.continues) for piece in read(PlainTextReader("en"), [text])] == [
        ("When the washing machine in the basement of the house is done at last,", False),
        ("I will tell you at once.", True),
        ("Good.", False),
    ]


def test_only_the_very_first_piece_is_cut_early() -> None:
    text = (
        "[pause 1s]Well. [pause 1s]When the washing machine in the basement of the house is done, I will tell you all."
    )
    assert [text for _, text in said(text)][1:] == [text.rpartition("]")[2]]


def test_marks_behind_a_change_of_style_belong_to_what_was_said_before() -> None:
    builder = SegmentBuilder("en")
    slow = ProsodyStyle(speed=0.5)
    for text, style in (
        ("Are you", ProsodyStyle()),
        (" there", slow),
        ("?", ProsodyStyle()),
        ("! Yes", ProsodyStyle()),
        ("...", slow),
    ):
        builder.add(text, style)
    assert [(piece.text, piece.style, piece.continues) for piece in builder.finish()] == [
        ("Are you", ProsodyStyle(), False),
        ("there?!", slow, True),
        ("Yes...", ProsodyStyle(), False),
    ]


FRAGMENTS = st.sampled_from(
    ["[pause 1s]", "[pause 250ms]", "[pause]", "[pause ", "[", "]", "pause", "1s", " ", "\n", ".", "! ", "Dr. ", "One",
     "ms", "word " * 15, "a, ", "<speak>", "</speak>"]
)  # fmt: skip
TEXTS = st.one_of(st.lists(FRAGMENTS, max_size=40).map("".join), st.text(max_size=80))


@given(TEXTS, st.data(), st.sampled_from([None, False]))
@settings(max_examples=300, deadline=None)
def test_the_cutting_does_not_matter(text: str, data: st.DataObject, ssml: bool | None) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=12)))
    deltas = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    whole = read(segment_reader_for("en", ssml=ssml), [text])
    assert read(segment_reader_for("en", ssml=ssml), deltas) == whole
    assert read(segment_reader_for("en", ssml=ssml), list(text)) == whole


@given(TEXTS.filter(lambda text: "pause" not in text))
@settings(max_examples=200, deadline=None)
def test_text_without_pauses_is_read_as_sentences_and_no_different(text: str) -> None:
    stream = SentenceSplitter("en")
    assert [piece.text for piece in read(PlainTextReader("en"), list(text))] == [*stream.feed(text), *stream.finish()]


@pytest.mark.perf
@pytest.mark.parametrize("unit", ["[", "[pause ", "[pause 1s]", "[p", "a[pause]"], ids=repr)
def test_time_is_linear(unit: str) -> None:
    """A quadratic reading would run into the time limit of a test."""
    text = unit * (100_000 // len(unit))
    assert read(PlainTextReader("en"), [text]) == read(PlainTextReader("en"), list(text))


def test_importing_is_cheap() -> None:
    code = "import sys, wyoming_pocket_tts.text.reader; print(*{'yaml', 'pydantic', 'num2words'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""
