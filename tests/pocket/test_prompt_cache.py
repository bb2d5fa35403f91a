"""Voices that were encoded lately are not encoded again."""

import threading
from collections.abc import Callable

import numpy as np
import pytest

from wyoming_pocket_tts.pocket.voice_state import VoiceState, VoiceStateCache


def a_voice() -> VoiceState:
    return VoiceState(layers=(np.zeros((2, 1, 1, 2), np.float32),))


class Encoder:
    def __init__(self) -> None:
        self.encoded: list[str] = []

    def of(self, name: str) -> Callable[[], VoiceState]:
        def encode() -> VoiceState:
            self.encoded.append(name)
            return a_voice()

        return encode


def test_the_least_recently_used_voice_goes() -> None:
    cache, encoder = VoiceStateCache(2), Encoder()
    for name in ["a", "b", "a", "c", "a", "b"]:
        cache.get(name, encoder.of(name))
    assert encoder.encoded == ["a", "b", "c", "b"]


def test_the_same_voice_comes_back() -> None:
    cache, encoder = VoiceStateCache(1), Encoder()
    assert cache.get("a", encoder.of("a")) is cache.get("a", encoder.of("a"))


def test_nothing_is_kept_without_room() -> None:
    cache, encoder = VoiceStateCache(0), Encoder()
    cache.get("a", encoder.of("a"))
    cache.get("a", encoder.of("a"))
    assert encoder.encoded == ["a", "a"]


def test_a_failure_is_not_kept() -> None:
    cache, encoder = VoiceStateCache(2), Encoder()

    def fail() -> VoiceState:
        raise ValueError("no voice")

    with pytest.raises(ValueError, match="no voice"):
        cache.get("a", fail)
    cache.get("a", encoder.of("a"))
    assert encoder.encoded == ["a"]


def test_a_failure_takes_no_other_encoding_of_the_same_voice_with_it() -> None:
    """The one that fails was pushed out of the cache meanwhile, and the voice was asked for anew."""
    cache, encoder = VoiceStateCache(1), Encoder()

    def fail_late() -> VoiceState:
        cache.get("b", encoder.of("b"))
        cache.get("a", encoder.of("a"))
        raise ValueError("no voice")

    with pytest.raises(ValueError, match="no voice"):
        cache.get("a", fail_late)
    cache.get("a", encoder.of("a"))
    assert encoder.encoded == ["b", "a"]


def test_threads_that_want_the_same_voice_wait_for_one_encoding() -> None:
    cache = VoiceStateCache(2)
    started, go_on = threading.Event(), threading.Event()
    encodings: list[int] = []
    voices: list[VoiceState] = []

    def encode() -> VoiceState:
        encodings.append(1)
        started.set()
        assert go_on.wait(20)
        return a_voice()

    threads = [threading.Thread(target=lambda: voices.append(cache.get("a", encode))) for _ in range(4)]
    threads[0].start()
    assert started.wait(20)
    for thread in threads[1:]:
        thread.start()
    go_on.set()
    for thread in threads:
        thread.join(20)
    assert len(encodings) == 1
    assert len({id(voice) for voice in voices}) == 1
    assert len(voices) == 4
