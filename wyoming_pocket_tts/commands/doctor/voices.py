"""Looks at the voices that the settings and the data directory hold, as the command ``voices`` does. Loads no model."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from wyoming_pocket_tts.commands.doctor.finding import Finding, ok, problem
from wyoming_pocket_tts.commands.voices import Listing


@dataclass(frozen=True)
class Voices:
    """Whether everybody who is there can be spoken with."""

    title: ClassVar[str] = "voices"
    limit_seconds: ClassVar[float] = 120.0  # every recording is read
    listed: Callable[[], Listing]

    def look(self) -> Iterator[Finding]:
        """See ``Check``."""
        listing = self.listed()
        for text in listing.problems:
            yield problem(text, "replace the file, or remove it; the other voices are not affected")
        installed = sum(voice.installed for voice in listing.voices)
        if not installed:
            yield problem(
                "there is no voice to speak with", "name a model in models.names, or install the program anew"
            )
        else:
            yield ok(f"{installed} of {len(listing.voices)} can speak now")
