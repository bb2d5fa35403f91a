"""Observers: nobody misses anything, and what is added to the protocol is added everywhere."""

import inspect

import pytest

from wyoming_pocket_tts.core.events import CompositeObserver, NullObserver, Observer, RequestStats

METHODS = [name for name, member in vars(Observer).items() if inspect.isfunction(member) and not name.startswith("_")]
ENDED = RequestStats(
    request="r",
    peer="p",
    outcome="spoken",
    voice="v",
    characters=1,
    audio_seconds=2.0,
    first_audio_seconds=0.1,
    waited_seconds=0.5,
)


class Diary(NullObserver):
    """Writes down what it hears, whatever it is."""

    def __init__(self) -> None:
        self.heard: list[tuple[object, ...]] = []

    def __getattribute__(self, name: str) -> object:
        if name in METHODS:
            return lambda *values: self.heard.append((name, *values))
        return super().__getattribute__(name)


def arguments_of(name: str) -> list[object]:
    kinds: dict[object, object] = {float: 0.5, int: 3, str: "word", RequestStats: ENDED}
    parameters = list(inspect.signature(getattr(Observer, name)).parameters.values())[1:]
    return [kinds[parameter.annotation] for parameter in parameters]


def test_there_is_something_to_hear() -> None:
    assert len(METHODS) >= 9


@pytest.mark.parametrize("name", METHODS)
def test_several_observers_hear_the_same(name: str) -> None:
    first, second = Diary(), Diary()
    getattr(CompositeObserver([first, second]), name)(*arguments_of(name))
    assert first.heard == second.heard == [(name, *arguments_of(name))]


@pytest.mark.parametrize("name", METHODS)
def test_every_hook_is_forwarded(name: str) -> None:
    """A hook that the base alone has would do nothing, silently."""
    assert name in vars(CompositeObserver([]))


def test_the_real_time_factor_needs_audio() -> None:
    assert ENDED.real_time_factor == 0.25
    silent = RequestStats(
        request="r",
        peer="p",
        outcome="cancelled",
        voice=None,
        characters=0,
        audio_seconds=0.0,
        first_audio_seconds=None,
        waited_seconds=0.5,
    )
    assert silent.real_time_factor is None
