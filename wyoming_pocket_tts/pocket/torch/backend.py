"""Backend on PyTorch, int8 linears."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from wyoming_pocket_tts.core.errors import ConfigError, ModelError, quote_untrusted
from wyoming_pocket_tts.pocket.backend import DecodeOutput, Latents, Samples, SamplingParams
from wyoming_pocket_tts.pocket.schema import ModelConfig
from wyoming_pocket_tts.pocket.torch.flow_lm import FlowLM, FlowSampler
from wyoming_pocket_tts.pocket.torch.mimi import DecoderState, Mimi
from wyoming_pocket_tts.pocket.torch.transformer import KVCache
from wyoming_pocket_tts.pocket.voice_state import VoiceState

_LOGGER = logging.getLogger(__name__)

_FRAMES_PER_ENCODING = 25
"""A voice prompt is encoded two seconds at a time, so that its length costs no memory."""
_LARGEST = 127
_PREFILL_ROWS = 35  # positions of a sentence, which are read at once before the first frame
_TRIALS = 5
_CALLS_PER_TRIAL = 4


class _Placed(Protocol):
    @property
    def device(self) -> torch.device: ...


_Self = TypeVar("_Self", bound=_Placed)
_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def _computing(
    method: Callable[Concatenate[_Self, _Arguments], _Result],
) -> Callable[Concatenate[_Self, _Arguments], _Result]:
    """Run a method without gradients, and in the weights' own type: not in that of a caller's autocast."""

    @wraps(method)
    def computing(self: _Self, /, *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
        with torch.inference_mode(), torch.autocast(self.device.type, enabled=False):
            return method(self, *args, **kwargs)

    return computing


class PocketNetwork(nn.Module):
    """The whole model; its parameters have the names of the released files."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.flow_lm = FlowLM(
            config.flow_lm, latent_dim=config.latent_dim, conditioning_dim=config.mimi.conditioning_dim
        )
        self.mimi = Mimi(config.mimi)


def build_network(config: ModelConfig, tensors: Mapping[str, NDArray[np.float32]]) -> PocketNetwork:
    """The network around checked weights, which are used in place, not copied."""
    with torch.device("meta"):
        network = PocketNetwork(config)
    network.load_state_dict({name: torch.from_numpy(array) for name, array in tensors.items()}, assign=True)
    return network.requires_grad_(requires_grad=False).eval()


def load_backend(
    config: ModelConfig,
    tensors: Mapping[str, NDArray[np.float32]],
    *,
    fingerprint: str,
    quantize: bool = False,
    threads: int | None = None,
) -> "TorchBackend":
    """A backend from checked weights.

    ``quantize`` keeps the language model's matrices in 8 bits; a ModelError if that is not faster here. ``threads`` of
    each operation are a setting of the whole process; None leaves it as it is.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    network = build_network(config, tensors)
    if quantize:
        quantize_linears(network.flow_lm.transformer)
    return TorchBackend(config, network, fingerprint=fingerprint)


def normal_noise(sampling: SamplingParams, shape: tuple[int, int], device: torch.device) -> Tensor:
    """Draw noise from PyTorch's own generator, which ``torch.manual_seed`` sets."""
    noise = torch.empty(shape, dtype=torch.float32, device=device)
    deviation = sampling.temperature**0.5
    if not deviation:
        return noise.zero_()
    if sampling.noise_clamp is None:
        return nn.init.normal_(noise, std=deviation)
    return nn.init.trunc_normal_(noise, std=deviation, a=-sampling.noise_clamp, b=sampling.noise_clamp)


