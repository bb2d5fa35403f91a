"""``TTSModel``: Pocket TTS for Python programs, with the methods, arguments and results of the package ``pocket-tts``.

Puts the parts together; knows nothing about servers, nor how a model is loaded (``loading.py``).
"""

import logging
import os
from collections.abc import Generator, Mapping, MutableMapping
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from wyoming_pocket_tts.errors import ConfigError, MissingFile, VoiceError
from wyoming_pocket_tts.places import default_data_dir
from wyoming_pocket_tts.pocket import config as configs
from wyoming_pocket_tts.pocket.backend import Samples, Sampling
from wyoming_pocket_tts.pocket.generate import Speaking, speak
from wyoming_pocket_tts.pocket.hub import fetch
from wyoming_pocket_tts.pocket.loading import (
    Loaded,
    choose_engine,
    find_model,
    load_for_onnx,
    load_for_torch,
    suffix_of,
)
from wyoming_pocket_tts.pocket.onnx.precision import Precision
from wyoming_pocket_tts.pocket.prompt_cache import PromptCache
from wyoming_pocket_tts.text.prompt import MAX_TOKENS, split
from wyoming_pocket_tts.voices.prompt import assess, end_on_pause, prepare_prompt, read_audio, take_samples
from wyoming_pocket_tts.voices.state import VoiceState, check_fits, read_state, write_state

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

PROMPT_CACHE_VARIABLE = "POCKET_TTS_PROMPT_CACHE_SIZE"
_DEFAULT_PROMPT_CACHE_SIZE = 2
_EARLIEST_VARIANTS = {"b6369a24": "english_2026-01"}
_NO_CLONING = (
    "these weights cannot clone voices: the file that can was not available. Use a ready-made voice ({voices}), or "
    "accept the terms on the model's page (kyutai/pocket-tts), log in with `hf auth login`, and load the model again"
)


