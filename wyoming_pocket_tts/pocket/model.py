"""`TTSModel`: the Python API."""

import logging
import math
from collections.abc import Callable, Generator, Mapping, MutableMapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from wyoming_pocket_tts.audio.recordings import (
    LONGEST_SECONDS,
    assess,
    end_on_pause,
    prepare_prompt,
    read_audio,
    take_samples,
)
from wyoming_pocket_tts.core.errors import ConfigError, MissingFile, VoiceError
from wyoming_pocket_tts.core.events import Observer
from wyoming_pocket_tts.core.system import default_data_dir
from wyoming_pocket_tts.pocket.backend import BatchedBackend, SamplingParams
from wyoming_pocket_tts.pocket.batch_engine import BatchEngine
from wyoming_pocket_tts.pocket.generate import GenerationParams, GenerationRequest, speak
from wyoming_pocket_tts.pocket.hub import fetch, suffix_of
from wyoming_pocket_tts.pocket.loading import (
    DEFAULT_LANGUAGE,
    LoadedModel,
    choose_precision,
    find_model,
    load_for_onnx,
    load_for_torch,
)
from wyoming_pocket_tts.pocket.registry import voice_audio_source, voice_names, voice_state_source
from wyoming_pocket_tts.pocket.text import MAX_TOKENS, split
from wyoming_pocket_tts.pocket.voice_state import (
    VoiceState,
    VoiceStateCache,
    check_voice_matches_model,
    prompt_cache_size,
    read_state,
    write_state,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch


_LOGGER = logging.getLogger(__name__)

_sampling_params = lru_cache(maxsize=8)(SamplingParams)  # checked once
_EARLIEST_VARIANTS = {"b6369a24": "english_2026-01"}


class TTSModel:
    """A loaded model, made by ``load_model``. Any number of threads may use it at once.

    The attributes may be changed at any time and count from the next call.

    Attributes:
        config: what the model is.
        name: the released model, or None for a custom one.
        origin: the config, as upstream has it: the path or address that was given, or ``NAME.yaml`` for a released
            model, which is no file here; None for a model that ``load_model`` did not make.
        temp: variance of the noise that speech is drawn from; 0 makes it the same each time.
        sampler_decode_steps: steps of the sampler, for models with a choice of steps.
        noise_clamp: the noise is drawn within plus and minus this; None for no limit.
        eos_threshold: speech ends where the end's logit is above it; higher values end later.
        max_decoder_frames_per_call: frames of 80 ms decoded at once at most; 0 for what waits, up to four.
        has_voice_cloning: whether the weights can encode voice prompts.
    """

    def __init__(self, loaded: LoadedModel) -> None:
        self.config = loaded.config
        self.name = loaded.name
        self.origin: Path | None = None
        self.temp = loaded.config.default_temperature
        self.sampler_decode_steps = loaded.backend.fixed_steps or 1
        self.noise_clamp: float | None = None
        self.eos_threshold = loaded.config.default_eos_threshold
        self.max_decoder_frames_per_call = 0
        self.has_voice_cloning = loaded.has_voice_cloning
        self._backend = loaded.backend
        self._tokenizer = loaded.tokenizer
        self._text_rules = loaded.config.text_rules
        self._prompts = VoiceStateCache(prompt_cache_size())

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
        precision: str | None = None,
        data_dir: str | Path | None = None,
    ) -> Self:
        """Load a model; what is not on this machine is downloaded first.

        Args:
            language: a released model, such as ``english`` (the default) or ``german_24l``.
            config: instead, a YAML file of a custom model: a path, an https:// or an hf:// address.
            temp: variance of the noise; None for the model's recommendation.
            sampler_decode_steps: steps of the sampler; models of the type ``flow_matching`` need 16 or more.
            noise_clamp: the noise is drawn within plus and minus this.
            eos_threshold: threshold of the end's logit; None for the model's recommendation.
            quantize: keep the language model's large matrices in 8 bits: faster, with slightly different speech. For
                ONNX Runtime it is the precision ``int8``.
            checkpoint: a safetensors file with other weights, in place of those that the config names.
            lsd_decode_steps: the older name of ``sampler_decode_steps``.
            variant: the oldest name of ``language``.
            engine: ``torch``, ``onnx``, or ``auto``: PyTorch where it is installed, unless ``precision`` or
                ``data_dir``, which are ONNX Runtime's, are given. With that, results are NumPy's arrays, and the model
                is converted when it is first loaded.
            threads: threads of each operation. Language model and codec run side by side already, on two. For PyTorch
                it is a setting of the whole process, which None leaves as it is.
            precision: ``fp32``, ``int8`` (the default), ``mixed`` or ``int4``, for ONNX Runtime.
            data_dir: where ONNX Runtime's converted models are kept; by default where the service keeps them.

        Raises:
            ConfigError: an argument or the config is wrong, or arguments contradict each other (also a ValueError).
            ModelError: weights or tokenizer cannot be had or used, or PyTorch is not installed.
        """
        if lsd_decode_steps is not None:
            _LOGGER.warning("lsd_decode_steps is now called sampler_decode_steps")
            sampler_decode_steps = lsd_decode_steps
        SamplingParams(temp or 0.0, sampler_decode_steps, noise_clamp)  # refused now rather than after a download
        onnx_precision = choose_precision(engine, precision=precision, quantize=quantize, data_dir=data_dir)
        language = _EARLIEST_VARIANTS.get(variant or "", variant) or language
        name, found = find_model(language, config, checkpoint)
        if sampler_decode_steps < found.flow_lm.flow.fewest_steps:
            _LOGGER.warning(
                "a flow_matching model needs %d sampler_decode_steps or more; it has %d and will hardly speak",
                found.flow_lm.flow.fewest_steps,
                sampler_decode_steps,
            )
        if onnx_precision is None:
            loaded = load_for_torch(name, found, quantize=quantize, threads=threads)
        else:
            loaded = load_for_onnx(
                name,
                found,
                precision=onnx_precision,
                steps=sampler_decode_steps,
                data_dir=Path(data_dir) if data_dir else default_data_dir(),
                threads=threads or 1,
            )
        model = cls(loaded)
        model.origin = Path(config if config is not None else f"{language or DEFAULT_LANGUAGE}.yaml")
        model.sampler_decode_steps = sampler_decode_steps
        model.noise_clamp = noise_clamp
        model.temp = model.temp if temp is None else temp
        model.eos_threshold = model.eos_threshold if eos_threshold is None else eos_threshold
        return model

    @property
    def sample_rate(self) -> int:
        return self.config.mimi.sample_rate

    def seed(self, number: int) -> None:
        """Seed the noise of all speech from now on; for PyTorch, that of the whole process."""
        self._backend.seed(number)

    # --- voices

    def get_state_for_audio_prompt(
        self,
        audio_conditioning: "Path | str | torch.Tensor",
        truncate: bool = False,  # noqa: FBT001, FBT002  (upstream's signature)
    ) -> VoiceState:
        """Make a voice from a recording, or load one.

        The last voices made from recordings are remembered: ``POCKET_TTS_PROMPT_CACHE_SIZE`` (2) of them.

        Args:
            audio_conditioning: the name of a predefined voice; or a recording or an exported voice (``.safetensors``)
                as a path, an https:// or an hf:// address; or samples ``[channels, samples]`` at the model's rate.
            truncate: use only the first 30 seconds of a recording.

        Raises:
            VoiceError: there is no such voice, the file cannot be used, or it belongs to another model
                (also a ValueError; a FileNotFoundError where a file is missing).
            ModelError: it could not be downloaded.
        """
        source = audio_conditioning
        if not isinstance(source, str | Path):
            return self._encode_samples(take_samples(source))
        if suffix_of(str(source)) == ".safetensors":
            return self.read_voice(fetch(str(source)), str(source))
        if isinstance(source, str) and source in voice_names():
            if self.name is None:
                raise VoiceError(
                    f"the ready-made voice '{source}' was made with a released model's weights and would not suit"
                    f" these: use a recording, for example {voice_audio_source(source)}"
                )
            address = voice_state_source(self.name, source)
            return self.read_voice(fetch(address), address)
        self._require_cloning()
        path = fetch(source)
        if isinstance(source, str) and not suffix_of(source) and not path.exists():  # a name mistyped
            raise MissingFile(
                f"{source}: there is no such file, and no such ready-made voice; there are: {', '.join(voice_names())}"
            )
        key = (str(path), truncate, *_identity(path))
        return replace(self._prompts.get(key, lambda: self._encode_file(path, truncate=truncate)))

    _cached_get_state_for_audio_prompt = get_state_for_audio_prompt
    """Called by upstream's own server, and programs that copied it."""

    def read_voice(self, path: Path, label: str = "") -> VoiceState:
        """Read a voice file of this model; a VoiceError, with the label or path, if it cannot be used."""
        voice = replace(read_state(path), wrap=self._backend.public)
        fingerprint = self._backend.fingerprint
        check_voice_matches_model(voice, self.config, fingerprint=fingerprint, label=label or str(path))
        return voice

    def _encode_file(self, path: Path, *, truncate: bool) -> VoiceState:
        samples, rate_hz = read_audio(path, truncate=truncate)
        for finding in assess(samples, rate_hz):
            _LOGGER.warning("%s: %s", path.name, finding.message)
        prompt = prepare_prompt(samples, rate_hz, target_rate_hz=self.sample_rate, truncate=truncate)
        return self._backend.listen(prompt, sampling=self._sampling)

    def _encode_samples(self, samples: np.ndarray[Any, np.dtype[np.float32]]) -> VoiceState:
        self._require_cloning()
        if len(samples) > LONGEST_SECONDS * self.sample_rate:
            raise VoiceError(f"the voice prompt: is longer than {LONGEST_SECONDS} s; 10 to 30 s make a voice: cut it")
        return self._backend.listen(end_on_pause(samples, self.sample_rate), sampling=self._sampling)

    def _require_cloning(self) -> None:
        if not self.has_voice_cloning:
            raise VoiceError(
                "these weights cannot clone voices: the file that can was not available. Use a ready-made voice "
                f"({', '.join(voice_names())}), or accept the terms on the model's page (kyutai/pocket-tts), log in "
                "with `hf auth login`, and load the model again"
            )

    # --- speech

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
        """Generate a text's speech whole: samples ``[N]``, float32; otherwise like ``generate_audio_stream``."""
        stream = self.generate_audio_stream(
            model_state,
            text_to_generate,
            max_tokens,
            frames_after_eos,
            copy_state,
            continuity_seconds=continuity_seconds,
        )
        pieces = [np.asarray(piece) for piece in stream]
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
        temp: float | None = None,
        eos_threshold: float | None = None,
    ) -> "Generator[torch.Tensor, None, None]":
        """Generate a text's speech; yield samples ``[N]``, float32, as soon as they are decoded.

        Closing the iterator ends the speech and its thread.

        Args:
            model_state: the voice.
            text_to_generate: a text of any length.
            max_tokens: tokens of the chunks that it is cut into.
            frames_after_eos: frames of 80 ms after the end of a chunk; None lets model and text decide.
            copy_state: whether the voice stays as it is. If not, the speech becomes part of it.
            stop: once set, nothing further is generated and the speech ends early.
            continuity_seconds: how much of the end of a chunk the next one starts from, so that the tone carries over.
            temp: the model's ``temp`` for this speech alone; None for the model's.
            eos_threshold: likewise.

        Raises:
            EmptyText: the text holds nothing to say (also a ValueError).
            VoiceError: the voice belongs to another model (also a ValueError).
            RuntimeError: the model failed.
        """
        voice, fingerprint = VoiceState.of(model_state), self._backend.fingerprint
        check_voice_matches_model(voice, self.config, fingerprint=fingerprint, label="the voice")
        request = self.prepare(
            voice,
            text_to_generate,
            max_tokens,
            frames_after_eos,
            continuity_seconds=continuity_seconds,
            temp=temp,
            eos_threshold=eos_threshold,
        )
        yield from self.generate(
            request, stop=stop, spoken=None if copy_state else lambda s: _overwrite(model_state, s)
        )

    def prepare(
        self,
        voice: VoiceState,
        text: str,
        max_tokens: int = MAX_TOKENS,
        frames_after_eos: int | None = None,
        *,
        continuity_seconds: float = 0.0,
        temp: float | None = None,
        eos_threshold: float | None = None,
    ) -> GenerationRequest:
        """What ``generate`` or a batch engine runs, as ``generate_audio_stream``; the voice is one of this model."""
        if not 0 <= continuity_seconds < math.inf:
            raise ConfigError(f"continuity_seconds is {continuity_seconds}: it must be 0 or more")
        if continuity_seconds:
            self._require_cloning()
        if frames_after_eos is None:
            frames_after_eos = self.config.model_recommended_frames_after_eos
        how = GenerationParams(
            sampling=_sampling_params(self.temp if temp is None else temp, self.sampler_decode_steps, self.noise_clamp),
            eos_threshold=self.eos_threshold if eos_threshold is None else eos_threshold,
            frames_after_eos=frames_after_eos,
            frames_per_call=max(0, self.max_decoder_frames_per_call),
            continuity_seconds=continuity_seconds,
        )
        chunks = split(text, self._tokenizer, self._text_rules, max_tokens=max_tokens)
        return GenerationRequest(voice, chunks, how)

    def generate(
        self,
        request: GenerationRequest,
        *,
        stop: Event | None = None,
        spoken: Callable[[VoiceState], None] | None = None,
    ) -> Generator[Any, None, None]:
        """Run a request alone; see ``generate_audio_stream`` and, for ``spoken``, ``generate.speak``."""
        for samples in speak(self._backend, request.voice, request.chunks, request.how, stop=stop, spoken=spoken):
            yield self._backend.public(samples)

    def batch_engine(self, listener: Observer | None = None) -> BatchEngine | None:
        """An engine that runs requests together, to be closed by the caller; None where the backend cannot."""
        return BatchEngine(self._backend, listener=listener) if isinstance(self._backend, BatchedBackend) else None

    @property
    def _sampling(self) -> SamplingParams:
        return SamplingParams(self.temp, self.sampler_decode_steps, self.noise_clamp)

    # --- upstream's model is a module of PyTorch; an AttributeError where ONNX Runtime computes

    @property
    def device(self) -> "torch.device":
        return self._backend.device  # type: ignore[no-any-return]  # or "cpu", without PyTorch

    @property
    def flow_lm(self) -> "torch.nn.Module":
        return self._network("flow_lm").flow_lm  # type: ignore[no-any-return]

    @property
    def mimi(self) -> "torch.nn.Module":
        return self._network("mimi").mimi  # type: ignore[no-any-return]

    def parameters(self, recurse: bool = True) -> "Iterator[torch.nn.Parameter]":  # noqa: FBT001, FBT002  (PyTorch's)
        """Yield the weights, which are for reading: speech that is being generated uses them."""
        return self._network("parameters").parameters(recurse)  # type: ignore[no-any-return]

    def to(self, device: "str | torch.device") -> Self:
        """Move the weights, while nothing is generated; a ConfigError if the engine cannot use that device."""
        self._backend.move(device)
        return self

    def cpu(self) -> Self:
        return self.to("cpu")

    def cuda(self, device: int | None = None) -> Self:
        return self.to("cuda" if device is None else f"cuda:{device}")

    def eval(self) -> Self:
        """Does nothing: the model is never in training mode."""
        return self

    def _network(self, attribute: str) -> Any:  # noqa: ANN401  (PyTorch's, if that computes)
        network = getattr(self._backend, "network", None)
        if network is None:
            raise AttributeError(
                f"{attribute} is PyTorch's: this model runs with ONNX Runtime; load it with engine='torch'"
            )
        return network


def export_model_state(model_state: VoiceState | Mapping[str, Any], dest: str | Path) -> None:
    """Write a voice into a safetensors file, for ``get_state_for_audio_prompt`` of this package and of upstream's.

    Raises VoiceError if the state is none, or the file cannot be written.
    """
    write_state(VoiceState.of(model_state), Path(dest))


def _identity(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_size


def _overwrite(target: VoiceState | Mapping[str, Any], state: VoiceState) -> None:
    """Put the state after a speech into the caller's own."""
    if isinstance(target, VoiceState):
        target.layers = state.layers
    elif isinstance(target, MutableMapping):
        target.update({name: dict(module) for name, module in state.items()})
