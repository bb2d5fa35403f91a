"""Notices that a peer has gone although nothing is read from it any more. Knows nothing about what is sent.

After the end of a client's input, two cases look alike: a client that closed its sending side and waits for audio,
and one that left. The first must be answered, the second must cost nothing. Only the kernel can tell, once an answer
was refused or (on Unix sockets) at once; asyncio asks it no sooner than at the write after that.
"""

import asyncio
import select
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def watch(writer: asyncio.StreamWriter, gone: Callable[[], None]) -> Iterator[None]:
    """Call ``gone`` when the connection is reset or closed in both directions. Does nothing where it cannot be known.

    An epoll set that asks for no event at all still reports hang-ups and errors, and can itself be waited for.
    """
    peer = writer.get_extra_info("socket")
    if peer is None or not hasattr(select, "epoll"):  # pipes tell by themselves; other systems at the next write
        yield
        return
    loop = asyncio.get_running_loop()
    with select.epoll() as hangups:
        hangups.register(peer.fileno(), 0)

        def report() -> None:
            loop.remove_reader(hangups.fileno())
            gone()

        loop.add_reader(hangups.fileno(), report)
        try:
            yield
        finally:
            loop.remove_reader(hangups.fileno())