class TTSModel:
    """A loaded model. Any number of threads may speak with it at once.

    Made by ``load_model``. What says how to speak may be changed at any time and counts from the next call.

    Attributes:
        config: what the model is.
        name: the released model, or None for one of the user's own.
        temp: variance of the noise that speech is drawn from; 0 makes it the same each time.
        sampler_decode_steps: steps of the sampler, for models whose head takes any.
        noise_clamp: the noise is drawn within plus and minus this; None for no limit.
        eos_threshold: speech ends where the end's logit is above it; higher values end later.
        max_decoder_frames_per_call: frames of 80 ms decoded at once at most; 0 for what waits, up to four.
        has_voice_cloning: whether the weights can hear voice prompts.
    """

    def __init__(self, loaded: Loaded) -> None:
        self.config = loaded.config
        self.name = loaded.name
        self.temp = loaded.config.default_temperature
        self.sampler_decode_steps = loaded.backend.fixed_steps or 1
        self.noise_clamp: float | None = None
        self.eos_threshold = loaded.config.default_eos_threshold
        self.max_decoder_frames_per_call = 0
        self.has_voice_cloning = loaded.has_voice_cloning
        self._backend = loaded.backend
        self._tokenizer = loaded.tokenizer
        self._prompts = PromptCache(_prompt_cache_size())

    @classmethod
    def load_model(  # noqa: PLR0917  (upstream's signature)
        cls,
        language: str | None = None,
        config: str | Path | None = None,
        temp: float | None = None,
        sampler_decode_steps: int = 1,
        noise_clamp: float | None = None,
        eos_threshold: float | None = None,
        quantize: bool = False,  # noqa: FBT001, FBT002  (upstream's signature)
        checkpoint: str | Path | None = None,
        lsd_decode_steps: int | None = None,
        *,
        variant: str | None = None,
        engine: str = "auto",
        threads: int | None = 1,
        precision: str = Precision.INT8,
        data_dir: str | Path | None = None,
    ) -> Self:
        """Load a model; what is not on this machine is downloaded first.

        Args:
            language: a released model, such as ``english`` (the default) or ``german_24l``.
            config: instead, a YAML file of a model of your own: a path, an https:// or an hf:// address.
            temp: variance of the noise; None for the model's recommendation.
            sampler_decode_steps: steps of the sampler; models of the type ``flow_matching`` need 16 or more.
            noise_clamp: the noise is drawn within plus and minus this.
            eos_threshold: threshold of the end's logit; None for the model's recommendation.
            quantize: keep the language model's large matrices in 8 bits: faster, with slightly different speech.
            checkpoint: a safetensors file with weights of your own, in place of those that the config names.
            lsd_decode_steps: the older name of ``sampler_decode_steps``.
            variant: the oldest name of ``language``.
            engine: ``torch``, ``onnx``, or ``auto``: PyTorch where it is installed. With ONNX Runtime, results are
                NumPy's arrays, and the model is converted when it is first loaded.
            threads: threads of each operation. Language model and codec run side by side already, on two. For PyTorch
                it is a setting of the whole process, which None leaves as it is.
            precision: how exactly ONNX Runtime computes: ``fp32``, ``int8``, ``mixed`` or ``int4``.
            data_dir: where converted models are kept; by default where the service keeps them.

        Raises:
            ConfigError: an argument or the config is wrong (also a ValueError).
            ModelError: weights or tokenizer cannot be had or used, or PyTorch is not installed.
        """
        if lsd_decode_steps is not None:
            logger.warning("lsd_decode_steps is now called sampler_decode_steps")
            sampler_decode_steps = lsd_decode_steps
        Sampling(temp or 0.0, sampler_decode_steps, noise_clamp)  # refused now rather than after a download
        language = _EARLIEST_VARIANTS.get(variant or "", variant) or language
        name, found = find_model(language, config, checkpoint)
        if sampler_decode_steps < found.flow_lm.flow.fewest_steps:
            logger.warning(
                "a flow_matching model needs %d sampler_decode_steps or more; it has %d and will hardly speak",
                found.flow_lm.flow.fewest_steps,
                sampler_decode_steps,
            )
        if choose_engine(engine) == "torch":
            loaded = load_for_torch(name, found, quantize=quantize, threads=threads)
        else:
            loaded = load_for_onnx(
                name,
                found,
                precision=_precision(precision),
                steps=sampler_decode_steps,
                data_dir=Path(data_dir) if data_dir else default_data_dir(),
                threads=threads or 1,
            )
        model = cls(loaded)
        model.sampler_decode_steps = sampler_decode_steps
        model.noise_clamp = noise_clamp
        model.temp = model.temp if temp is None else temp
        model.eos_threshold = model.eos_threshold if eos_threshold is None else eos_threshold
        return model

    @property
    def device(self) -> "torch.device":
        """Where the weights are."""
        return self._backend.device  # type: ignore[no-any-return]  # or "cpu", without PyTorch

    @property
    def sample_rate(self) -> int:
        """Samples of a second of speech."""
        return self.config.mimi.sample_rate

    def to(self, device: "str | torch.device") -> Self:
        """Move the weights, as ``torch.nn.Module.to`` does. Nobody may be speaking meanwhile.

        Raises:
            ConfigError: the engine cannot use that device.
        """
        self._backend.move(device)
        return self

    def seed(self, number: int) -> None:
        """Let the noise of what is said from now on begin with this number; for PyTorch, that of the whole process."""
        self._backend.seed(number)

    def get_state_for_audio_prompt(
        self,
        audio_conditioning: "Path | str | torch.Tensor",
        truncate: bool = False,  # noqa: FBT001, FBT002  (upstream's signature)
    ) -> VoiceState:
        """Make a voice from a recording, or load one.

        The last voices made from recordings are remembered: ``POCKET_TTS_PROMPT_CACHE_SIZE`` (2) of them.

        Args:
            audio_conditioning: the name of a ready-made voice; or a recording or an exported voice (``.safetensors``)
                as a path, an https:// or an hf:// address; or samples ``[channels, samples]`` at the model's rate.
            truncate: use only the first 30 seconds of a recording.

        Raises:
            VoiceError: there is no such voice, the file cannot be used, or it belongs to another model
                (also a ValueError; a FileNotFoundError where a file is missing).
            ModelError: it could not be downloaded.
        """
        if not isinstance(audio_conditioning, str | Path):
            return self._hear(take_samples(audio_conditioning))
        source = str(audio_conditioning)
        if _is_state(source):
            return self._read_state(source)
        if isinstance(audio_conditioning, str) and source in configs.voice_names():
            return self._read_state(self._ready_made(source))
        if not self.has_voice_cloning:
            raise VoiceError(_NO_CLONING.format(voices=", ".join(configs.voice_names())))
        path = fetch(audio_conditioning)
        if isinstance(audio_conditioning, str) and not suffix_of(source) and not path.exists():  # a name mistyped
            voices = ", ".join(configs.voice_names())
            raise MissingFile(f"{source}: there is no such file, and no such ready-made voice; there are: {voices}")
        key = (str(path), truncate, *_identity(path))
        return replace(self._prompts.get(key, lambda: self._hear_file(path, truncate=truncate)))

    _cached_get_state_for_audio_prompt = get_state_for_audio_prompt
    """What upstream's own server calls; programs that copied it do, too."""

    def generate_audio(
        self,
        model_state: VoiceState | Mapping[str, Any],
        text_to_generate: str,
        max_tokens: int = MAX_TOKENS,
        frames_after_eos: int | None = None,
        copy_state: bool = True,  # noqa: FBT001, FBT002  (upstream's signature)
        *,
        continuity_seconds: float = 0.0,
    ) -> "torch.Tensor":
        """Speak a text and return all of it: samples ``[N]``, float32; otherwise like ``generate_audio_stream``."""
        pieces = [
            np.asarray(piece)
            for piece in self.generate_audio_stream(
                model_state,
                text_to_generate,
                max_tokens,
                frames_after_eos,
                copy_state,
                continuity_seconds=continuity_seconds,
            )
        ]
        return self._backend.public(np.concatenate(pieces))  # type: ignore[no-any-return]  # or an array of NumPy

    def generate_audio_stream(  # noqa: PLR0917  (upstream's signature)
        self,
        model_state: VoiceState | Mapping[str, Any],
        text_to_generate: str,
        max_tokens: int = MAX_TOKENS,
        frames_after_eos: int | None = None,
        copy_state: bool = True,  # noqa: FBT001, FBT002  (upstream's signature)
        stop: Event | None = None,
        *,
        continuity_seconds: float = 0.0,
    ) -> "Generator[torch.Tensor, None, None]":
        """Speak a text; yield samples ``[N]``, float32, as soon as they are decoded.

        Closing the iterator ends the speech and its thread.

        Args:
            model_state: the voice.
            text_to_generate: a text of any length.
            max_tokens: tokens of the chunks that it is cut into.
            frames_after_eos: frames of 80 ms after the end of a chunk; None lets model and text decide.
            copy_state: whether the voice stays as it is. If not, what is said becomes part of it.
            stop: once set, nothing further is generated and the speech ends early.
            continuity_seconds: how much of the end of a chunk the next one hears, so that the tone carries over.

        Raises:
            EmptyText: the text holds nothing to say (also a ValueError).
            VoiceError: the voice belongs to another model (also a ValueError).
            RuntimeError: the model failed.
        """
        voice = VoiceState.of(model_state)
        self._check(voice, "the voice")
        if continuity_seconds and not self.has_voice_cloning:
            raise VoiceError(_NO_CLONING.format(voices=", ".join(configs.voice_names())))
        if frames_after_eos is None:
            frames_after_eos = self.config.model_recommended_frames_after_eos
        how = Speaking(
            sampling=Sampling(self.temp, self.sampler_decode_steps, self.noise_clamp),
            eos_threshold=self.eos_threshold,
            frames_after_eos=frames_after_eos,
            frames_per_call=max(0, self.max_decoder_frames_per_call),
            continuity_seconds=continuity_seconds,
        )
        chunks = split(text_to_generate, self._tokenizer, self.config.text_rules, max_tokens=max_tokens)
        spoken = None if copy_state else lambda heard: _overwrite(model_state, heard)
        for samples in speak(self._backend, voice, chunks, how, stop=stop, spoken=spoken):
            yield self._backend.public(samples)

    def _ready_made(self, voice: str) -> str:
        if self.name is None:
            raise VoiceError(
                f"the ready-made voice '{voice}' was made with a released model's weights and would not suit these: "
                "use a recording, for example " + configs.voice_audio_source(voice)
            )
        return configs.voice_state_source(self.name, voice)

    def _read_state(self, source: str) -> VoiceState:
        voice = replace(read_state(fetch(source)), wrap=self._backend.public)
        self._check(voice, source)
        return voice

    def _check(self, voice: VoiceState, label: str) -> None:
        sizes = self.config.flow_lm.transformer
        check_fits(
            voice,
            layers=sizes.num_layers,
            kv_heads=sizes.kv_heads,
            head_dim=sizes.head_dim,
            fingerprint=self._backend.fingerprint,
            label=label,
        )

    def _hear_file(self, path: Path, *, truncate: bool) -> VoiceState:
        samples, rate_hz = read_audio(path, truncate=truncate)
        for finding in assess(samples, rate_hz):
            logger.warning("%s: %s", path.name, finding.message)
        return self._backend.listen(
            prepare_prompt(samples, rate_hz, target_rate_hz=self.sample_rate, truncate=truncate)
        )

    def _hear(self, samples: Samples) -> VoiceState:
        if not self.has_voice_cloning:
            raise VoiceError(_NO_CLONING.format(voices=", ".join(configs.voice_names())))
        return self._backend.listen(end_on_pause(samples, self.sample_rate))


