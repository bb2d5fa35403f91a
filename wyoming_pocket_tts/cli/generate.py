"""Generate: embedded voice or Pocket TTS into a WAV."""

import shlex
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import yaml
from numpy.typing import NDArray

from wyoming_pocket_tts.audio.effects import shape, silence
from wyoming_pocket_tts.audio.files import AudioFormat, open_wav
from wyoming_pocket_tts.cli.model_choice import ModelSelection, checked_voice, load, names_pocket_voice
from wyoming_pocket_tts.cli.progress import StatusLine
from wyoming_pocket_tts.config.schema import Limits, Settings
from wyoming_pocket_tts.core.errors import ConfigError, EmptyText, VoiceError
from wyoming_pocket_tts.core.types import SILENT_DB, Pcm, SynthesisOptions, Synthesizer, TextOptions
from wyoming_pocket_tts.pocket.text import MAX_TOKENS
from wyoming_pocket_tts.server.response import PauseTracker, RequestBuilder, SynthesisPipeline, primary_language
from wyoming_pocket_tts.text.normalization.pipeline import normalize_text
from wyoming_pocket_tts.text.reader import segment_reader_for
from wyoming_pocket_tts.text.segments import ProsodyStyle, Segment
from wyoming_pocket_tts.voices.matching import VoiceMatch, same_name
from wyoming_pocket_tts.voices.resolver import ResolvedVoices, resolve_voices

if TYPE_CHECKING:
    from wyoming_pocket_tts.pocket.model import TTSModel
    from wyoming_pocket_tts.pocket.voice_state import VoiceState


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationOptions:
    """What was said about how to speak; None where nothing was.

    Attributes:
        frames_after_eos: frames of 80 ms after the end of a chunk.
        max_tokens: tokens of a chunk.
        continuity_seconds: how much of a chunk's end the next one hears.
        seed: what the noise begins with.
    """

    frames_after_eos: int | None = None
    max_tokens: int | None = None
    continuity_seconds: float | None = None
    seed: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateOptions:
    """What somebody wants to hear.

    Attributes:
        text: what to say, ``-`` for what standard input says; None when nothing was given.
        voice: who is to say it; None when nobody was named.
        model: what was said about Pocket TTS's model.
        manner: what was said about how that one speaks.
        output: a WAV file, or ``-`` for standard output.
        settings: the service's: its voices and satellites, and what becomes of texts.
    """

    text: str | None
    voice: str | None
    model: ModelSelection
    manner: GenerationOptions
    output: str
    settings: Settings = field(default_factory=Settings)


Tell = Callable[[str], None]


def generate_speech(
    wanted: GenerateOptions, *, load_embedded: Callable[[], Synthesizer], quiet: bool, complain: Tell = lambda _: None
) -> str:
    """Speak, and tell in a line or two how it went; ``complain`` takes what the text asks for in vain.

    Raises:
        ConfigError: there is no text, or options do not fit together.
        SpeechError: the voice, the text or the model cannot be used, or the file cannot be written.
    """
    voice = wanted.voice or wanted.settings.voice.default
    pocket_voice = voice is not None and names_pocket_voice(voice) and not _is_of_settings(voice, wanted.settings)
    asked_for = wanted.model != ModelSelection() or wanted.manner != GenerationOptions()
    if wanted.text is None and not (asked_for or pocket_voice):
        raise ConfigError("there is no text: give one, or - to read it from standard input")
    text = sys.stdin.read() if wanted.text == "-" else wanted.text
    if text is None or asked_for or pocket_voice:
        # The settings' default voice may be an embedded one; with Pocket TTS it was not meant.
        speaker = voice if pocket_voice else wanted.voice
        reading = wanted.settings.text.as_reading()
        spoken = speak_with_pocket(
            text,
            speaker,
            wanted.model,
            wanted.manner,
            output=wanted.output,
            quiet=quiet,
            reading=reading,
            tell=complain,
        )
        return str(spoken)
    return _speak_embedded(text, wanted, OfflineSynthesizer(load_embedded(), wanted.settings), complain)


