"""What a session asks its connection to do. Plain data, so that transcripts of it can be compared."""

from dataclasses import dataclass

from wyoming.event import Event

from wyoming_pocket_tts.speech import Request


@dataclass(frozen=True, slots=True)
class Send:
    """Write the event."""

    event: Event
    request: str = ""
    """The identifier of the request that it answers, if it answers one."""


@dataclass(frozen=True, slots=True)
class Speak:
    """Begin to synthesize, and report with this number. Only one speech is ever under way."""

    speech: int
    request: Request
    continues: bool
    """It goes on with a response whose earlier sentences were spoken."""
    reserve: bool = False
    """It takes a place that is kept for voices that stand in for others."""


@dataclass(frozen=True, slots=True)
class Rest:
    """Nothing is to be synthesized, but silence is to be sent: take it bit by bit from the session's ``silence``."""

    rest: int
    """The number to take it with. Once it is over or given up, there is nothing to be taken."""


@dataclass(frozen=True, slots=True)
class Again:
    """Call the session's ``goes_on`` once everybody else had a turn: there is a long text to be read."""


@dataclass(frozen=True, slots=True)
class Hush:
    """Give up the speech under way; reports about it are ignored from now on."""


@dataclass(frozen=True, slots=True)
class Note:
    """Tell the log."""

    level: int
    text: str
    request: str = ""
    """The identifier of the request that it is about, if it is about one."""


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection, once what was sent before has left."""


Action = Send | Speak | Rest | Again | Hush | Note | Close
