"""Several synthesizers as one, while models come and go on speaking."""

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from tests.engine.speakers import listed
from wyoming_pocket_tts.core.errors import VoiceError
from wyoming_pocket_tts.core.types import Pcm, SynthesisRequest, Synthesizer, Voice
from wyoming_pocket_tts.engine.pipeline import ModelRouter


class Humming(Synthesizer):
    """Says its own number for every voice that it has."""

    def __init__(self, number: int, *names: str) -> None:
        self.number = number
        self.listed = [voice(name) for name in names]

    def voices(self) -> Sequence[Voice]:
        return self.listed

    def stream(self, request: SynthesisRequest, on_ready: object = None) -> Iterator[Pcm]:
        for _ in range(2):
            yield np.full(3, self.number, np.int16)


def voice(name: str, *, installed: bool = True) -> Voice:
    return Voice(name=name, description=name, languages=("en",), sample_rate_hz=16_000, installed=installed)


def names(repertoire: ModelRouter) -> list[tuple[str, bool]]:
    return [(listed.name, listed.installed) for listed in repertoire.voices()]


def test_the_order_stays_whatever_comes_first() -> None:
    expected = {model: [voice(f"{model}-x", installed=False)] for model in ("a", "b")}
    repertoire = ModelRouter(Humming(0, "own"), expected)
    assert names(repertoire) == [("a-x", False), ("b-x", False), ("own", True)]
    repertoire.add("b", Humming(2, "b-x", "b-y"))
    assert names(repertoire) == [("a-x", False), ("b-x", True), ("b-y", True), ("own", True)]
    assert repertoire.models() == {"a": "coming", "b": "ready"}
    repertoire.add("a", Humming(1, "a-x"))
    assert names(repertoire) == [("a-x", True), ("b-x", True), ("b-y", True), ("own", True)]


def test_each_voice_is_spoken_by_whom_it_belongs_to() -> None:
    repertoire = ModelRouter(Humming(0, "own"), {"a": [voice("a-x")]})
    repertoire.add("a", Humming(1, "a-x"))
    for name, number in (("own", 0), ("a-x", 1)):
        blocks = list(repertoire.synthesize(SynthesisRequest(text="?", voice=listed(repertoire, name))))
        assert [int(block[0]) for block in blocks] == [number, number]


def test_what_has_begun_goes_on_when_a_model_comes() -> None:
    repertoire = ModelRouter(Humming(0, "own"), {"a": [voice("own")]})
    speaking = repertoire.synthesize(SynthesisRequest(text="?", voice=repertoire.voices()[-1]))
    first = next(speaking)
    repertoire.add("a", Humming(1, "own"))
    assert [int(block[0]) for block in (first, *speaking)] == [0, 0]


def test_the_voice_of_a_model_that_has_not_come_is_refused() -> None:
    repertoire = ModelRouter(Humming(0, "own"), {"a": [voice("a-x", installed=False)]})
    with pytest.raises(VoiceError, match="'a-x' is not there"):
        next(repertoire.synthesize(SynthesisRequest(text="?", voice=listed(repertoire, "a-x"))))