def _is_of_settings(voice: str, settings: Settings) -> bool:
    return any(same_name(voice, name) for name in (*settings.voices, *settings.satellites))


class OfflineSynthesizer:
    """The embedded voices, and everybody in the settings for whom one of them speaks."""

    def __init__(self, embedded: Synthesizer, settings: Settings) -> None:
        """Cast the settings; loads nothing."""
        self._embedded = embedded
        self._casting: ResolvedVoices = resolve_voices(settings, embedded=[voice.name for voice in embedded.voices()])
        self._cast = self._casting.cast(embedded.voices)
        self._narrator = SynthesisPipeline(embedded, self._cast)

    def find(self, name: str | None) -> VoiceMatch:
        """Find who is called so, or the default voice for None.

        Raises:
            VoiceError: there is nobody, or only a model could speak. A person at the command line wants to know; a
                server speaks with another voice.
        """
        satellite = next(
            (each for each in self._casting.satellites if name is not None and same_name(each.name, name)), None
        )
        if satellite is not None:
            choice = self._cast.choose(satellite=satellite.name)
            wanted = satellite.voice or self._casting.default
        else:
            choice = self._cast.choose(name=name)
            wanted = name or self._casting.default
        if choice.warnings:
            raise VoiceError(self._why_not(name or wanted or "", wanted or ""))
        return choice

    def speak(self, text: str, choice: VoiceMatch, *, tell: Tell) -> Iterator[Pcm]:
        """Yield the speech block by block, at ``rate_of(choice)``; ``tell`` gets what the text asks for in vain.

        Raises:
            SpeechError: the text cannot be spoken.
        """
        direction = RequestBuilder(choice, self._cast.choose)
        silence = PauseTracker(choice.manner.pauses, rate_hz=direction.rate_hz, most_seconds=Limits().pause_seconds)
        is_heard = False
        for piece in pieces_of(text, choice.voice.languages[0], tell=tell):
            silence.piece_begins(piece)
            for block in self._narrator.synthesize(direction.request(piece)) if piece.text.strip() else ():
                silence.sound_comes()
                yield from _zeros(silence)
                yield block
                is_heard = True
        for warning in direction.warnings():
            tell(warning.what)
        if is_heard:
            silence.nothing_follows()
            yield from _zeros(silence)

    def _why_not(self, asked: str, wanted: str) -> str:
        """Why somebody cannot speak here."""
        of_settings = next((voice for voice in self._casting.voices if same_name(voice.name, wanted)), None)
        problems = [
            each.text for each in self._casting.problems if of_settings and each.key[1:2] == (of_settings.name,)
        ]
        if problems:
            return f"the voice '{wanted}' of the settings cannot speak: {'; '.join(problems)}"
        if of_settings is not None or wanted in self._casting.needed():
            whose = f"'{asked}'" if same_name(asked, wanted) else f"'{asked}' speaks with '{wanted}', which"
            source = of_settings.source if of_settings is not None else None
            made_of = f", or name what the voice is made of: --voice {source.path}" if source and source.path else ""
            return (
                f"{whose} needs a model of Pocket TTS, which a running service has: "
                f"wyoming-pocket-tts say --voice {shlex.quote(asked)} TEXT{made_of}"
            )
        own = [*(voice.name for voice in self._casting.voices), *(each.name for each in self._casting.satellites)]
        there = [voice.name for voice in self._embedded.voices() if voice.installed]
        return f"no voice is called '{wanted}'; there are: {', '.join([*own, *there])}"


def _speak_embedded(text: str, wanted: GenerateOptions, stage: OfflineSynthesizer, complain: Tell) -> str:
    choice = stage.find(wanted.voice)
    audio_format = AudioFormat(rate_hz=rate_of(choice))
    with open_wav(wanted.output) as wav:
        for block in stage.speak(text, choice, tell=complain):
            wav.write(block.astype("<i2").tobytes(), audio_format)
        if not wav.seconds:
            raise EmptyText("the text holds nothing to say")
        wav.finish(audio_format)
    return f"{wav.seconds:.2f} s of speech by '{choice.voice.name}' in {wanted.output}"