class TorchBackend:
    """One loaded model, on the device of its network."""

    def __init__(self, config: ModelConfig, network: PocketNetwork, *, fingerprint: str) -> None:
        self.config = config
        self.network = network
        self.fingerprint = fingerprint
        self.fixed_steps: int | None = None
        self.sample_rate_hz = config.mimi.sample_rate
        self.frame_samples = config.mimi.frame_samples

    @property
    def device(self) -> torch.device:
        return self.network.flow_lm.emb_mean.device

    def move(self, device: torch.device | str) -> None:
        """Move the weights; a ConfigError if they are in 8 bits, which only the CPU has."""
        if torch.device(device).type != "cpu" and any(isinstance(part, Int8Linear) for part in self.network.modules()):
            raise ConfigError(f"8 bits are for the processor: load the model without quantize to use '{device}'")
        self.network.to(device)

    def seed(self, number: int) -> None:
        torch.manual_seed(number)

    def open_speech(self, voice: VoiceState, *, positions: int, sampling: SamplingParams) -> "TorchLatentGenerator":
        return TorchLatentGenerator(self, self._cache_of(voice, positions), sampling)

    def open_decoder(self) -> "TorchCodecDecoder":
        return TorchCodecDecoder(self.network)

    @_computing
    def listen(self, samples: Samples, *, sampling: SamplingParams | None = None) -> VoiceState:
        flow_lm = self.network.flow_lm
        self.draw(sampling if sampling and sampling.temperature else SamplingParams(1.0))  # unused: see draw
        inputs = flow_lm.embed_voice(self._encode(samples))
        cache = flow_lm.new_cache(capacity=inputs.shape[1])
        flow_lm.fill(inputs, cache)
        return self._voice_of(cache)

    @_computing
    def listen_on(self, voice: VoiceState, latents: Latents) -> VoiceState:
        """Extend a voice prompt by the model's own latents, as if they had been part of the recording."""
        flow_lm, codec = self.network.flow_lm, self.config.mimi
        if codec.conditioning_dim == codec.quantizer.dimension:  # what the encoder would give for the audio
            frames = (torch.from_numpy(latents).to(self.device) * flow_lm.emb_std + flow_lm.emb_mean)[None]
        else:
            frames = self._encode(self.open_decoder().decode(latents))
        inputs = frames @ flow_lm.speaker_proj_weight.T
        cache = self._cache_of(voice, inputs.shape[1])
        flow_lm.fill(inputs, cache)
        return self._voice_of(cache)

    def draw(self, sampling: SamplingParams) -> Tensor:
        """Draw noise ``[1, latent_dim]`` for one frame.

        The package pocket-tts also draws, without using it, when it reads a text or a voice prompt. So does this
        backend: after the same ``torch.manual_seed`` both generate the same.
        """
        return normal_noise(sampling, (1, self.config.latent_dim), self.device)

    @staticmethod
    def public(array: NDArray[np.float32]) -> Tensor:
        """A tensor on the CPU, copied, since the caller may change it."""
        return torch.tensor(array, device="cpu")

    def _encode(self, samples: Samples) -> Tensor:
        """``[N]`` samples -> ``[1, T, conditioning_dim]``."""
        mimi = self.network.mimi
        missing = -len(samples) % mimi.frame_samples
        audio = torch.from_numpy(np.pad(samples, (0, missing))).to(self.device)[None, None]
        state = mimi.start_encoding()
        pieces = audio.split(_FRAMES_PER_ENCODING * mimi.frame_samples, dim=-1)
        return torch.cat([mimi.encode(piece, state) for piece in pieces], dim=1)

    def _cache_of(self, voice: VoiceState, positions: int) -> KVCache:
        """Copy a voice into a new cache with room for more."""
        cache = self.network.flow_lm.new_cache(capacity=voice.length + positions)
        for store, layer in zip(cache.store, voice.layers, strict=True):
            store[:, 0, : voice.length] = torch.tensor(layer)  # from_numpy would warn: it is read-only
        cache.position = voice.length
        return cache

    def _voice_of(self, cache: KVCache) -> VoiceState:
        used = cache.store[:, :, 0, : cache.position].cpu()  # [layer, 2, T, key heads, head width]
        layers = tuple(layer.clone().numpy() for layer in used)
        return VoiceState(layers=layers, model=self.fingerprint, wrap=TorchBackend.public)


class TorchLatentGenerator:
    """Generates one sequence."""

    def __init__(self, backend: TorchBackend, cache: KVCache, sampling: SamplingParams) -> None:
        self.device = backend.device
        self._backend = backend
        self._flow_lm = backend.network.flow_lm
        self._cache = cache
        self._sampling = sampling
        self._sampler = FlowSampler(self._flow_lm.flow_net, rule=backend.config.flow_lm.flow.type, steps=sampling.steps)

    @_computing
    def prefill(self, tokens: Sequence[int]) -> DecodeOutput:
        self._backend.draw(self._sampling)  # unused: see draw
        indices = torch.tensor(tokens, dtype=torch.int64, device=self.device)[None]
        return self._advance(self._flow_lm.embed_text(indices))

    @_computing
    def step(self, latent: NDArray[np.float32]) -> DecodeOutput:
        last = torch.from_numpy(latent).to(self.device)
        return self._advance(self._flow_lm.embed_latent(last[None, None]))

    def state(self) -> VoiceState:
        return self._backend._voice_of(self._cache)  # noqa: SLF001  (both make voices the same way)

    def _advance(self, inputs: Tensor) -> DecodeOutput:  # [1, T, D]
        hidden, eos_logit = self._flow_lm(inputs, self._cache)
        latent = self._sampler(hidden, self._backend.draw(self._sampling))
        return DecodeOutput(latent[0].cpu().numpy(), eos_logit.item())


