"""Generate: embedded voice or Pocket TTS into a WAV."""

import shlex
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import typer
import yaml
from numpy.typing import NDArray

from wyoming_pocket_tts.audio.effects import shape, silence
from wyoming_pocket_tts.audio.files import AudioFormat, open_wav
from wyoming_pocket_tts.cli import options
from wyoming_pocket_tts.cli.console import StatusLine, Tell, print_error, print_result
from wyoming_pocket_tts.cli.model_choice import ModelSelection, checked_voice, load, names_pocket_voice
from wyoming_pocket_tts.config.loader import read_settings
from wyoming_pocket_tts.config.schema import Settings
from wyoming_pocket_tts.core.errors import ConfigError, EmptyText, VoiceError
from wyoming_pocket_tts.core.types import SILENT_DB, Pcm, SynthesisOptions, Synthesizer, TextOptions
from wyoming_pocket_tts.engine.pipeline import SynthesisPipeline
from wyoming_pocket_tts.kokoro.synthesizer import load_kokoro
from wyoming_pocket_tts.pocket.model import TTSModel
from wyoming_pocket_tts.pocket.text import MAX_TOKENS
from wyoming_pocket_tts.pocket.voice_state import VoiceState
from wyoming_pocket_tts.server.segments import PauseTracker, RequestBuilder
from wyoming_pocket_tts.text.normalization.pipeline import normalize_text
from wyoming_pocket_tts.text.reader import segment_reader_for
from wyoming_pocket_tts.text.segments import ProsodyStyle, Segment
from wyoming_pocket_tts.voices.matching import VoiceMatch, same_name
from wyoming_pocket_tts.voices.resolver import resolve_voices

_FULL_SCALE = 32767
_SLOWEST, _FASTEST, _LOUDEST_DB = 0.5, 2.0, 20.0
_NOTHING_TO_SAY = "the text holds nothing to say"

