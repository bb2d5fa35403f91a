"""Every error this service raises on purpose. Messages are written for the person who can act on them.

Some are also Python's own ValueError, RuntimeError or FileNotFoundError: what callers of ``TTSModel`` catch today.
"""


class SpeechError(Exception):
    """Root of the tree: anything that keeps a text from being spoken.

    ``code`` travels in the protocol's ``error`` event, so that a client can tell the kinds apart.
    """

    code = "speech-error"


class ConfigError(SpeechError, ValueError):
    """Settings that cannot be used: names the file, the key and what is allowed."""

    code = "config-error"


class MissingConfig(ConfigError, FileNotFoundError):  # noqa: N818  (named for the state)
    """A config file or released model that somebody named and that is not there."""


class VoiceError(SpeechError, ValueError):
    """A voice or language that is not there, or a voice file that cannot be used."""

    code = "voice-error"


class VoiceOutOfReach(VoiceError):  # noqa: N818  (named for the state)
    """A voice's file that cannot be read or written now: the disk's or the system's trouble, not the file's."""


class MissingFile(VoiceError, FileNotFoundError):  # noqa: N818  (named for the state)
    """A file that somebody named and that is not there."""


class EmptyText(SpeechError, ValueError):  # noqa: N818
    """A text that holds nothing to say."""

    code = "empty-text"


class ModelError(SpeechError, RuntimeError):
    """A model that cannot be loaded or that failed while it ran."""

    code = "model-error"


class MissingWeights(ModelError, FileNotFoundError):  # noqa: N818  (named for the state)
    """A file of a model, weights or tokenizer, that a config names and that is not there."""


class DownloadError(ModelError):
    """A file that could not be had from where it lies; says what to do about it."""


class AccessDenied(DownloadError):  # noqa: N818  (named for the state, like those that follow)
    """The file is there, for others: its terms are not accepted, or the token is missing or not right."""


class NotThere(DownloadError):  # noqa: N818
    """The place answers, and has no such file, revision or repository."""


class Unreachable(DownloadError):  # noqa: N818
    """The place does not answer, or must not be asked: offline."""


class NoConnection(Unreachable):
    """Nothing of the place can be reached: no network, no name service, or something in between that refuses."""


class Incomplete(DownloadError):  # noqa: N818
    """What came is not the whole file; nothing of it is kept."""


class CannotKeep(DownloadError):  # noqa: N818
    """What comes cannot be written here: the disk is full, or the directory is somebody else's."""


class ProtocolError(SpeechError):
    """A client's event that breaks the protocol or its limits."""

    code = "protocol-error"


class Overloaded(SpeechError):  # noqa: N818  (named for the state, like Cancelled)
    """Refused because too much is asked for at once; asking again later is right."""

    code = "overloaded"


class NobodyThere(SpeechError):  # noqa: N818
    """Nothing listens where a client looks for a server."""


class NoAnswer(SpeechError):  # noqa: N818
    """Something listens there, and does not answer in time."""


class NotWyoming(SpeechError):  # noqa: N818
    """Something answers there that does not speak the Wyoming protocol."""


class Cancelled(SpeechError):  # noqa: N818
    """The speech was given up: its client left, or the server stops."""

    code = "cancelled"


_LONGEST_SHOWN = 80


def shown(value: object) -> str:
    """What somebody else sent, fit for a message and a line of the log: nothing can break out of it or flood it."""
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, in Python or in native code, which only says so."""
    return isinstance(error, MemoryError) or "bad_alloc" in str(error)
