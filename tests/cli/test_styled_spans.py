"""What generate asks of a model: stretches of one style, read aloud, with the silence between them."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from wyoming_pocket_tts.cli import generate as generating
from wyoming_pocket_tts.cli.generate import GenerationOptions, StyledSpan, styled_spans
from wyoming_pocket_tts.cli.model_choice import ModelSelection
from wyoming_pocket_tts.core.types import SynthesisOptions, TextOptions

PLAIN = SynthesisOptions()


def told_by(text: str, reading: TextOptions | None = None) -> tuple[list[StyledSpan], list[str]]:
    told: list[str] = []
    return styled_spans(text, "en", reading or TextOptions(), warn=told.append), told


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two, three! Four", [StyledSpan("One. Two, three! Four", 0, PLAIN)]),
        ("It is 5 °C.", [StyledSpan("It is five degrees Celsius.", 0, PLAIN)]),
        (
            "One. [pause 500ms] Two.[pause]",
            [StyledSpan("One.", 0, PLAIN), StyledSpan("Two.", 0.5, PLAIN), StyledSpan("", 0.5, PLAIN)],
        ),
        (
            "<speak>One two.<prosody rate='50%'>Three four.</prosody></speak>",
            [StyledSpan("One two.", 0, PLAIN), StyledSpan("Three four.", 0, SynthesisOptions(speed=0.5))],
        ),
    ],
)
def test_sentences_of_one_style_stay_together(text: str, expected: list[StyledSpan]) -> None:
    assert told_by(text) == (expected, [])


def test_the_reading_counts() -> None:
    assert told_by("HA.", TextOptions(normalize=False, replacements=(("HA", "Home"),)))[0][0].text == "Home."


def test_what_cannot_be_done_is_told_once() -> None:
    stretches, told = told_by(
        "<speak><voice name='Zoe'>One. Two.</voice> Three. <voice name='Zoe'>Four.</voice><odd/></speak>"
    )
    assert " ".join(stretch.text for stretch in stretches) == "One. Two. Three. Four."
    assert sum("voice 'Zoe'" in line for line in told) == 1
    assert any("odd" in line for line in told)


def test_stretches_are_spoken_one_by_one_with_silence_between_and_in_their_style(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []

    def stream(_state: object, text: str, *_: object, **__: object) -> Iterator[NDArray[np.float32]]:
        said.append(text)
        yield np.full(8_000, 0.5, np.float32)

    model = SimpleNamespace(sample_rate=8_000, get_state_for_audio_prompt=lambda _: None, generate_audio_stream=stream)
    monkeypatch.setattr(generating, "load", lambda *_, **__: model)
    text = "<speak>One. Two.<break time='2s'/><prosody volume='-6dB'>Three.</prosody></speak>"
    output = tmp_path / "out.wav"
    generating.generate_with_pocket(text, "alba", ModelSelection(), GenerationOptions(), output=str(output), quiet=True)
    samples = np.frombuffer(output.read_bytes()[44:], "<i2").reshape(4, 8_000)
    assert said == ["One. Two.", "Three."]
    assert samples[:3, 4_000].tolist() == [16_384, 0, 0]
    assert samples[3, 4_000] == pytest.approx(16_384 / 2, rel=0.01)