_FULL_SCALE = 32767


@dataclass(frozen=True, slots=True)
class GenerateResult:
    """How it went."""

    output: str
    voice: str
    seconds: float
    """Length of the speech."""
    took_seconds: float
    """From the first word to the last, without loading."""
    advice: str | None
    """What to do next; None where no person reads it."""

    def __str__(self) -> str:
        speed = self.seconds / max(self.took_seconds, 1e-3)
        told = (
            f"{self.seconds:.2f} s of speech by '{self.voice}' in {self.output}, {speed:.1f} times as fast as it plays"
        )
        return f"{told}\n{self.advice}" if self.advice else told


def default_text(language_code: str) -> str:
    """A few words in that language."""
    texts = yaml.safe_load(Path(__file__).with_name("texts.yaml").read_text(encoding="utf-8"))
    return str(texts[language_code])


def speak_with_pocket(
    text: str | None,
    voice: str | None,
    choice: ModelSelection,
    manner: GenerationOptions,
    *,
    output: str,
    quiet: bool,
    reading: TextOptions | None = None,
    tell: Tell = lambda _: None,
) -> GenerateResult:
    """Load the model, speak, and write the file; it gets its name when it is complete.

    Args:
        text: what to say, plain or SSML; None for a few words in the model's language.
        voice: a ready-made voice, a file or an address; None for the model's own.
        choice: the model.
        manner: how to speak.
        output: a WAV file, or ``-`` for standard output.
        quiet: show no progress.
        reading: what becomes of the text before the model gets it; None for what a person would say.
        tell: is given what the text asks for in vain.

    Raises:
        SpeechError: the text, the voice or the model cannot be used, or the file cannot be written. There is no new
            file then.
    """
    text = default_text(choice.language_code()) if text is None else text
    if not text.strip():
        raise EmptyText("the text holds nothing to say")
    speaker = choice.default_voice() if voice is None else checked_voice(voice)
    stretches = styled_spans(text, choice.language_code(), reading or TextOptions(), tell=tell)
    with StatusLine(quiet=quiet) as status:
        status.show("Loading the model ...")
        model = load(choice, quiet=quiet)
        status.show(f"Loading the voice {speaker} ...")
        state = model.get_state_for_audio_prompt(speaker)
        if manner.seed is not None:
            model.seed(manner.seed)
            model.max_decoder_frames_per_call = 1  # in 8 bits a frame depends on those decoded with it
        audio_format = AudioFormat(rate_hz=model.sample_rate)
        started = time.perf_counter()
        stream = _speech(model, state, stretches, manner)
        # Closing the stream joins its thread: also when somebody presses Ctrl+C, wherever that strikes.
        with open_wav(output) as wav, closing(stream):
            for samples in stream:
                wav.write(samples.astype("<i2").tobytes(), audio_format)
                took_seconds = time.perf_counter() - started
                status.show(
                    f"{wav.seconds:.1f} s of speech, {wav.seconds / took_seconds:.1f} times as fast as it plays"
                )
            if not wav.seconds:
                raise EmptyText("the text holds nothing to say")
            wav.finish(audio_format)
        advice = _advice(speaker, choice) if status.watched else None
    return GenerateResult(output, speaker, wav.seconds, time.perf_counter() - started, advice)


@dataclass(frozen=True, slots=True)
class StyledSpan:
    """Text to be spoken in one go."""

    text: str
    """As it is said; empty for silence at the end."""
    pause_seconds: float
    """Silence ahead of it."""
    manner: SynthesisOptions
    """Its speed and volume."""


