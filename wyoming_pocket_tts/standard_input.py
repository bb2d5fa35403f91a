"""Text for a client to speak, piece by piece: from the command line or as it is typed. Knows nothing about speech."""

import asyncio
import codecs
import os
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import suppress

_READ_BYTES = 4096


async def pieces_of(text: str) -> AsyncIterator[str]:
    """Yield a text word by word, as a language model would produce it."""
    for word in text.split(" "):
        yield word + " "


async def typed_pieces() -> AsyncIterator[str]:
    """Yield what comes over standard input as soon as it comes, to its end."""
    loop = asyncio.get_running_loop()
    pieces: asyncio.Queue[bytes] = asyncio.Queue()

    def read() -> None:
        # The loop may be gone before the input ends.
        with suppress(RuntimeError):
            while True:
                read = os.read(sys.stdin.fileno(), _READ_BYTES)
                loop.call_soon_threadsafe(pieces.put_nowait, read)
                if not read:
                    return

    # Nobody can wake a thread that waits for a person to type, so nobody joins it: it ends with the process.
    threading.Thread(target=read, name="standard-input", daemon=True).start()
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    while piece := await pieces.get():
        yield decoder.decode(piece)