class TorchCodecDecoder:
    """Decodes one sequence."""

    def __init__(self, network: PocketNetwork) -> None:
        self.device = network.flow_lm.emb_mean.device
        self._network = network
        self._state: DecoderState = network.mimi.start_decoding()

    @_computing
    def decode(self, latents: Latents) -> Samples:
        """``[T, latent_dim]`` normalised latents -> ``[T * frame_samples]``."""
        flow_lm = self._network.flow_lm
        values = torch.from_numpy(latents).to(self.device)[None] * flow_lm.emb_std + flow_lm.emb_mean
        samples: Any = self._network.mimi.decode(values, self._state)[0, 0].cpu().numpy()
        return samples  # type: ignore[no-any-return]


def usable_device(name: str) -> torch.device:
    """Try a device; a ConfigError if this machine or this build of PyTorch has none of that name."""
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (AssertionError, RuntimeError, NotImplementedError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        cuda = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
        present = ["cpu", *cuda, *(["mps"] if torch.backends.mps.is_available() else [])]
        raise ConfigError(
            f"the device {quote_untrusted(name)} cannot be used here ({reason}); there are: {', '.join(present)}"
        ) from error
    return device


class Int8Linear(nn.Module):
    """A linear layer without bias; its weight ``[out, in]`` has 8 bits."""

    weight: Tensor
    scale: Tensor

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        scale = linear.weight.abs().amax(dim=1) / _LARGEST
        self.register_buffer("weight", (linear.weight / scale[:, None]).round_().to(torch.int8))
        self.register_buffer("scale", scale)

    def forward(self, x: Tensor) -> Tensor:  # [..., in]
        rows = x.reshape(-1, x.shape[-1])
        scale = rows.abs().amax(dim=1, keepdim=True) / _LARGEST  # 0 for zeros: whatever they round to comes to nothing
        rounded = (rows / scale).round_().to(torch.int8)
        product: Tensor = torch._int_mm(rounded, self.weight.T)  # noqa: SLF001  (PyTorch's one product of 8-bit matrices)
        return (product * scale * self.scale).reshape(*x.shape[:-1], len(self.weight))


def quantize_linears(network: nn.Module) -> None:
    """Replace every linear layer of a network on the CPU, in place.

    A ModelError if a decode step is not faster with 8 bits than with 32 on this processor, measured with the largest
    layer. Prefill is bound by arithmetic, not memory, and may be slower where decode is faster: then the first audio
    comes later and the rest sooner, which is only a warning.
    """
    places = [
        (module, name, child)
        for module in network.modules()
        for name, child in module.named_children()
        if isinstance(child, nn.Linear)
    ]
    largest = max((linear for _, _, linear in places), key=lambda linear: linear.weight.numel())
    _refuse_if_slower(largest)
    for module, name, linear in places:
        setattr(module, name, Int8Linear(linear))


def _refuse_if_slower(linear: nn.Linear) -> None:
    try:
        quantized = Int8Linear(linear)
        step, prefill = (_seconds_per_call(quantized, rows=rows) for rows in (1, _PREFILL_ROWS))
    except RuntimeError as error:
        raise ModelError(f"quantize: this processor or PyTorch cannot multiply 8-bit matrices: {error}") from error
    plain_step, plain_prefill = (_seconds_per_call(linear, rows=rows) for rows in (1, _PREFILL_ROWS))
    if step >= plain_step:
        raise ModelError(
            f"quantize: 8 bits would be slower here than 32 ({step * 1e3:.2f} against {plain_step * 1e3:.2f} ms"
            " for the largest layer): load the model without it"
        )
    if prefill >= plain_prefill:
        _LOGGER.warning(
            "quantize: 8 bits read texts slower here than 32 (%.2f against %.2f ms for the largest layer): the first "
            "audio comes later, what follows comes sooner",
            prefill * 1e3,
            plain_prefill * 1e3,
        )


@torch.inference_mode()
def _seconds_per_call(layer: nn.Linear | Int8Linear, *, rows: int) -> float:
    """The best of some trials: other load only makes them longer."""
    inputs = layer.weight.shape[1]
    x = torch.linspace(-1, 1, rows * inputs, dtype=torch.float32).reshape(rows, inputs)
    best = float("inf")
    for _ in range(_TRIALS):
        start = time.perf_counter()
        for _ in range(_CALLS_PER_TRIAL):
            layer(x)
        best = min(best, time.perf_counter() - start)
    return best / _CALLS_PER_TRIAL
