"""Markup taken apart: like expat where a document is well formed, and without losing a word where it is not."""

import xml.parsers.expat
from itertools import groupby

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.tiers import mostly
from wyoming_pocket_tts.text.markup_parser import (
    BROKEN_TAG,
    DECLARATIONS,
    LONGEST_ASIDE,
    LONGEST_TAG,
    STRAY_AMPERSAND,
    STRAY_LESS_THAN,
    UNFINISHED,
    UNKNOWN_ENTITY,
    EndTag,
    MarkupError,
    MarkupTokenizer,
    StartTag,
    TextToken,
    Token,
)


def read(deltas: list[str]) -> list[Token]:
    """All tokens, neighbouring texts as one, and then the problems."""
    reader = MarkupTokenizer()
    found = [*(token for delta in deltas for token in reader.feed(delta)), *reader.finish()]
    problems: list[Token] = [token for token in found if isinstance(token, MarkupError)]
    return joined([token for token in found if not isinstance(token, MarkupError)]) + problems


def joined(tokens: list[Token]) -> list[Token]:
    """Neighbouring texts as one."""
    stretches = groupby(tokens, key=lambda token: isinstance(token, TextToken))
    return [
        token
        for are_texts, stretch in stretches
        for token in (
            [TextToken("".join(t.text for t in stretch if isinstance(t, TextToken)))] if are_texts else stretch
        )
    ]


@pytest.mark.parametrize(
    ("document", "tokens"),
    [
        (
            "a<b c='1' D=\"2\">d</b >e",
            [TextToken("a"), StartTag("b", {"c": "1", "d": "2"}), TextToken("d"), EndTag("b"), TextToken("e")],
        ),
        (
            "<break/><Break time='1s' />",
            [StartTag("break"), EndTag("break"), StartTag("break", {"time": "1s"}), EndTag("break")],
        ),
        ("<a b='x &lt; &#65;&#x42; > y'>", [StartTag("a", {"b": "x < AB > y"})]),
        ("&amp;&lt;&gt;&quot;&apos;&#8364;&#x20aC;", [TextToken("&<>\"'€€")]),
        ("a<!-- <b> & --- -->c", [TextToken("ac")]),
        ("<?xml version='1.0'?><!DOCTYPE speak PUBLIC 'x' 'y'><?a > b?>c", [TextToken("c")]),
        ("<![CDATA[<a> &amp; ]] ]>]]>b", [TextToken("<a> &amp; ]] ]>b")]),
        # what is wrong
        ("AT&T <3 is 1 < 2 <", [STRAY_AMPERSAND, STRAY_LESS_THAN, STRAY_LESS_THAN, STRAY_LESS_THAN]),
        ("a &nbsp; &lol; &#0; &#55296; &#9999999; b", [UNKNOWN_ENTITY] * 5),
        ("a &am", [STRAY_AMPERSAND]),
        ("<a b='1>c</a>", [BROKEN_TAG, StartTag("a"), TextToken("c"), EndTag("a")]),
        ("<a b=1 c>d</a e>", [BROKEN_TAG, StartTag("a", {"b": "1"}), TextToken("d"), BROKEN_TAG, EndTag("a")]),
        ("<a b=1s/>", [StartTag("a", {"b": "1s"}), EndTag("a")]),
        ("if a <b and c> d", [STRAY_LESS_THAN]),
        ("see <https://example.com/?a=b> or <a@b.com>", [STRAY_LESS_THAN, STRAY_LESS_THAN]),
        ("a <b and so on", [STRAY_LESS_THAN]),
        ("a <b c='d' <e>f", [TextToken("a <b c='d' "), StartTag("e"), TextToken("f"), STRAY_LESS_THAN]),
        ("a<!-- b", [TextToken("a b"), UNFINISHED]),
        ("a<![CDATA[ b", [TextToken("a b"), UNFINISHED]),
        ("a<![CDA", [TextToken("a[CDA"), UNFINISHED]),
        ("a<? b", [TextToken("a b"), UNFINISHED]),
        ("<!DOCTYPE s [<!ENTITY a 'b'>] >&a;", [DECLARATIONS, TextToken("&a;"), UNKNOWN_ENTITY]),
        (f"a<b c='{'d' * LONGEST_TAG}'>", [STRAY_LESS_THAN]),
    ],
)
def test_examples(document: str, tokens: list[Token]) -> None:
    found = read([document])
    if not any(isinstance(token, TextToken | StartTag) for token in tokens):  # then the text is all there
        tokens = [TextToken(document), *tokens]
    assert sorted(found, key=repr) == sorted(tokens, key=repr)
    assert read(list(document)) == found


