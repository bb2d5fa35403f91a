from dataclasses import fields

from wyoming_pocket_tts.core.types import OptionOverrides, SilenceOptions, SynthesisOptions, TextOptions

FULL = OptionOverrides(
    speed=1.5,
    volume_db=0.0,
    rate_hz=16_000,
    temperature=0.0,
    eos_threshold=0.0,
    pause_before=0.0,
    pause_between=0.2,
    pause_after=0.3,
    normalize=False,
    emoji="speak",
    replacements=(("TV", "television"),),
    pronunciations=(("Ng", "Eng"),),
)


def test_nothing_said_changes_nothing() -> None:
    options = FULL.on(SynthesisOptions())
    assert OptionOverrides().on(options) == options
    assert OptionOverrides().on(SynthesisOptions()) == SynthesisOptions()


def test_everything_said_counts_also_what_is_zero_or_false() -> None:
    below = SynthesisOptions(speed=0.5, volume_db=3, temperature=1, eos_threshold=-4, pauses=SilenceOptions(before=1))
    assert FULL.on(below) == SynthesisOptions(
        speed=1.5,
        volume_db=0,
        rate_hz=16_000,
        temperature=0,
        eos_threshold=0,
        pauses=SilenceOptions(before=0, between=0.2, after=0.3),
        text=TextOptions(
            normalize=False,
            emoji="speak",
            replacements=(("TV", "television"),),
            pronunciations=(("Ng", "Eng"),),
        ),
    )
    assert all(getattr(FULL, field.name) is not None for field in fields(FULL)), "a new field belongs into this test"


def test_words_of_two_layers_add_up_and_the_upper_one_wins() -> None:
    below = SynthesisOptions(text=TextOptions(replacements=(("HA", "Home Assistant"), ("tv", "telly"))))
    assert FULL.on(below).text.replacements == (("TV", "television"), ("HA", "Home Assistant"))
