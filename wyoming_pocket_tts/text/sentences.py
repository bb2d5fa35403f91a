"""Incremental sentence splitter."""

# ruff: noqa: RUF001  (marks that look like others are read here)

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from wyoming_pocket_tts.text.normalization.data import SentenceBoundaries


FIRST_SEGMENT_CHARS: Final = 60  # a longer first sentence is cut at a clause; as much as Assist sends at once
FIRST_SEGMENT_MIN_CHARS: Final = 20  # a second of speech: the next segment is ready when it ends
SOFT_LIMIT_CHARS: Final = 300  # a longer sentence is cut at a clause or, failing that, at a space between words
CLAUSE_MIN_CHARS: Final = 80  # in such a cut, a clause boundary that would leave less is passed over for a space
HARD_LIMIT_CHARS: Final = 1000  # text without any space is cut here, wherever that is
LINK_CHARS: Final = 200  # an opening bracket that is not closed within this length was no markdown link
LOOKAHEAD_CHARS: Final = 32  # text after a mark that may change what it means
_WORD_CHARS: Final = 24

_EVENT = re.compile(r"[\s.!?…؟۔।॥։。！？｡，、；：—\[\]()]")
_LINE_ENDS = frozenset("\n\u2028\u2029\x0b\x0c\x85")
_CJK_TERMINATORS = frozenset("。！？｡")
_TERMINATORS = _CJK_TERMINATORS | frozenset(".!?…؟۔।॥։")
_TIGHT_CLAUSE_MARKS = frozenset("，、；：—")
_SPACED_CLAUSE_ENDS = frozenset(",;:-–—")
_RUN = re.compile(r"[.!?…؟۔।॥։。！？｡]*")
_CLOSERS = re.compile(
    "(?:['\"’”»)\\]}*_~`」』）》】〕〉\u200d\ufe0f\u2600-\u27bf\U0001f000-\U0001faff]|\\[\\^?\\d{1,3}\\])*"
)
_UNFINISHED_NOTE = re.compile(r"\[\^?\d{0,3}\Z")
_WORD_BEFORE = re.compile(r"[^\W\d_]+(?:\.[^\W\d_]+)*\Z")
_WORD_AFTER = re.compile(r"['\"“‘(\[*_«¿¡]*([^\W\d_]+(?:['’][^\W\d_]+)*)")
_LIST_NUMBER = re.compile(r"\s*[*_]*(?:\d{1,3}|[a-z])\Z")
_ORDINAL = re.compile(r"(?:([^\W\d_]+),?\s+)?(?<![\w.,])\d{1,4}(?:\.\d{1,2})?\Z")
_ROMAN = re.compile(r"[IVX]+\Z")
_LIST_GOES_ON = frozenset("-–/&")
_DOTTED_LETTERS = re.compile(r"[^\W\d_]{1,2}(?:\.[^\W\d_]{1,2})+\Z")


@lru_cache(maxsize=64)  # documents may name any language
def _boundaries(language: str) -> "SentenceBoundaries":
    from wyoming_pocket_tts.text.normalization.data import load_boundaries  # noqa: PLC0415  (costs more than this module)

    return load_boundaries(language)


class SentencePart(NamedTuple):
    """A sentence, or as much of one as is synthesised at once."""

    text: str
    ends: bool  # false where the sentence was cut for its length and goes on