def test_text_behind_a_comment_without_end_waits_no_longer_than_a_comment_may_be() -> None:
    reader = MarkupTokenizer()
    assert reader.feed("<!--" + "a" * (LONGEST_ASIDE - 5)) == []
    assert reader.feed("a") == [UNFINISHED, TextToken("a" * (LONGEST_ASIDE - 4))]


def test_text_comes_out_at_once_where_nothing_is_open() -> None:
    reader = MarkupTokenizer()
    assert reader.feed("Hello <emph") == [TextToken("Hello ")]
    assert reader.feed("asis level='strong'>wor") == [StartTag("emphasis", {"level": "strong"}), TextToken("wor")]
    assert reader.feed("ld <https:") == [TextToken("ld ")]
    assert reader.feed("//") == [STRAY_LESS_THAN, TextToken("<"), TextToken("https://")]


NAMES = st.sampled_from(["speak", "p", "prosody", "x:y"])
PLAIN = st.text(
    st.characters(codec="utf-8", exclude_characters="<>&\r'\"", exclude_categories=["Cc", "Cs"]), max_size=9
)
WRITTEN = st.one_of(
    PLAIN,
    st.sampled_from(["&amp;", "&lt;", "&#65;", "&#x20AC;", "\n", " ", ">"]),
    st.sampled_from(["<!-- a > b & -->", "<?pi a > b?>", "<![CDATA[<a]]>"]),
)
ATTRIBUTES = st.dictionaries(st.sampled_from(["rate", "xml:lang", "a-b"]), PLAIN.map(" ".join), max_size=2)


@st.composite
def elements(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> str:
    name = draw(NAMES)
    attributes = "".join(
        f"{space}{key}{space}={quote}{value}{quote}"
        for key, value in draw(ATTRIBUTES).items()
        for space, quote in [draw(st.sampled_from([(" ", '"'), ("\n ", "'")]))]
    )
    if draw(st.booleans()):
        return f"<{name}{attributes} />"
    return f"<{name}{attributes}>{''.join(draw(st.lists(inner, max_size=4)))}</{name} >"


WELL_FORMED = st.recursive(WRITTEN, elements, max_leaves=12).map(lambda inner: f"<speak>{inner}</speak>")


def expats(document: str) -> list[Token]:
    tokens: list[Token] = []
    parser = xml.parsers.expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = lambda name, attributes: tokens.append(StartTag(name, attributes))
    parser.EndElementHandler = lambda name: tokens.append(EndTag(name))
    parser.CharacterDataHandler = lambda text: tokens.append(TextToken(text))
    parser.Parse(document, True)
    return joined(tokens)


@given(WELL_FORMED)
@settings(max_examples=300, deadline=None)
def test_a_well_formed_document_is_read_as_expat_reads_it(document: str) -> None:
    assert read([document]) == expats(document)


FRAGMENTS = st.sampled_from(
    [
        "<",
        ">",
        "&",
        ";",
        "'",
        '"',
        "=",
        "/",
        "!",
        "--",
        "-->",
        "<!--",
        "<![CDATA[",
        "]]>",
        "<?",
        "?>",
        "<!DOCTYPE a [",
        "]>",
        "a",
        "b c",
        " ",
        "\n",
        "<a>",
        "</a>",
        "<a b='c'>",
        "<a b=c",
        "&amp;",
        "&#65;",
        "&#",
        "&x;",
        "]",
        "x" * 300,
    ]
)


@given(st.one_of(st.lists(FRAGMENTS, max_size=30).map("".join), WELL_FORMED), st.data())
@settings(max_examples=500, deadline=None)
def test_the_cutting_does_not_matter(document: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(document)), max_size=12)))
    deltas = [document[start:end] for start, end in zip([0, *cuts], [*cuts, len(document)], strict=True)]
    whole = read([document])
    assert read(deltas) == whole
    assert read(list(document)) == whole


@pytest.mark.perf
@pytest.mark.parametrize(
    "unit",
    mostly(
        pytest.mark.perf,
        ["<", "&", "<a", "<a ", "<a b='", "<!--", "<![CDATA[", "<?", "<!x[", "<!x[>]", "<a>", "</a>", "&#", "&am"],
    ),
)
def test_time_is_linear(unit: str) -> None:
    """A quadratic reading would run into the time limit of a test."""
    document = unit * (40_000 // len(unit))
    assert read([document]) == read(list(document))
    assert read(["<a " + document])
