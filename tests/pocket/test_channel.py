"""The pipe between the thread that generates and the one that decodes."""

import threading
from collections.abc import Iterable

import pytest

from wyoming_pocket_tts.pocket.generate import BoundedChannel, ChannelClosed


class Writer:
    """A thread that puts items, and remembers how that went."""

    def __init__(self, channel: BoundedChannel[int], items: Iterable[int]) -> None:
        self.put: list[int] = []
        self.closed = False
        self.progress = threading.Condition()
        self._channel = channel
        self._items = items
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        try:
            for item in self._items:
                self._channel.put(item)
                with self.progress:
                    self.put.append(item)
                    self.progress.notify_all()
            self._channel.finish()
        except ChannelClosed:
            self.closed = True

    def wait_for(self, count: int) -> None:
        with self.progress:
            assert self.progress.wait_for(lambda: len(self.put) >= count, timeout=20)


def test_everything_arrives_in_order() -> None:
    channel: BoundedChannel[int] = BoundedChannel(3)
    writer = Writer(channel, range(1000))
    received: list[int] = []
    while items := channel.take():
        assert len(items) <= 3
        received += items
    writer.thread.join()
    assert received == list(range(1000))


def test_a_reader_can_wait_for_more_but_not_for_what_never_comes() -> None:
    channel: BoundedChannel[int] = BoundedChannel(4)
    taken: list[list[int]] = []

    def read() -> None:
        while items := channel.take(at_least=3):
            taken.append(items)

    reader = threading.Thread(target=read)
    reader.start()
    for item in range(7):
        channel.put(item)
    channel.finish()
    reader.join(20)
    assert [item for items in taken for item in items] == list(range(7))
    assert all(len(items) >= 3 for items in taken[:-1])


def test_nobody_waits_for_more_than_there_is_room_for() -> None:
    channel: BoundedChannel[int] = BoundedChannel(2)
    channel.put(1)
    channel.put(2)
    assert channel.take(at_least=9) == [1, 2]


def test_a_writer_waits_for_room() -> None:
    channel: BoundedChannel[int] = BoundedChannel(2)
    writer = Writer(channel, range(5))
    writer.wait_for(2)
    assert channel.take() == [0, 1]
    writer.wait_for(4)
    assert channel.take() == [2, 3]
    assert channel.take() == [4]
    assert channel.take() == []
    writer.thread.join()


def test_a_reader_that_goes_wakes_a_writer_that_waits() -> None:
    channel: BoundedChannel[int] = BoundedChannel(1)
    writer = Writer(channel, range(5))
    writer.wait_for(1)
    channel.close()
    writer.thread.join(timeout=20)
    assert writer.closed
    with pytest.raises(ChannelClosed):
        channel.put(9)


def test_an_error_arrives_after_what_was_put_before() -> None:
    channel: BoundedChannel[int] = BoundedChannel(4)
    channel.put(1)
    channel.finish(ValueError("broken"))
    assert channel.take() == [1]
    with pytest.raises(ValueError, match="broken"):
        channel.take()


def test_a_reader_can_leave_items_behind() -> None:
    channel: BoundedChannel[int] = BoundedChannel(5)
    for item in range(5):
        channel.put(item)
    channel.finish()
    assert [channel.take(at_most=count) for count in (2, 1, 9, 9)] == [[0, 1], [2], [3, 4], []]
