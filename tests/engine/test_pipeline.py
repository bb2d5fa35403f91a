"""The narrator: what reaches the engine, and what becomes of its audio."""

import logging
from collections.abc import Iterator, Sequence
from ipaddress import ip_network

import numpy as np
import pytest

from tests.support.tone import ToneSynthesizer
from wyoming_pocket_tts.core.errors import ModelError, VoiceError
from wyoming_pocket_tts.core.types import (
    OptionOverrides,
    Pcm,
    Pending,
    SynthesisOptions,
    SynthesisRequest,
    TextOptions,
    Voice,
    close,
)
from wyoming_pocket_tts.engine.pipeline import SynthesisPipeline
from wyoming_pocket_tts.server.segments import RequestBuilder
from wyoming_pocket_tts.text.ssml import SsmlReader
from wyoming_pocket_tts.voices.catalog import ConfiguredVoice, Satellite, VoiceCatalog
from wyoming_pocket_tts.voices.matching import VoiceMatch

VOICES = (
    ConfiguredVoice(name="Low", engine_voices=("tone-low",), overrides=OptionOverrides(temperature=0.1)),
    ConfiguredVoice(name="Ton", engine_voices=("ton",), shown_language="de-AT"),
    ConfiguredVoice(name="Away", engine_voices=("own-english-away",)),
)
SATELLITES = (
    Satellite(name="Kitchen", voice="Low", overrides=OptionOverrides(volume_db=-20, speed=2, rate_hz=8_000)),
    Satellite(name="Office", voice="Ton (heiter)", networks=(ip_network("10.0.0.0/8"),), listed=False),
)


