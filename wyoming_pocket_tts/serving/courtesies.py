"""What is answered at once, whatever else goes on: who we are, whether we are there. Knows nothing about speech."""

import logging
from collections.abc import Callable
from typing import Any

from wyoming.event import Event
from wyoming.ping import Pong

from wyoming_pocket_tts.errors import shown
from wyoming_pocket_tts.serving.actions import Action, Note, Send


class Courtesies:
    """One method for each kind of event, with the event's data.

    Args:
        info: makes the answer to ``describe``.
        program: what it calls us.
    """

    def __init__(self, *, info: Callable[[], Event], program: str) -> None:
        self._info = info
        self._program = program

    def describe(self, _data: dict[str, Any]) -> list[Action]:
        """Say who we are."""
        return [Send(self._info())]

    def ping(self, data: dict[str, Any]) -> list[Action]:
        """Say that we are there."""
        text = data.get("text")
        return [Send(Pong(text=text if isinstance(text, str) else None).event())]

    def select_program(self, data: dict[str, Any]) -> list[Action]:
        """There is one, so nothing is to be selected; a wrong name must not keep anybody from speaking."""
        if data.get("name") == self._program:
            return []
        return [Note(logging.WARNING, f"there is no program {shown(data.get('name'))}; {self._program!r} answers")]
