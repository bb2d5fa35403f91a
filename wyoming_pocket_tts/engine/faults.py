"""Lays an unexpected error out for the log without what somebody wanted to be spoken. Knows no model and no client.

Libraries like to quote what they choked on. A person's words belong in the debug log alone, so a message that quotes
them is left out; where the error came from is always told.
"""

import re
import traceback
from collections.abc import Iterator
from typing import Final

from wyoming_pocket_tts.errors import is_out_of_memory

_WORD: Final = re.compile(r"\w{3,}")
_HIDDEN: Final = "(the message may quote a text: log.level debug shows it)"


def described(error: BaseException, *, text: str | None) -> str:
    """Return lines that name the error, what led to it, and where in the program each of them was raised.

    Args:
        error: what nobody expected.
        text: what was being spoken: messages that share a word with it are left out. None if that is not known: then
            all of them are.
    """
    return "\n".join(line for each in _chain(error, set()) for line in _lines(each, text))


def kind_of(error: BaseException) -> str:
    """One of the few words for faults that an observer hears."""
    return "memory" if is_out_of_memory(error) else "exception"


def _lines(error: BaseException, text: str | None) -> Iterator[str]:
    yield from (line.rstrip("\n") for line in traceback.format_tb(error.__traceback__))
    message = str(error)
    if message and (text is None or _words(message) & _words(text)):
        message = _HIDDEN
    yield f"{type(error).__name__}: {message}" if message else type(error).__name__


def _chain(error: BaseException, seen: set[int]) -> Iterator[BaseException]:
    """The error behind what led to it, each once; a group behind its members."""
    if id(error) in seen:
        return
    seen.add(id(error))
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None:
        yield from _chain(before, seen)
    if isinstance(error, BaseExceptionGroup):
        for member in error.exceptions:
            yield from _chain(member, seen)
    yield error


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.casefold()))