class Recorder(ToneSynthesizer):
    """Beeps, and keeps the requests and its iterators, so that nothing but a call closes them."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[SynthesisRequest] = []
        self.speeches: list[Iterator[Pcm]] = []
        self.closed = 0

    def stream(self, request: SynthesisRequest, on_ready: object = None) -> Iterator[Pcm]:
        self.speeches.append(self._speak(request))
        return self.speeches[-1]

    def _speak(self, request: SynthesisRequest) -> Iterator[Pcm]:
        self.requests.append(request)
        try:
            yield from super().stream(request)
        finally:
            self.closed += 1


def as_written(text: str, language: str, reading: TextOptions) -> str:
    return text if reading == TextOptions() else f"{text}|{language}|{reading.emoji}"


def narrator(engine: ToneSynthesizer) -> tuple[SynthesisPipeline, VoiceCatalog]:
    cast = VoiceCatalog(engine.voices, voices=VOICES, satellites=SATELLITES)
    return SynthesisPipeline(engine, cast, normalize=as_written), cast


def asked(choice: VoiceMatch, text: str = "Good morning") -> SynthesisRequest:
    return SynthesisRequest(text=text, voice=choice.voice, speaker=choice.speaker, options=choice.options)


def together(blocks: Iterator[Pcm]) -> Pcm:
    return np.concatenate([np.zeros(0, np.int16), *blocks])


def test_it_lists_everybody_in_the_cast() -> None:
    narrating, cast = narrator(ToneSynthesizer())
    assert narrating.voices() == cast.voices()


def test_speech_in_a_plain_manner_is_the_engines_own_block_for_block() -> None:
    engine = ToneSynthesizer()
    narrating, cast = narrator(engine)
    plain = [voice for voice in engine.voices() if voice.name == "tone-high"]
    expected = list(engine.synthesize(SynthesisRequest(text="Good morning", voice=plain[0])))
    spoken = list(narrating.synthesize(asked(cast.resolve(name="tone-high"))))
    assert [block.tolist() for block in spoken] == [block.tolist() for block in expected]


def test_the_engine_is_asked_for_its_own_voice_in_the_style_and_with_the_manner() -> None:
    engine = Recorder()
    narrating, cast = narrator(engine)
    for name in ("Low", "Ton (heiter)", "Kitchen"):
        together(narrating.synthesize(asked(cast.resolve(name=name))))
    together(narrating.synthesize(asked(cast.resolve(address="10.0.0.1"))))
    assert [(request.voice.name, request.speaker) for request in engine.requests] == [
        ("tone-low", None),
        ("ton", "heiter"),
        ("tone-low", None),
        ("ton", "heiter"),
    ]
    assert all(request.voice in engine.voices() for request in engine.requests)
    assert engine.requests[0].options.temperature == 0.1


def test_a_style_is_spoken_also_for_those_who_give_its_voice_alone() -> None:
    engine = Recorder()
    narrating, _ = narrator(engine)
    style = next(each for each in narrating.voices() if each.name == "Ton (heiter)")
    together(narrating.synthesize(SynthesisRequest(text="a", voice=style)))
    assert engine.requests[0].speaker == "heiter"


def test_audio_is_shaped_as_the_manner_says() -> None:
    engine = ToneSynthesizer()
    narrating, cast = narrator(engine)
    plain = together(narrating.synthesize(asked(cast.resolve(name="Low"), "A longer text, a second or so of speech.")))
    shaped = together(
        narrating.synthesize(asked(cast.resolve(name="Kitchen"), "A longer text, a second or so of speech."))
    )
    assert len(shaped) == pytest.approx(len(plain) / 4, rel=0.02)  # twice as fast, at half the rate
    level = float(np.sqrt(np.mean(np.square(shaped[400:-400], dtype=np.float64))))
    plain_level = float(np.sqrt(np.mean(np.square(plain, dtype=np.float64))))
    assert level == pytest.approx(plain_level / 10, rel=0.1)


@pytest.mark.parametrize(
    "whisper",
    [
        "<prosody volume='silent'>This is not heard</prosody>",
        "<prosody volume='x-soft'>" * 6 + "This is not heard" + "</prosody>" * 6,
        "<prosody volume='silent'><prosody volume='+999999dB'>This is not heard</prosody></prosody>",
    ],
)
def test_a_document_may_ask_for_silence(whisper: str) -> None:
    narrating, cast = narrator(ToneSynthesizer())
    direction = RequestBuilder(cast.resolve(name="Kitchen"), cast.resolve)
    document = SsmlReader("en")
    pieces = [*document.feed(f"<speak>This is heard. {whisper}</speak>"), *document.finish()]
    heard, not_heard = (together(narrating.synthesize(direction.build(piece))) for piece in pieces)
    assert np.abs(heard).max() > 500
    assert len(not_heard) > 500
    assert np.abs(not_heard).max() <= 1


def test_the_text_is_read_in_the_language_that_the_voice_shows_or_the_text_has() -> None:
    engine = Recorder()
    narrating, _ = narrator(engine)
    voice = next(each for each in narrating.voices() if each.name == "Ton")
    options = SynthesisOptions(text=TextOptions(emoji="speak"))
    together(narrating.synthesize(SynthesisRequest(text="a", voice=voice, options=options)))
    together(narrating.synthesize(SynthesisRequest(text="b", voice=voice, options=options, language="fr")))
    assert [request.text for request in engine.requests] == ["a|de-AT|speak", "b|fr|speak"]


@pytest.mark.parametrize("name", ["tone-high", "Kitchen"])
def test_closing_it_closes_the_engine_at_once_shaped_or_not(name: str) -> None:
    engine = Recorder()
    narrating, cast = narrator(engine)
    speech = narrating.synthesize(asked(cast.resolve(name=name), "A text that takes several blocks to say" * 4))
    assert engine.requests == [], "nothing happens before the first block"
    next(speech)
    assert engine.closed == 0
    close(speech)
    assert engine.closed == 1


@pytest.mark.parametrize("name", ["tone-high", "Kitchen"])
def test_what_fails_in_the_engine_comes_out_and_everything_is_closed(name: str) -> None:
    failing = ToneSynthesizer(failure=lambda _, block: ModelError("broken") if block == 2 else None)
    narrating, cast = narrator(failing)
    with pytest.raises(ModelError, match="broken"):
        together(narrating.synthesize(asked(cast.resolve(name=name), "A text that takes several blocks to say")))
    assert failing.journal.count("end") == 1


def test_shaping_that_never_begins_leaves_nothing_open() -> None:
    engine = Recorder()

    def broken(blocks: Iterator[Pcm | Pending], rate_hz: int, options: SynthesisOptions) -> Iterator[Pcm | Pending]:
        next(blocks)
        raise ModelError("no such library")

    cast = VoiceCatalog(engine.voices)
    with pytest.raises(ModelError, match="no such library"):
        together(
            SynthesisPipeline(engine, cast, normalize=as_written, effects=broken).synthesize(asked(cast.resolve()))
        )
    assert engine.closed == 1


def test_a_voice_that_left_or_has_not_come_is_named() -> None:
    voices: list[Voice] = list(ToneSynthesizer().voices())

    class Leaving(ToneSynthesizer):
        def voices(self) -> Sequence[Voice]:
            return voices

    narrating, cast = narrator(Leaving())
    request = asked(cast.resolve(name="tone-high"))
    voices[:] = voices[:1]
    assert next(narrating.synthesize(request)).any(), "an answer ends in the voice that it began with"
    away = next(voice for voice in narrating.voices() if voice.name == "Away")
    with pytest.raises(VoiceError, match="'Away' is not installed yet"):
        next(narrating.synthesize(SynthesisRequest(text="a", voice=away)))


def test_texts_are_read_aloud_unless_told_otherwise() -> None:
    engine = Recorder()
    cast = VoiceCatalog(engine.voices)
    narrating = SynthesisPipeline(engine, cast)
    choice = cast.resolve(name="tone-low")
    together(narrating.synthesize(asked(choice, "It is 5 %.")))
    together(
        narrating.synthesize(
            SynthesisRequest(
                text="It is 5 %.", voice=choice.voice, options=SynthesisOptions(text=TextOptions(normalize=False))
            )
        )
    )
    assert [request.text for request in engine.requests] == ["It is five percent.", "It is 5 %."]


def test_what_a_voice_is_given_to_say_is_told_to_the_debug_log_alone(caplog: pytest.LogCaptureFixture) -> None:
    engine = ToneSynthesizer()
    cast = VoiceCatalog(engine.voices, voices=VOICES, satellites=SATELLITES)
    narrating = SynthesisPipeline(engine, cast)
    with caplog.at_level(logging.DEBUG, "wyoming_pocket_tts"):
        together(narrating.synthesize(asked(cast.resolve(name="Kitchen"), "It is 5 °C.")))
        together(narrating.synthesize(asked(cast.resolve(name="Low"), "Fine.")))
    told = [(record.levelno, record.getMessage()) for record in caplog.records]
    assert told == [
        (logging.DEBUG, "'tone-low' says 'It is five degrees Celsius.' (written 'It is 5 °C.')"),
        (logging.DEBUG, "'tone-low' says 'Fine.'"),
    ]
