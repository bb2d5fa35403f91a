"""Lenient incremental tag parser."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

LONGEST_TAG: Final = 1_024
LONGEST_ASIDE: Final = 4_096  # of comments, processing instructions and document types


@dataclass(frozen=True, slots=True)
class TextToken:
    text: str


@dataclass(frozen=True, slots=True)
class StartTag:
    name: str  # in lower case, with its prefix; so are those of attributes
    attributes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EndTag:
    """Also behind each empty-element tag."""

    name: str


@dataclass(frozen=True, slots=True)
class MarkupError:
    """A mistake in fixed words for the log."""

    what: str


Token = TextToken | StartTag | EndTag | MarkupError

STRAY_LESS_THAN: Final = MarkupError("a '<' begins no tag; write &lt;")
STRAY_AMPERSAND: Final = MarkupError("an '&' begins no entity; write &amp;")
UNKNOWN_ENTITY: Final = MarkupError("an entity is not known; write the character, or its number as in &#8364;")
BROKEN_TAG: Final = MarkupError("a tag is not well formed: its quotation marks or attributes")
UNFINISHED: Final = MarkupError("a comment, instruction or section does not end")
DECLARATIONS: Final = MarkupError("a document type with declarations is ignored, and so are they")

_MARK: Final = re.compile("[<&]")
_NAME: Final = r"[A-Za-z_][A-Za-z0-9_.:-]*+"
_END_TAG: Final = re.compile(rf"</({_NAME})\s*+>")
_QUOTED: Final = "\"[^<\"]*+\"|'[^<']*+'"
_START_TAG: Final = re.compile(rf"<({_NAME})(?=\s|/?>)((?:[^<>\"']++|{_QUOTED})*+)>")
_LENIENT_TAG: Final = re.compile(rf"<(/?)({_NAME})(?=\s|/?>)([^<>]*+)>")
_TAG_BEGINS: Final = re.compile(r"</?(?:[A-Za-z_]|\Z)")
_TAG_IN_PART: Final = re.compile(
    rf"</?(?:{_NAME}(?:/|\s(?:[^<>\"']++|{_QUOTED})*+(?:\"[^<\"]*+|'[^<']*+)?)?)?\Z",
)
_ATTRIBUTE: Final = re.compile(rf"(?<![A-Za-z0-9_.:-])({_NAME})\s*+=\s*+(?:\"([^\"]*+)\"|'([^']*+)'|([^\s\"'=>/]++))")
_ENTITY: Final = re.compile(r"&(?:#(\d{1,7})|#[xX]([0-9A-Fa-f]{1,6})|([A-Za-z][A-Za-z0-9]{0,30}));")
_ENTITY_IN_PART: Final = re.compile(r"&(?:#(?:\d{0,7}|[xX][0-9A-Fa-f]{0,6})|(?:[A-Za-z][A-Za-z0-9]{0,30})?)\Z")
_FIVE: Final = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}
_ASIDES: Final = (
    ("<!--", "-->", re.compile(r"<!--.*?-->", re.DOTALL)),
    ("<?", "?>", re.compile(r"<\?.*?\?>", re.DOTALL)),
    ("<!", ">", re.compile(r"<![^>\[]*+(?:(?P<declarations>\[)(?:[^\]]++|\](?!\s*+>))*+\]\s*+)?>")),
)
_CDATA: Final = "<![CDATA["
_CDATA_END: Final = "]]>"
_NOT_IN_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class MarkupTokenizer:
    """Reads one document. Tokens do not depend on how the text was cut, but neighbouring text may be parted."""

    def __init__(self) -> None:
        self._text = ""
        self._at = 0
        self._finished = False
        self._in_cdata = False

    def feed(self, delta: str) -> list[Token]:
        self._text = self._text[self._at :] + delta
        self._at = 0
        return list(self._tokens())

    def finish(self) -> list[Token]:
        self._finished = True
        tokens = self.feed("")
        return [*tokens, UNFINISHED] if self._in_cdata else tokens

    def _tokens(self) -> Iterator[Token]:
        while self._at < len(self._text):
            start = self._at
            if self._in_cdata:
                yield from self._cdata()
            else:
                mark = _MARK.search(self._text, start)
                end = mark.start() if mark else len(self._text)
                if end > start:
                    self._at = end
                    yield TextToken(self._text[start:end])
                elif self._text[start] == "&":
                    yield from self._entity()
                else:
                    yield from self._markup()
            if self._at == start:
                return  # more text is needed

    def _cdata(self) -> Iterator[Token]:
        start, end = self._at, self._text.find(_CDATA_END, self._at)
        if end >= 0:
            self._in_cdata = False
            self._at = end + len(_CDATA_END)
        else:
            end = len(self._text) - (0 if self._finished else _overlap(self._text[start:], _CDATA_END))
            self._at = end
        if end > start:
            yield TextToken(self._text[start:end])

    def _entity(self) -> Iterator[Token]:
        match = _ENTITY.match(self._text, self._at)
        if match is None:
            if not self._finished and _ENTITY_IN_PART.match(self._text, self._at):
                return
            yield from self._stray(STRAY_AMPERSAND)
            return
        self._at = match.end()
        character = _character(match)
        if character is None:
            yield UNKNOWN_ENTITY
        yield TextToken(character or match.group())

    def _markup(self) -> Iterator[Token]:
        text, at = self._text, self._at
        if text.startswith(_CDATA, at):
            self._at += len(_CDATA)
            self._in_cdata = True
        elif text.startswith(("<!", "<?"), at):
            yield from self._aside()
        elif _TAG_BEGINS.match(text, at):
            yield from self._tag()
        else:
            yield from self._stray(STRAY_LESS_THAN)

    def _aside(self) -> Iterator[Token]:
        """A comment, an instruction or a document type, without a token. Without an end it is text."""
        rest = self._text[self._at : self._at + LONGEST_ASIDE]
        if not self._finished and any(opening.startswith(rest) for opening in ("<!--", _CDATA)):
            return
        opening, closing, aside = next(kind for kind in _ASIDES if rest.startswith(kind[0]))
        match = aside.match(rest) if closing in rest else None  # the pattern is slow to find that there is no end
        if match is not None:
            self._at += match.end()
            if match.lastgroup:
                yield DECLARATIONS
        elif self._finished or len(rest) == LONGEST_ASIDE:
            self._at += len(opening)
            yield UNFINISHED

    def _tag(self) -> Iterator[Token]:
        limit = self._at + LONGEST_TAG
        match = _END_TAG.match(self._text, self._at, limit)
        if match is not None:
            self._at = match.end()
            yield EndTag(match[1].lower())
            return
        match = _START_TAG.match(self._text, self._at, limit)
        if match is not None:
            yield from self._start_tag(match.end(), match[1], match[2])
        elif self._finished or len(self._text) >= limit or not _TAG_IN_PART.match(self._text, self._at):
            yield from self._broken_tag(limit)

    def _start_tag(self, end: int, name: str, inside: str) -> Iterator[Token]:
        attributes, clean = _attributes(inside)
        if not clean and "=" not in inside:  # "if a <b and c> d": words, no attributes
            yield from self._stray(STRAY_LESS_THAN)
            return
        self._at = end
        if not clean:
            yield BROKEN_TAG
        yield StartTag(name.lower(), attributes)
        if inside.endswith("/"):
            yield EndTag(name.lower())

    def _broken_tag(self, limit: int) -> Iterator[Token]:
        """Ends at the first ``>``, or is text."""
        match = _LENIENT_TAG.match(self._text, self._at, limit)
        if match is None:
            yield from self._stray(STRAY_LESS_THAN)
        elif match[1]:
            self._at = match.end()
            yield from (BROKEN_TAG, EndTag(match[2].lower()))
        else:
            yield from self._start_tag(match.end(), match[2], match[3])

    def _stray(self, problem: MarkupError) -> Iterator[Token]:
        """A mark that is text after all."""
        self._at += 1
        yield from (problem, TextToken(self._text[self._at - 1]))


def _attributes(text: str) -> tuple[dict[str, str], bool]:
    """The readable attributes, and whether nothing else is left."""
    found = {
        match[1].lower(): _ENTITY.sub(lambda entity: _character(entity) or entity.group(), match[2] or match[3] or "")
        if match[4] is None
        else match[4]
        for match in _ATTRIBUTE.finditer(text)
    }
    return found, _ATTRIBUTE.sub("", text).strip() in ("", "/")


def _character(entity: re.Match[str]) -> str | None:
    decimal, hexadecimal, name = entity.groups()
    if name is not None:
        return _FIVE.get(name)
    code = int(decimal) if decimal is not None else int(hexadecimal, 16)
    if code > 0x10FFFF:  # noqa: PLR2004  (Unicode's last)
        return None
    character = chr(code)
    return None if _NOT_IN_XML.match(character) else character


def _overlap(text: str, mark: str) -> int:
    """How many characters at the end of ``text`` may be the beginning of ``mark``."""
    return next((size for size in range(min(len(mark) - 1, len(text)), 0, -1) if text.endswith(mark[:size])), 0)
