"""One tree of errors, and how unexpected ones are logged without user text."""

import difflib
import re
import traceback
from collections.abc import Iterable, Iterator
from typing import Final


class TtsError(Exception):
    """Root of the tree: anything that prevents synthesis.

    ``code`` is part of the protocol's ``error`` event, so that a client can distinguish the kinds.
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
    """A voice's file that cannot be read or written now, because of the disk or the system."""


class MissingFile(VoiceError, FileNotFoundError):  # noqa: N818  (named for the state)
    """A file that is named and not there."""


class EmptyText(TtsError, ValueError):  # noqa: N818
    """A text without anything to synthesise."""

    code = "empty-text"


class ModelError(TtsError, RuntimeError):
    """A model that cannot be loaded or that failed while it ran."""

    code = "model-error"


class MissingWeights(ModelError, FileNotFoundError):  # noqa: N818  (named for the state)
    """A file of a model, weights or tokenizer, that a config names and that is not there."""


class DownloadError(ModelError):
    """A file that could not be downloaded; the message has a remedy."""


class AccessDenied(DownloadError):  # noqa: N818  (named for the state, like those that follow)
    """The file exists, but its terms are not accepted, or the token is missing or invalid."""


class NotFound(DownloadError):  # noqa: N818
    """The hub answers, and has no such file, revision or repository."""


class Unreachable(DownloadError):  # noqa: N818
    """The hub does not answer, or must not be used: offline."""


class HubUnreachable(Unreachable):
    """No connection at all: no network, no name service, or a firewall or proxy that refuses."""


class IncompleteDownload(DownloadError):  # noqa: N818
    """The file is not complete; nothing of it is kept."""


class CacheNotWritable(DownloadError):  # noqa: N818
    """The disk is full, or the directory is not writable."""


class ProtocolError(TtsError):
    """A client's event that breaks the protocol or its limits."""

    code = "protocol-error"


class ServerOverloaded(TtsError):  # noqa: N818  (named for the state, like Cancelled)
    """Refused because of too many requests at once; a client may retry later."""

    code = "overloaded"


class ServerNotFound(TtsError):  # noqa: N818
    """Nothing listens at the address."""


class ServerTimeout(TtsError):  # noqa: N818
    """The server does not answer in time."""


class NotAWyomingServer(TtsError):  # noqa: N818
    """The answer is not Wyoming protocol."""


class Cancelled(TtsError):  # noqa: N818
    """The request was cancelled: its client disconnected, or the server stops."""

    code = "cancelled"


_LONGEST_SHOWN: Final = 80
_WORD: Final = re.compile(r"\w{3,}")
_HIDDEN: Final = "(the message may quote a text: log.level debug shows it)"


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
    """Whether memory ran out, in Python or in native code (``bad_alloc``)."""
    return isinstance(error, MemoryError) or "bad_alloc" in str(error)


def format_exception_without_text(error: BaseException, *, text: str | None) -> str:
    """The traceback with its causes. Messages that share a word with ``text`` are left out; all if it is None."""
    return "\n".join(line for each in _chain(error, set()) for line in _lines(each, text))


def fault_kind(error: BaseException) -> str:
    return "memory" if is_out_of_memory(error) else "exception"


def _lines(error: BaseException, text: str | None) -> Iterator[str]:
    yield from (line.rstrip("\n") for line in traceback.format_tb(error.__traceback__))
    message = str(error)
    if message and (text is None or not _words(message).isdisjoint(_words(text))):
        message = _HIDDEN
    yield f"{type(error).__name__}: {message}" if message else type(error).__name__


def _chain(error: BaseException, seen: set[int]) -> Iterator[BaseException]:
    """Causes first, each error once; a group after its members."""
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
