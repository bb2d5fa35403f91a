"""What a client may send next. Knows nothing about events or answers."""

from enum import Enum, auto
from typing import Final


class Intake(Enum):
    """What the client may send next."""

    OPEN = auto()
    STREAM = auto()
    """Between ``synthesize-start`` and ``synthesize-stop``."""
    ENDED = auto()
    """The client closed its side; what it asked for is still answered."""
    CLOSED = auto()
    """Over."""


FOLLOWING: Final = {
    Intake.OPEN: {Intake.STREAM, Intake.ENDED, Intake.CLOSED},
    Intake.STREAM: {Intake.STREAM, Intake.OPEN, Intake.ENDED, Intake.CLOSED},
    Intake.ENDED: {Intake.CLOSED},
    Intake.CLOSED: set[Intake](),
}
"""What may become of it."""
