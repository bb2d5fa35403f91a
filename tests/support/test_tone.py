import numpy as np
import pytest

from tests.support.tone import VOICES, Entry, Gate, Journal, ToneSynthesizer
from wyoming_pocket_tts.core.errors import ModelError
from wyoming_pocket_tts.core.types import SynthesisRequest

LOW, _, STYLED, AWAY = VOICES


def test_the_same_request_gives_the_same_tone_and_longer_texts_longer_ones() -> None:
    tone = ToneSynthesizer(seconds_per_character=0.1)
    short, again, long = (
        np.concatenate(list(tone.synthesize(SynthesisRequest(text=text, voice=LOW))))
        for text in ("abc", "abc", "abcdef")
    )
    assert np.array_equal(short, again)
    assert (len(short), len(long)) == (4_800, 9_600)
    assert short.dtype == np.int16


def test_blocks_have_the_length_asked_for_and_styles_sound_different() -> None:
    tone = ToneSynthesizer(seconds_per_character=0.1, block_seconds=0.2)
    calm, merry = (
        list(tone.synthesize(SynthesisRequest(text="abc", voice=STYLED, speaker=style))) for style in STYLED.speakers
    )
    assert [len(block) for block in calm] == [3_200, 1_600]
    assert not np.array_equal(calm[0], merry[0])


def test_a_text_without_letters_says_nothing_but_is_noted() -> None:
    tone = ToneSynthesizer()
    assert not list(tone.synthesize(SynthesisRequest(text="...", voice=LOW)))
    assert tone.journal.entries() == [Entry("begin", "..."), Entry("end", "...")]


def test_failures_come_at_their_block_and_closing_is_noted() -> None:
    tone = ToneSynthesizer(failure=lambda _, block: ModelError("burnt out") if block == 1 else None)
    blocks = tone.synthesize(SynthesisRequest(text="A long text", voice=LOW))
    next(blocks)
    with pytest.raises(ModelError, match="burnt out"):
        next(blocks)
    assert [entry.what for entry in tone.journal.entries()] == ["begin", "block", "end"]


def test_a_gate_lets_blocks_through_one_by_one() -> None:
    gate = Gate()
    tone = ToneSynthesizer(gate=lambda _: gate)
    gate.let(1)
    blocks = tone.synthesize(SynthesisRequest(text="A long text", voice=LOW))
    next(blocks)
    gate.open()
    assert len(list(blocks)) == 2


def test_the_voices_cover_what_clients_meet() -> None:
    assert {voice.languages[0][:2] for voice in VOICES if voice.installed} == {"en", "de"}
    assert not AWAY.installed
    assert len({voice.name for voice in VOICES}) == len(VOICES)


def test_a_journal_does_not_grow_for_ever() -> None:
    journal = Journal()
    for number in range(30_000):
        journal.note("block", str(number))
    assert len(journal.entries()) == 20_000
    assert journal.entries()[-1].text == "29999"
