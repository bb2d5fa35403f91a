"""Speaks a text with Pocket TTS into a WAV file, without a server. Knows nothing about how models work."""

import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import yaml
from numpy.typing import NDArray

from wyoming_pocket_tts.audio.shaping import shape, silence
from wyoming_pocket_tts.commands.manner import Manner
from wyoming_pocket_tts.commands.pocket_model import ModelChoice, checked_voice, load
from wyoming_pocket_tts.commands.progress import StatusLine
from wyoming_pocket_tts.commands.stretches import Stretch, Tell, stretches_of
from wyoming_pocket_tts.errors import EmptyText
from wyoming_pocket_tts.speech import Pcm, Reading
from wyoming_pocket_tts.text.prompt import MAX_TOKENS
from wyoming_pocket_tts.wav import Format, open_wav

if TYPE_CHECKING:
    from wyoming_pocket_tts.pocket.tts_model import TTSModel
    from wyoming_pocket_tts.voices.state import VoiceState

_FULL_SCALE = 32767


@dataclass(frozen=True, slots=True)
class Spoken:
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
    choice: ModelChoice,
    manner: Manner,
    *,
    output: str,
    quiet: bool,
    reading: Reading | None = None,
    tell: Tell = lambda _: None,
) -> Spoken:
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
    stretches = stretches_of(text, choice.language_code(), reading or Reading(), tell=tell)
    with StatusLine(quiet=quiet) as status:
        status.show("Loading the model ...")
        model = load(choice, quiet=quiet)
        status.show(f"Loading the voice {speaker} ...")
        state = model.get_state_for_audio_prompt(speaker)
        if manner.seed is not None:
            model.seed(manner.seed)
            model.max_decoder_frames_per_call = 1  # in 8 bits a frame depends on those decoded with it
        audio_format = Format(rate_hz=model.sample_rate)
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
    return Spoken(output, speaker, wav.seconds, time.perf_counter() - started, advice)


def _speech(
    model: "TTSModel", state: "VoiceState", stretches: Sequence[Stretch], manner: Manner
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


def _stream(model: "TTSModel", state: "VoiceState", text: str, manner: Manner) -> Generator[Any, None, None]:
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


def _advice(speaker: str, choice: ModelChoice) -> str:
    if "/" not in speaker and "." not in speaker:
        return "Next: another voice (`wyoming-pocket-tts models` lists them), or a recording of one: --voice FILE.wav"
    if speaker.endswith(".safetensors") or choice.released is None:
        return "Next: a text from another program with `... | wyoming-pocket-tts generate --voice ... -`"
    return f"Next: keep this voice, to have it at once: wyoming-pocket-tts export-voice {speaker} NAME.safetensors"