class SentenceSplitter:
    """Splits one text, without the space around its sentences. Not thread-safe.

    Languages (BCP-47 tag) without data have no abbreviations. With ``cut_first_early`` the first segment may end at a
    clause, so that audio starts early.
    """

    def __init__(self, language: str = "en", *, cut_first_early: bool = True) -> None:
        self._boundaries = _boundaries(language.replace("_", "-").partition("-")[0].lower())
        self._cut_first_early = cut_first_early
        self._reset()

    def _reset(self) -> None:
        self._text = ""
        self._first = self._cut_first_early
        self._finished = False
        self._too_long = False  # the last cut was made for the length alone
        self._begin(0)

    def _begin(self, start: int) -> None:
        """A new sentence starts; nothing after ``start`` has been looked at."""
        self._start = self._at = start
        self._clause = self._space = start  # where the sentence could be cut: after a clause, between words
        self._bracket = -1  # an open "[" or the "(" of a link

    def feed(self, delta: str) -> list[str]:
        return [part.text for part in self.feed_parts(delta)]

    def feed_parts(self, delta: str) -> list[SentencePart]:
        self._text += delta
        parts = list(self._advance())
        self._text = self._text[self._start :]
        shift, self._start = self._start, 0
        self._at -= shift
        self._clause -= shift
        self._space -= shift
        self._bracket = max(self._bracket - shift, -1)
        return parts

    def finish(self) -> list[str]:
        """The rest; the splitter is then ready for another text."""
        return [part.text for part in self.finish_parts()]

    def finish_parts(self) -> list[SentencePart]:
        self._finished = True
        parts = list(self._advance())
        rest = self._text[self._start :].strip()
        self._reset()
        return [*parts, SentencePart(rest, ends=True)] if rest else parts

    def _advance(self) -> Iterator[SentencePart]:
        while (cut := self._next_cut()) is not None:
            part = SentencePart(self._text[self._start : cut].strip(), ends=not self._too_long)
            self._begin(cut)
            if part.text:
                self._first = False
                yield part

    def _next_cut(self) -> int | None:
        """Where the sentence ends, or None when more text is needed. Leaves ``_at`` at what is undecided."""
        self._too_long = False
        while (event := _EVENT.search(self._text, self._at, self._start + HARD_LIMIT_CHARS)) is not None:
            at = event.start()
            mark = self._text[at]
            if mark.isspace():
                if mark in _LINE_ENDS:
                    return at + 1
                if at + 1 == len(self._text) and not self._finished:
                    self._at = at
                    return None
                self._note_space(at)
            elif mark in "[]()":
                self._note_bracket(at)
            elif mark in _TIGHT_CLAUSE_MARKS:
                self._note_clause(at + 1)
            else:
                end = self._sentence_end(at)
                if end is None or end > at:
                    self._at = at
                    return end
            if (cut := self._length_cut(at)) is not None:
                self._too_long = True
                return cut
            self._at = at + 1
        if len(self._text) - self._start >= HARD_LIMIT_CHARS:
            self._too_long = True
            return self._start + HARD_LIMIT_CHARS
        self._at = len(self._text)
        return None

    def _note_space(self, at: int) -> None:
        if at == self._start or at + 1 >= len(self._text):
            return
        before, after = self._text[at - 1], self._text[at + 1]
        if before.isdigit() or after.isdigit() or self._in_brackets(at):
            return  # "May 3, 2026", "10 000", "5 kW" and the text of a link stay whole
        self._space = at + 1
        if before in _SPACED_CLAUSE_ENDS:
            self._note_clause(at + 1)

    def _note_clause(self, at: int) -> None:
        if not self._in_brackets(at):
            self._clause = at

    def _note_bracket(self, at: int) -> None:
        mark = self._text[at]
        if mark == "[" or (mark == "(" and at > self._start and self._text[at - 1] == "]"):
            self._bracket = at
        elif self._bracket >= self._start and mark == {"[": "]", "(": ")"}[self._text[self._bracket]]:
            self._bracket = -1

    def _in_brackets(self, at: int) -> bool:
        return self._bracket >= self._start and at - self._bracket <= LINK_CHARS

    def _length_cut(self, at: int) -> int | None:
        """Where to cut a sentence that has been followed up to ``at`` without finding its end."""
        length = at - self._start
        if self._first and length >= FIRST_SEGMENT_CHARS and self._clause - self._start >= FIRST_SEGMENT_MIN_CHARS:
            return self._clause
        if length < SOFT_LIMIT_CHARS:
            return None
        if self._clause - self._start >= CLAUSE_MIN_CHARS:
            return self._clause
        return self._space if self._space > self._start else None

    def _sentence_end(self, at: int) -> int | None:
        """The end of the sentence that the mark at ``at`` closes, ``at`` if it closes none, None if not yet certain."""
        if at > self._start and self._text[at - 1] in _TERMINATORS:
            return at  # its run has been judged as a whole
        horizon = min(at + 1 + LOOKAHEAD_CHARS, len(self._text))
        waiting = horizon < at + 1 + LOOKAHEAD_CHARS and not self._finished
        run_end = _end_of(_RUN, self._text, at, horizon)
        end = _end_of(_CLOSERS, self._text, run_end, horizon)
        if waiting and (end == horizon or _UNFINISHED_NOTE.match(self._text, end)):
            return None
        run, closers, after = self._text[at:run_end], self._text[run_end:end], self._text[end:horizon]
        if self._in_brackets(at) and "]" not in closers:
            return at
        if not _CJK_TERMINATORS.isdisjoint(run):
            return end
        if after and not after[0].isspace():
            return at
        after = after.lstrip()
        if run == ".":
            verdict = self._dot_ends(at, after, waiting=waiting)
        else:
            verdict = _mark_ends(run, closers, after, waiting=waiting)
        return None if verdict is None else end if verdict else at

    def _dot_ends(self, at: int, after: str, *, waiting: bool) -> bool | None:
        """Whether a single full stop ends the sentence: by the word before it and, where that is open, the next one."""
        match = _WORD_BEFORE.search(self._text, max(self._start, at - _WORD_CHARS), at)
        word = match.group() if match else ""
        kind = self._boundaries
        is_number = self._text[at - 1 : at].isdigit() or _ROMAN.match(word)
        if is_number and kind.ordinal_nouns and not self._is_list_number(at):
            return self._ordinal_ends(at, after, waiting=waiting)
        is_initial = len(word) == 1 and word.isupper() and word != "I"
        word = word.lower()
        if word in kind.never or self._is_list_number(at):
            return False
        if word in kind.before_number:
            return None if waiting and not after else not after[:1].isdigit()
        needs_capital = word in kind.before_capital
        needs_starter = word in kind.before_starter or word.endswith(kind.before_starter_endings)
        if not (needs_capital or is_initial or needs_starter or _DOTTED_LETTERS.match(word)):
            return True
        next_word = _next_word(after, waiting=waiting)
        if next_word is None:
            return None
        opens = next_word.lower() not in kind.capitals_within if needs_capital else next_word.lower() in kind.starters
        return opens and next_word[:1].isupper()

    def _is_list_number(self, at: int) -> bool:
        """Whether the full stop belongs to the number of a list's item, with which the sentence opens."""
        return at - self._start < _WORD_CHARS and _LIST_NUMBER.match(self._text, self._start, at) is not None

    def _ordinal_ends(self, at: int, after: str, *, waiting: bool) -> bool | None:
        """Whether a full stop behind digits ends the sentence, where it makes an ordinal: "am 3. Oktober"."""
        next_word = _next_word(after, waiting=waiting)
        if next_word is None:
            return None
        if after[:1] in _LIST_GOES_ON or next_word[:1].islower() or next_word.lower() in self._boundaries.ordinal_nouns:
            return False
        match = _ORDINAL.search(self._text, max(self._start, at - _WORD_CHARS), at)
        leads = match is not None and (match[1] or "").lower() in self._boundaries.ordinal_leaders
        return not (leads and next_word and next_word.lower() not in self._boundaries.starters)


def _next_word(after: str, *, waiting: bool) -> str | None:
    """The first word of ``after``, empty if there is none, None when it may be longer than what has come."""
    following = _WORD_AFTER.match(after)
    if waiting and (following is None or after[following.end() :] in ("", "'", "’")):
        return None
    return following.group(1).replace("’", "'") if following else ""


def _mark_ends(run: str, closers: str, after: str, *, waiting: bool) -> bool | None:
    """Whether marks other than a single full stop end it: not in '"What?" he asked' nor in "Well... maybe"."""
    if not closers and "." not in run and "…" not in run:
        return True
    return None if waiting and not after else not after[:1].islower()


def _end_of(pattern: re.Pattern[str], text: str, start: int, end: int) -> int:
    match = pattern.match(text, start, end)
    return match.end() if match else start


def split_sentences(text: str, language: str = "en") -> list[str]:
    splitter = SentenceSplitter(language, cut_first_early=False)
    return [*splitter.feed(text), *splitter.finish()]