def export_model_state(model_state: VoiceState | Mapping[str, Any], dest: str | Path) -> None:
    """Write a voice into a safetensors file, for ``get_state_for_audio_prompt`` of this package and of upstream's.

    Raises:
        VoiceError: the state is none, or the file cannot be written.
    """
    write_state(VoiceState.of(model_state), Path(dest))


def _precision(name: str) -> Precision:
    try:
        return Precision(name)
    except ValueError:
        raise ConfigError(f"there is no precision '{name}'; there are: {', '.join(Precision)}") from None


def _is_state(source: str) -> bool:
    return suffix_of(source) == ".safetensors"


def _identity(path: Path) -> tuple[int, int]:
    """What changes when a file does."""
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_size


def _overwrite(target: VoiceState | Mapping[str, Any], heard: VoiceState) -> None:
    """Give the caller's own state what was said in it."""
    if isinstance(target, VoiceState):
        target.layers = heard.layers
    elif isinstance(target, MutableMapping):
        target.update({name: dict(module) for name, module in heard.items()})


def _prompt_cache_size() -> int:
    text = os.environ.get(PROMPT_CACHE_VARIABLE, "")
    if not text:
        return _DEFAULT_PROMPT_CACHE_SIZE
    if not text.isdecimal():
        raise ConfigError(f"the variable {PROMPT_CACHE_VARIABLE} is '{text}': it must be a number, 0 or more")
    return int(text)