app = typer.Typer(rich_markup_mode=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationOptions:
    """Options for generation with Pocket TTS."""

    frames_after_eos: int | None = None
    max_tokens: int | None = None
    continuity_seconds: float | None = None
    seed: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateOptions:
    """Options of the command; None where an option was not given."""

    text: str | None
    """``-`` for standard input."""
    voice: str | None
    model: ModelSelection
    generation: GenerationOptions
    output: str
    """A WAV file, or ``-`` for standard output."""
    settings: Settings = field(default_factory=Settings)
    """Voices, satellites and text options of the service."""


@app.command()
def generate(
    text: options.OptionalTextArgument = None,
    *,
    text_option: options.TextOption = None,
    output: options.OutputOption = "speech.wav",
    voice: options.SpeakerOption = None,
    quiet: options.QuietFlag = False,
    language: options.LanguageOption = None,
    config: options.ModelConfigOption = None,
    checkpoint: options.CheckpointOption = None,
    sampler_decode_steps: options.SamplerStepsOption = None,
    lsd_decode_steps: options.LsdStepsOption = None,
    temperature: options.TemperatureOption = None,
    noise_clamp: options.NoiseClampOption = None,
    eos_threshold: options.EosThresholdOption = None,
    frames_after_eos: options.FramesAfterEosOption = None,
    max_tokens: options.MaxTokensOption = None,
    continuity: options.ContinuityOption = None,
    seed: options.SeedOption = None,
    device: options.DeviceOption = None,
    quantize: options.QuantizeFlag = False,
    settings_file: options.SettingsOption = None,
    data_dir: options.DataDirOption = None,
) -> None:
    """Turn text into a WAV file, without a server.

    The embedded voice speaks, unless the voice or one of the other options asks for Pocket TTS.
    """
    if text is not None and text_option is not None:
        raise typer.BadParameter("give the text once: as TEXT or with --text")
    settings = read_settings(settings_file, {"data_dir": data_dir}, log_level="error" if quiet else "warning")
    wanted = GenerateOptions(
        text=text if text_option is None else text_option,
        voice=voice,
        model=ModelSelection(
            language=language,
            config=config,
            checkpoint=checkpoint,
            sampler_decode_steps=sampler_decode_steps,
            lsd_decode_steps=lsd_decode_steps,
            temperature=temperature,
            noise_clamp=noise_clamp,
            eos_threshold=eos_threshold,
            quantize=quantize,
            device=device,
        ),
        generation=GenerationOptions(
            frames_after_eos=frames_after_eos, max_tokens=max_tokens, continuity_seconds=continuity, seed=seed
        ),
        output=output,
        settings=settings,
    )
    warn = (lambda _: None) if quiet else print_error
    line = generate_speech(wanted, load_embedded=load_kokoro, quiet=quiet, warn=warn)
    if not quiet:
        print_result(line, output)


def generate_speech(
    wanted: GenerateOptions, *, load_embedded: Callable[[], Synthesizer], quiet: bool, warn: Tell = lambda _: None
) -> str:
    """Write the file and return a summary; ``warn`` gets what the text asks for and cannot be done."""
    settings = wanted.settings
    voice = wanted.voice or settings.voice.default
    of_settings = any(same_name(voice or "", name) for name in (*settings.voices, *settings.satellites))
    pocket_voice = voice is not None and names_pocket_voice(voice) and not of_settings
    asked_for = wanted.model != ModelSelection() or wanted.generation != GenerationOptions()
    if wanted.text is None and not (asked_for or pocket_voice):
        raise ConfigError("there is no text: give one, or - to read it from standard input")
    text = sys.stdin.read() if wanted.text == "-" else wanted.text
    if text is None or asked_for or pocket_voice:
        # The default voice of the settings may be an embedded one, which Pocket TTS does not have.
        speaker = voice if pocket_voice else wanted.voice
        reading, output = settings.text.as_options(), wanted.output
        return generate_with_pocket(
            text, speaker, wanted.model, wanted.generation, output=output, quiet=quiet, reading=reading, warn=warn
        )
    synthesizer = OfflineSynthesizer(load_embedded(), settings)
    choice = synthesizer.find(wanted.voice)
    audio_format = AudioFormat(rate_hz=choice.options.rate_hz or choice.voice.sample_rate_hz)
    with open_wav(wanted.output) as wav:
        for block in synthesizer.synthesize(text, choice, warn=warn):
            wav.write(block.astype("<i2").tobytes(), audio_format)
        if not wav.seconds:
            raise EmptyText(_NOTHING_TO_SAY)
        wav.finish(audio_format)
    return f"{wav.seconds:.2f} s of speech by '{choice.voice.name}' in {wanted.output}"


class OfflineSynthesizer:
    """The embedded voices, and the voices and satellites of the settings that use one of them."""

    def __init__(self, embedded: Synthesizer, settings: Settings) -> None:
        self._embedded = embedded
        self._resolved = resolve_voices(settings, embedded=[voice.name for voice in embedded.voices()])
        self._catalog = self._resolved.cast(embedded.voices)
        self._narrator = SynthesisPipeline(embedded, self._catalog)

    def find(self, name: str | None) -> VoiceMatch:
        satellites = self._resolved.satellites
        satellite = next((each for each in satellites if name is not None and same_name(each.name, name)), None)
        if satellite is not None:
            choice = self._catalog.resolve(satellite=satellite.name)
            wanted = satellite.voice or self._resolved.default
        else:
            choice = self._catalog.resolve(name=name)
            wanted = name or self._resolved.default
        if choice.warnings:
            raise VoiceError(self._why_not(name or wanted or "", wanted or ""))
        return choice

    def synthesize(self, text: str, choice: VoiceMatch, *, warn: Tell) -> Iterator[Pcm]:
        """Yield blocks at the rate of the options or else of the voice; ``warn`` gets problems of the text."""
        direction = RequestBuilder(choice, self._catalog.resolve)
        pauses = PauseTracker(choice.options.pauses, rate_hz=direction.rate_hz)
        has_audio = False
        for piece in _segments(text, choice.voice.languages[0], warn):
            pauses.begin_segment(piece)
            for block in self._narrator.synthesize(direction.build(piece)) if piece.text.strip() else ():
                pauses.begin_sound()
                yield from _zeros(pauses)
                yield block
                has_audio = True
        for warning in direction.warnings():
            warn(warning.what)
        if has_audio:
            pauses.end()
            yield from _zeros(pauses)

    def _why_not(self, asked: str, wanted: str) -> str:
        resolved = self._resolved
        of_settings = next((voice for voice in resolved.voices if same_name(voice.name, wanted)), None)
        problems = [each.text for each in resolved.problems if of_settings and each.key[1:2] == (of_settings.name,)]
        if problems:
            return f"the voice '{wanted}' of the settings cannot speak: {'; '.join(problems)}"
        if of_settings is not None or wanted in resolved.needed():
            subject = f"'{asked}'" if same_name(asked, wanted) else f"'{asked}' speaks with '{wanted}', which"
            source = of_settings.source if of_settings is not None else None
            made_of = f", or name what the voice is made of: --voice {source.path}" if source and source.path else ""
            return (
                f"{subject} needs a model of Pocket TTS, which a running service has: "
                f"wyoming-pocket-tts say --voice {shlex.quote(asked)} TEXT{made_of}"
            )
        own = [*(voice.name for voice in resolved.voices), *(each.name for each in resolved.satellites)]
        installed = [voice.name for voice in self._embedded.voices() if voice.installed]
        return f"no voice is called '{wanted}'; there are: {', '.join([*own, *installed])}"


def _zeros(pauses: PauseTracker) -> Iterator[Pcm]:
    if samples := pauses.take(pauses.owed_samples):
        yield np.zeros(samples, np.int16)


def _segments(text: str, language: str, warn: Tell) -> Iterator[Segment]:
    """Segments of a plain or SSML text; ``warn`` gets what is wrong with its markup."""
    reader = segment_reader_for(language, ssml=None)
    yield from (*reader.feed(text), *reader.finish())
    for problem in reader.problems():
        warn(problem.what)


@dataclass(frozen=True, slots=True)
class StyledSpan:
    """Text of one style; consecutive sentences of a style stay together, which gives them one melody."""

    text: str
    """Normalized; empty for silence at the end."""
    pause_seconds: float
    """Silence before the text."""
    options: SynthesisOptions


def styled_spans(text: str, language: str, reading: TextOptions, *, warn: Tell) -> list[StyledSpan]:
    """Split and normalize a text; ``warn`` gets what it asks for and cannot be done, each once."""
    found: list[StyledSpan] = []
    last: ProsodyStyle | None = None
    others: set[str] = set()
    for piece in _segments(text, language, warn):
        words = normalize_text(piece.text, piece.style.language or language, reading).strip()
        if piece.style.voice is not None and piece.style.voice not in others:
            others.add(piece.style.voice)
            warn(
                f"the text asks for voice {piece.style.voice!r}; one voice reads it all here, a service changes voices"
            )
        if found and piece.style == last and not piece.pause_seconds:
            before = found.pop()
            found.append(StyledSpan(f"{before.text} {words}".strip(), before.pause_seconds, before.options))
        else:
            speed = min(max(piece.style.speed, _SLOWEST), _FASTEST)
            volume_db = min(max(piece.style.volume_db, SILENT_DB), _LOUDEST_DB)
            found.append(StyledSpan(words, piece.pause_seconds, SynthesisOptions(speed=speed, volume_db=volume_db)))
        last = piece.style
    return found


def default_text(language_code: str) -> str:
    texts = yaml.safe_load(Path(__file__).with_name("texts.yaml").read_text(encoding="utf-8"))
    return str(texts[language_code])


def generate_with_pocket(
    text: str | None,
    voice: str | None,
    selection: ModelSelection,
    generation: GenerationOptions,
    *,
    output: str,
    quiet: bool,
    reading: TextOptions | None = None,
    warn: Tell = lambda _: None,
) -> str:
    """Load the model and write the file, which gets its name when it is complete; return a summary.

    ``text`` is plain or SSML, None for an example in the model's language; ``voice`` None is the model's default.
    ``warn`` gets what the text asks for and cannot be done.
    """
    text = default_text(selection.language_code()) if text is None else text
    if not text.strip():
        raise EmptyText(_NOTHING_TO_SAY)
    speaker = selection.default_voice() if voice is None else checked_voice(voice)
    spans = styled_spans(text, selection.language_code(), reading or TextOptions(), warn=warn)
    with StatusLine(quiet=quiet) as status:
        status.show("Loading the model ...")
        model = load(selection, quiet=quiet)
        status.show(f"Loading the voice {speaker} ...")
        state = model.get_state_for_audio_prompt(speaker)
        if generation.seed is not None:
            model.seed(generation.seed)
            model.max_decoder_frames_per_call = 1  # in int8 a frame depends on those decoded with it
        audio_format = AudioFormat(rate_hz=model.sample_rate)
        started = time.perf_counter()
        blocks = _speech(model, state, spans, generation)
        # Closing the generator joins its thread, also after Ctrl+C.
        with open_wav(output) as wav, closing(blocks):
            for samples in blocks:
                wav.write(samples.astype("<i2").tobytes(), audio_format)
                took_seconds = time.perf_counter() - started
                status.show(
                    f"{wav.seconds:.1f} s of speech, {wav.seconds / took_seconds:.1f} times as fast as it plays"
                )
            if not wav.seconds:
                raise EmptyText(_NOTHING_TO_SAY)
            wav.finish(audio_format)
    speed = wav.seconds / max(time.perf_counter() - started, 1e-3)
    summary = f"{wav.seconds:.2f} s of speech by '{speaker}' in {output}, {speed:.1f} times as fast as it plays"
    return f"{summary}\n{_advice(speaker, selection)}" if status.watched else summary


def _speech(
    model: TTSModel, state: VoiceState, spans: Sequence[StyledSpan], generation: GenerationOptions
) -> Generator[Pcm, None, None]:
    has_audio = False
    for span in spans:
        if span.pause_seconds and (has_audio or span.text):
            yield silence(span.pause_seconds, model.sample_rate)
        if span.text:
            stream = model.generate_audio_stream(
                state,
                span.text,
                generation.max_tokens or MAX_TOKENS,
                generation.frames_after_eos,
                continuity_seconds=generation.continuity_seconds or 0.0,
            )
            # Upstream promises an iterator; ours is a generator, which can be closed.
            with closing(cast("Generator[Any, None, None]", stream)) as frames:
                yield from shape((_in_16_bits(np.asarray(each)) for each in frames), model.sample_rate, span.options)
            has_audio = True


def pcm(samples: NDArray[np.float32]) -> bytes:
    """Samples of -1 to 1 in the format of WAV files."""
    return _in_16_bits(samples).astype("<i2").tobytes()


def _in_16_bits(samples: NDArray[np.float32]) -> Pcm:
    return np.rint(np.clip(samples, -1, 1) * _FULL_SCALE).astype(np.int16)


def _advice(speaker: str, model: ModelSelection) -> str:
    if "/" not in speaker and "." not in speaker:
        return "Next: another voice (`wyoming-pocket-tts models` lists them), or a recording of one: --voice FILE.wav"
    if speaker.endswith(".safetensors") or model.released is None:
        return "Next: a text from another program with `... | wyoming-pocket-tts generate --voice ... -`"
    return f"Next: keep this voice, to have it at once: wyoming-pocket-tts export-voice {speaker} NAME.safetensors"
