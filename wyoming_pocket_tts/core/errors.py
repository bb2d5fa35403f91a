"""One tree of errors, and how unexpected ones are logged without user text."""

import difflib
import re
import traceback
from collections.abc import Iterable, Iterator
from typing import Final


class TtsError(Exception):
    """Root of the tree: anything that keeps a text from being spoken.

    ``code`` travels in the protocol's ``error`` event, so that a client can tell the kinds apart.
    """

    code = "speech-error"


class ConfigError(TtsError, ValueError):
    """Settings that cannot be used: names the file, the key and what is allowed."""

    code = "config-error"


class MissingConfig(ConfigError, FileNotFoundError):  # noqa: N818  (named for the state)
    """A config file or released model that is named and not there."""


class VoiceError(TtsError, ValueError):
    """A voice or language that is not there, or a voice file that cannot be used."""

    code = "voice-error"


class VoiceUnavailable(VoiceError):  # noqa: N818  (named for the state)
    """A voice's file that cannot be read or written now: the disk's or the system's trouble, not the file's."""


class MissingFile(VoiceError, FileNotFoundError):  # noqa: N818  (named for the state)
    """A file that is named and not there."""


class EmptyText(TtsError, ValueError):  # noqa: N818
    """A text that holds nothing to say."""

    code = "empty-text"


class ModelError(TtsError, RuntimeError):
    """A model that cannot be loaded or that failed while it ran."""

    code = "model-error"


class MissingWeights(ModelError, FileNotFoundError):  # noqa: N818  (named for the state)
    """A file of a model, weights or tokenizer, that a config names and that is not there."""


class DownloadError(ModelError):
    """A file that could not be had from where it lies; says what to do about it."""


class AccessDenied(DownloadError):  # noqa: N818  (named for the state, like those that follow)
    """The file is there, for others: its terms are not accepted, or the token is missing or not right."""


class NotFound(DownloadError):  # noqa: N818
    """The place answers, and has no such file, revision or repository."""


class Unreachable(DownloadError):  # noqa: N818
    """The place does not answer, or must not be asked: offline."""


class HubUnreachable(Unreachable):
    """Nothing of the place can be reached: no network, no name service, or something in between that refuses."""


class IncompleteDownload(DownloadError):  # noqa: N818
    """What came is not the whole file; nothing of it is kept."""


class CacheNotWritable(DownloadError):  # noqa: N818
    """What comes cannot be written here: the disk is full, or the directory is not writable."""


class ProtocolError(TtsError):
    """A client's event that breaks the protocol or its limits."""

    code = "protocol-error"


class ServerOverloaded(TtsError):  # noqa: N818  (named for the state, like Cancelled)
    """Refused because too much is asked for at once; asking again later is right."""

    code = "overloaded"


class ServerNotFound(TtsError):  # noqa: N818
    """Nothing listens where a client looks for a server."""


class ServerTimeout(TtsError):  # noqa: N818
    """Something listens there, and does not answer in time."""


class NotAWyomingServer(TtsError):  # noqa: N818
    """Something answers there that does not speak the Wyoming protocol."""


class Cancelled(TtsError):  # noqa: N818
    """The speech was given up: its client left, or the server stops."""

    code = "cancelled"


_LONGEST_SHOWN = 80


def quote_untrusted(value: object) -> str:
    """Quote what a client or file holds for a message or log line: bounded, without line breaks."""
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def suggest(name: str, known: Iterable[str], *, most: int = 1) -> str:
    """The end of a message, `` (did you mean 'alba'?)``; empty if no known name is similar. Case does not count."""
    folded = {each.casefold(): each for each in sorted(known)}
    close = difflib.get_close_matches(name.casefold(), folded, n=most)
    meant = " or ".join(f"'{folded[each]}'" for each in close)
    return f" (did you mean {meant}?)" if close else ""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, in Python or in native code, which only says so."""
    return isinstance(error, MemoryError) or "bad_alloc" in str(error)


_WORD: Final = re.compile(r"\w{3,}")
_HIDDEN: Final = "(the message may quote a text: log.level debug shows it)"


def format_exception_without_text(error: BaseException, *, text: str | None) -> str:
    """Return lines that name the error, what led to it, and where in the program each of them was raised.

    Args:
        error: what nobody expected.
        text: what was being spoken: messages that share a word with it are left out. None if that is not known: then
            all of them are.
    """
    return "\n".join(line for each in _chain(error, set()) for line in _lines(each, text))


def fault_kind(error: BaseException) -> str:
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
