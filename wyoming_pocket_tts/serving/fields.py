"""Reads the fields of a client's events, which may hold anything. Knows nothing about what becomes of them."""

from typing import Any

from wyoming_pocket_tts.errors import ProtocolError, shown


def text(data: dict[str, Any]) -> str:
    """The text of a request or a chunk.

    Raises:
        ProtocolError: there is none.
    """
    found = data.get("text")
    if not isinstance(found, str):
        raise ProtocolError("the event's 'text' is missing or is no text")
    # Clients that cut text between the halves of a surrogate pair leave what no encoding accepts.
    return found.encode("utf-16", errors="surrogatepass").decode("utf-16", errors="replace")


def ssml(data: dict[str, Any]) -> bool | None:
    """Whether the text is marked up with SSML; None where the client does not say.

    Raises:
        ProtocolError: it is marked up in another way, which would be read aloud.
    """
    text_format = data.get("text_format")
    if text_format is None:
        return None
    if text_format not in ("text", "ssml"):
        raise ProtocolError(f"the text format {shown(text_format)} is not supported; send 'text' or 'ssml'")
    return bool(text_format == "ssml")


def voice(data: dict[str, Any]) -> dict[str, str | None]:
    """The ``name``, ``speaker`` and ``language`` asked for; the library's own class drops some combinations.

    Raises:
        ProtocolError: one of them is no text.
    """
    asked = data.get("voice")
    if asked is None:
        asked = {}
    if not isinstance(asked, dict):
        raise ProtocolError("the event's 'voice' must be an object")
    wish = {key: asked.get(key) for key in ("name", "speaker", "language")}
    for key, value in wish.items():
        if not isinstance(value, str | None):
            raise ProtocolError(f"the voice's {key!r} must be a text")
    return wish
