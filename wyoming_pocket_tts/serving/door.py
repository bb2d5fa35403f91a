"""Where clients come in, and whom they meet there. Knows nothing about sockets or models."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from wyoming_pocket_tts.serving.info import PROGRAM
from wyoming_pocket_tts.speech import Voice
from wyoming_pocket_tts.voices.catalogue import Choice


class Announcer(Protocol):
    """Makes a listening server known on the network."""

    async def announce(self, addresses: Sequence[str]) -> None:
        """Announce the bound addresses (URIs as in ``Server.addresses``). Called once, after all of them listen."""
        ...

    async def withdraw(self) -> None:
        """Take the announcement back. Called before the server stops accepting; again if that was cancelled."""
        ...


class Reception(Protocol):
    """Who can be asked to speak at a door. Called on the event loop, for every request: cheap."""

    def voices(self) -> Sequence[Voice]:
        """What is listed there, the default one first."""
        ...

    def choose(self, *, name: str | None, speaker: str | None, language: str | None, address: str) -> Choice:
        """Find the voice that a client means.

        Args:
            name: of a listed voice.
            speaker: a style of it.
            language: a tag.
            address: the client's IP address, empty if it has none.

        Raises:
            VoiceError: nobody can speak so.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Addresses to listen on, with a reception and a name of their own."""

    uris: tuple[str, ...]
    """``tcp://host:port`` (an IPv6 host in brackets, an empty host for all interfaces, port 0 for any free one),
    ``unix:///path`` or ``stdio://``."""
    reception: Reception
    program: str = PROGRAM
    """What ``describe`` calls it, and Home Assistant its entry."""
    announcer: Announcer | None = None
    """Makes it known while it is open."""
    setting: str = ""
    """What of the settings opens it, for messages; empty where its address says enough."""
