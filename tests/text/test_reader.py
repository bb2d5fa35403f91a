"""Choice of the reader; thoughts of language models are left out, however the text is cut."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wyoming_pocket_tts.text.reader import ThinkTagFilter, segment_reader_for
from wyoming_pocket_tts.text.segments import Segment, SegmentReader


def read(reader: SegmentReader, deltas: list[str]) -> list[Segment]:
    return [*(segment for delta in deltas for segment in reader.feed(delta)), *reader.finish()]


@pytest.mark.parametrize(
    ("text", "ssml"),
    [
        ("<speak>One</speak>", True),
        (" \n<SPEAK version='1.0'>One</speak>", True),
        ("<?xml version='1.0'?><speak>One</speak>", True),
        ("<speak/>", True),
        ("<speaker>One", False),
        ("<s>One</s>", False),
        ("< speak>", False),
        ("One <speak>", False),
        ("<speak", False),
        ("<", False),
        ("", False),
    ],
)
def test_the_beginning_decides_where_the_kind_is_unknown(text: str, ssml: bool) -> None:
    expected = read(segment_reader_for("en", ssml=ssml), [text])
    assert read(segment_reader_for("en", ssml=None), [text]) == expected
    assert read(segment_reader_for("en", ssml=None), list(text)) == expected


def test_plain_text_is_read_as_it_is() -> None:
    assert read(segment_reader_for("en", ssml=False), ["<speak>One"]) == [Segment(text="<speak>One")]


def test_plain_text_comes_out_before_all_of_it_is_there() -> None:
    pieces = segment_reader_for("en", ssml=None)
    assert pieces.feed("<") == []
    assert pieces.feed("3 is a heart. ") == [Segment(text="<3 is a heart.")]
    assert pieces.problems() == []


ANSWERS = {
    "<think>Hm. The user greets me.</think>Hello": ["Hello"],
    "<think>\nHm.\n\nOkay!\n</think>\n\nHello. Bye.": ["Hello.", "Bye."],
    "<THINK>Hm.</Think>Hello": ["Hello"],
    "<thinking>Hm. </think> Hm.</thinking>Hello": ["Hello"],
    "One<think>Hm.</think>two.": ["One two."],
    "One. <think>a</think><think>b</think> Two.": ["One.", "Two."],
    "<think></think>": [],
    "<think>Never ended. Two.": ["Never ended.", "Two."],
    "<think>Never ended</thin": ["Never ended</thin"],
    "1 < 2 <thin": ["1 < 2 <thin"],
    "Hello</think>": ["Hello</think>"],  # the reading leaves the tag out
    "<think>Hm.</think><speak>One <break time='1s'/> two.</speak>": ["One", "two."],
    "<speak>One. <think>Hm. <b>Hm</b></think>Two.</speak>": ["One.", "Two."],
}


def spoken(deltas: list[str], *, ssml: bool | None = None) -> list[str]:
    pieces = segment_reader_for("en", ssml=ssml)
    found = [piece for delta in deltas for piece in pieces.feed(delta)] + pieces.finish()
    return [piece.text for piece in found if piece.text]


@pytest.mark.parametrize("answer", ANSWERS)
def test_thoughts_are_not_spoken_in_any_deltas(answer: str) -> None:
    for size in (1, 2, 3, 7, len(answer)):
        assert spoken([answer[at : at + size] for at in range(0, len(answer), size)]) == ANSWERS[answer], size


def test_thoughts_are_not_spoken_in_text_of_a_known_kind() -> None:
    assert spoken(["<think>Hm.</think>Plain"], ssml=False) == ["Plain"]
    assert spoken(["<think>Hm.</think><s>Marked</s>"], ssml=True) == ["Marked"]


def test_an_answer_begins_as_soon_as_its_thoughts_are_over() -> None:
    pieces = segment_reader_for("en", ssml=None)
    assert pieces.feed("<think>Hm. Hm. Hm.") == []
    assert [piece.text for piece in pieces.feed("</think>Hello there. And")] == ["Hello there."]


PARTS = st.sampled_from(
    ["<", "<think>", "</think>", "<thinking>", "</thinking>", "<th", "ink>", "</", "a", " ", "<b>", "K"]
)


@given(st.lists(PARTS, max_size=20).map("".join), st.data())
def test_the_cutting_does_not_matter(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    whole, cut = ThinkTagFilter(), ThinkTagFilter()
    said = whole.feed(text) + whole.finish()
    deltas = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert "".join(map(cut.feed, deltas)) + cut.finish() == said


@given(st.lists(PARTS.filter(lambda part: "/" not in part), max_size=20).map("".join))
def test_without_an_end_nothing_is_lost_but_the_first_tag(text: str) -> None:
    thoughts = ThinkTagFilter()
    said = thoughts.feed(text) + thoughts.finish()
    first = min((at for at in (text.find("<think>"), text.find("<thinking>")) if at >= 0), default=-1)
    rest = text if first < 0 else f"{text[:first]} {text[text.index('>', first) + 1 :]}"
    assert said == rest


@pytest.mark.perf
@pytest.mark.parametrize("unit", ["<think>", "<think>a</think>", "</think>", "<think", "a", "<"])
def test_time_is_linear(unit: str) -> None:
    """Eight times the text takes about eight times as long."""

    def seconds(characters: int) -> float:
        started = time.process_time()
        thoughts = ThinkTagFilter()
        for char in unit * (characters // len(unit)):
            thoughts.feed(char)
        thoughts.finish()
        return time.process_time() - started

    seconds(1_000)
    assert any(seconds(80_000) < 24 * max(seconds(10_000), 1e-3) for _ in range(3))