def _speech(
    model: "TTSModel", state: "VoiceState", stretches: Sequence[StyledSpan], manner: GenerationOptions
) -> Generator[Pcm, None, None]:
    """Blocks of all stretches, each in its style, with the silence between them."""
    is_heard = False
    for stretch in stretches:
        if stretch.pause_seconds and (is_heard or stretch.text):
            yield silence(stretch.pause_seconds, model.sample_rate)
        if stretch.text:
            with closing(_stream(model, state, stretch.text, manner)) as stream:
                yield from shape(
                    (_in_16_bits(np.asarray(samples)) for samples in stream), model.sample_rate, stretch.manner
                )
            is_heard = True


def _stream(model: "TTSModel", state: "VoiceState", text: str, manner: GenerationOptions) -> Generator[Any, None, None]:
    stream = model.generate_audio_stream(
        state,
        text,
        manner.max_tokens or MAX_TOKENS,
        manner.frames_after_eos,
        continuity_seconds=manner.continuity_seconds or 0.0,
    )
    return cast("Generator[Any, None, None]", stream)  # upstream promises an iterator; it is one that can be closed


def pcm(samples: NDArray[np.float32]) -> bytes:
    """Samples of -1 to 1 as WAV files hold them."""
    return _in_16_bits(samples).astype("<i2").tobytes()


def _in_16_bits(samples: NDArray[np.float32]) -> Pcm:
    return np.rint(np.clip(samples, -1, 1) * _FULL_SCALE).astype(np.int16)


def _advice(speaker: str, choice: ModelSelection) -> str:
    if "/" not in speaker and "." not in speaker:
        return "Next: another voice (`wyoming-pocket-tts models` lists them), or a recording of one: --voice FILE.wav"
    if speaker.endswith(".safetensors") or choice.released is None:
        return "Next: a text from another program with `... | wyoming-pocket-tts generate --voice ... -`"
    return f"Next: keep this voice, to have it at once: wyoming-pocket-tts export-voice {speaker} NAME.safetensors"


def rate_of(choice: VoiceMatch) -> int:
    """Samples a second of what ``Stage.speak`` yields."""
    return choice.manner.rate_hz or choice.voice.sample_rate_hz


def pieces_of(text: str, language: str, *, tell: Tell) -> Iterator[Segment]:
    """What of a text, plain or SSML, is spoken at once; ``tell`` gets what is wrong with its markup."""
    reader = segment_reader_for(primary_language(language), ssml=None)
    yield from (*reader.feed(text), *reader.finish())
    for problem in reader.problems():
        tell(problem.what)


def _zeros(silence: PauseTracker) -> Iterator[Pcm]:
    if samples := silence.take(silence.owed_samples):
        yield np.zeros(samples, np.int16)


_SLOWEST, _FASTEST, _LOUDEST_DB = 0.5, 2.0, 20.0


def styled_spans(text: str, language: str, reading: TextOptions, *, tell: Tell) -> list[StyledSpan]:
    """Cut a text and read it aloud.

    Args:
        text: what to say.
        language: what the voice speaks, as two letters.
        reading: what becomes of the text.
        tell: is given what the text asks for in vain, each once.
    """
    found: list[StyledSpan] = []
    last: ProsodyStyle | None = None
    others: set[str] = set()
    for piece in pieces_of(text, language, tell=tell):
        said = normalize_text(piece.text, piece.style.language or language, reading).strip()
        if piece.style.voice is not None and piece.style.voice not in others:
            others.add(piece.style.voice)
            tell(
                f"the text asks for voice {piece.style.voice!r}; one voice reads it all here, a service changes voices"
            )
        if found and piece.style == last and not piece.pause_seconds:
            before = found.pop()
            found.append(StyledSpan(f"{before.text} {said}".strip(), before.pause_seconds, before.manner))
        else:
            found.append(StyledSpan(said, piece.pause_seconds, _manner(piece.style)))
        last = piece.style
    return found


def _manner(style: ProsodyStyle) -> SynthesisOptions:
    speed = min(max(style.speed, _SLOWEST), _FASTEST)
    return SynthesisOptions(speed=speed, volume_db=min(max(style.volume_db, SILENT_DB), _LOUDEST_DB))
