"""Tells whether a server is well. Knows nothing about who wants to know."""

from wyoming_pocket_tts.client import describe
from wyoming_pocket_tts.errors import Overloaded


async def check(uri: str, *, seconds: float) -> str:
    """Ask a server what it is, and return that in a sentence.

    A server without room for another client is well: it speaks, and whoever restarts it breaks off what it says.

    Raises:
        ConfigError: the URI is none that a client can connect to.
        SpeechError: the server cannot be reached, offers no voice, or does not answer within the seconds.
    """
    try:
        return str(await describe(uri, seconds=seconds))
    except Overloaded as error:
        return f"The server at {uri} is there, and has no room for another client now: {error}."
