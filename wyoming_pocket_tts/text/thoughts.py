"""Leaves out what a language model thinks: ``<think>...</think>``. Knows nothing of sentences or other markup."""

import re
from typing import Final

_NAMES: Final = ("think", "thinking")
_OPENINGS: Final = tuple(f"<{name}>" for name in _NAMES)
_OPENING = re.compile("|".join(_OPENINGS), re.IGNORECASE | re.ASCII)
_CLOSINGS: Final = {
    opening: re.compile(f"</{name}>", re.IGNORECASE | re.ASCII) for name, opening in zip(_NAMES, _OPENINGS, strict=True)
}


class Thoughts:
    """Takes a growing text and gives what of it is said. However it is cut, that is the same, in linear time.

    A thought that does not end is none: what looked like one is given once the text is over, so that nothing is lost.
    """

    def __init__(self) -> None:
        """Begin a text."""
        self._held = ""  # may be the beginning of a tag
        self._closing: re.Pattern[str] | None = None  # within a thought, its end
        self._thought: list[str] = []

    def feed(self, delta: str) -> str:
        """Take more text; return what is said of it, as far as that is certain. A thought parts words."""
        said: list[str] = []
        text, self._held = self._held + delta, ""
        while text:
            text = self._aloud(text, said) if self._closing is None else self._silently(text, self._closing)
        return "".join(said)

    def finish(self) -> str:
        """Return what is left."""
        rest = "".join(self._thought) + self._held
        self._held, self._closing = "", None
        self._thought.clear()
        return rest

    def _aloud(self, text: str, said: list[str]) -> str:
        """Say text up to the next thought; return what is behind the tag that opens it."""
        opening = _OPENING.search(text)
        if opening is None:
            bracket = text.rfind("<", -max(map(len, _OPENINGS)))
            if bracket >= 0 and any(tag.startswith(text[bracket:].lower()) for tag in _OPENINGS):
                text, self._held = text[:bracket], text[bracket:]
            said.append(text)
            return ""
        said += [text[: opening.start()], " "]
        self._closing = _CLOSINGS[opening.group().lower()]
        return text[opening.end() :]

    def _silently(self, text: str, closing: re.Pattern[str]) -> str:
        """Keep text up to the end of the thought; return what is behind it."""
        end = closing.search(text)
        if end is None:
            certain = max(0, len(text) - len(closing.pattern) + 1)
            self._thought.append(text[:certain])
            self._held = text[certain:]
            return ""
        self._thought.clear()
        self._closing = None
        return text[end.end() :]
