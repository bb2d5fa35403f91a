"""What a service is at one moment, for whoever measures it. Knows not who does."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from wyoming_pocket_tts.speech import Voice


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What is measured at one moment."""

    connections: int
    active_streams: int
    """Pieces of requests that are being spoken."""
    waiting_streams: int
    """Those that wait for a place."""
    voices: Sequence[Voice]
    models: Mapping[str, str] = field(default_factory=dict)
    """Names in the settings -> ``ready``, ``coming``, ``failed`` or another of a few words."""


WatchState = Callable[[], State]
"""Asked on the event loop."""
