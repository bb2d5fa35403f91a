"""Mimi and SEANet."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (PyTorch's own name for it)

from wyoming_pocket_tts.pocket.schema import CodecTransformerConfig, MimiConfig, SEANetConfig
from wyoming_pocket_tts.pocket.torch.transformer import SlidingWindowKVCache, Transformer, TransformerShape, product


class ProjectedTransformer(nn.Module):
    """A transformer over ``[B, C, T]`` with a sliding window, and projections where widths differ."""

    def __init__(self, config: CodecTransformerConfig) -> None:
        super().__init__()
        width, inputs, outputs = config.d_model, config.input_dimension, config.output_dimension
        shape = TransformerShape(
            width=width,
            layers=config.num_layers,
            heads=config.num_heads,
            key_heads=config.num_heads,
            attention_width=width,
            feedforward_width=config.dim_feedforward,
            max_period=config.max_period,
            context=config.context,
            layer_scale=True,
        )
        self.input_proj = nn.Identity() if inputs == width else nn.Linear(inputs, width, bias=False)
        self.transformer = Transformer(shape)
        self.output_projs = nn.ModuleList(
            [nn.Identity() if outputs == width else nn.Linear(width, outputs, bias=False)]
        )

    def new_cache(self, batch: int, device: torch.device) -> SlidingWindowKVCache:
        return SlidingWindowKVCache(self.transformer.shape, batch=batch, device=device)

    def forward(self, x: Tensor, cache: SlidingWindowKVCache) -> Tensor:  # [B, C, T]
        y = self.transformer(self.input_proj(x.transpose(1, 2)), cache)
        return self.output_projs[0](y).transpose(1, 2)  # type: ignore[no-any-return]


State = Tensor | tuple["State", ...] | None
"""Streaming state of a layer, or of a chain of layers."""


@dataclass(slots=True)
class EncoderState:
    """Streaming state of the encoder."""

    transformer: SlidingWindowKVCache
    seanet: State = None
    downsample: State = None


@dataclass(slots=True)
class DecoderState:
    """Streaming state of the decoder."""

    transformer: SlidingWindowKVCache
    upsample: State = None
    seanet: State = None


class Downsample(nn.Module):
    """From the convolutions' rate to the latents'."""

    def __init__(self, channels: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv = CausalConv1d(channels, outputs, 2 * stride, stride, bias=False, pad_mode="replicate")


class Upsample(nn.Module):
    """From the latents' rate to the convolutions', channel by channel."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.convtr = CausalConvTranspose1d(channels, channels, stride, depthwise=True)


class Quantizer(nn.Module):
    """The part of the quantiser that is needed: the projection of a latent to the decoder's channels."""

    def __init__(self, latent_dim: int, channels: int) -> None:
        super().__init__()
        self.output_proj = nn.Conv1d(latent_dim, channels, 1, bias=False)


class Mimi(nn.Module):
    """Encoder and decoder of the codec."""

    def __init__(self, config: MimiConfig) -> None:
        super().__init__()
        decoder = config.decoder_seanet_or_same
        stride = config.frames_per_latent
        self.frame_samples = config.frame_samples
        self.encoder = SEANetEncoder(config.seanet)
        self.encoder_transformer = ProjectedTransformer(config.transformer)
        self.downsample = Downsample(config.seanet.dimension, config.conditioning_dim, stride)
        self.quantizer = Quantizer(config.quantizer.dimension, config.quantizer.output_dimension)
        self.upsample = Upsample(decoder.dimension, stride)
        self.decoder_transformer = ProjectedTransformer(config.decoder_transformer_or_same)
        self.decoder = SEANetDecoder(decoder)

    def start_encoding(self, batch: int = 1) -> EncoderState:
        return EncoderState(self.encoder_transformer.new_cache(batch, self._device))

    def encode(self, audio: Tensor, state: EncoderState) -> Tensor:
        """Whole frames of audio ``[B, 1, T * frame_samples]`` -> ``[B, T, conditioning_dim]``."""
        x, state.seanet = self.encoder(audio, state.seanet)
        x = self.encoder_transformer(x, state.transformer)
        frames, state.downsample = self.downsample.conv(x, state.downsample)
        return frames.transpose(1, 2)  # type: ignore[no-any-return]

    def start_decoding(self, batch: int = 1) -> DecoderState:
        return DecoderState(self.decoder_transformer.new_cache(batch, self._device))

    def decode(self, latents: Tensor, state: DecoderState) -> Tensor:
        """Latents ``[B, T, latent_dim]`` -> audio ``[B, 1, T * frame_samples]``."""
        x = self.quantizer.output_proj(latents.transpose(1, 2))
        x, state.upsample = self.upsample.convtr(x, state.upsample)
        x = self.decoder_transformer(x, state.transformer)
        audio, state.seanet = self.decoder(x, state.seanet)
        return audio  # type: ignore[no-any-return]

    @property
    def _device(self) -> torch.device:
        return self.quantizer.output_proj.weight.device


class CausalConv1d(nn.Module):
    """A causal convolution; its state is the end of its input.

    Before the beginning lie zeros, or the first sample with the ``pad_mode`` "replicate".
    """

    def __init__(
        self,
        channels: int,
        outputs: int,
        kernel: int,
        stride: int = 1,
        dilation: int = 1,
        *,
        bias: bool = True,
        pad_mode: str = "constant",
    ) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels, outputs, kernel, stride, dilation=dilation, bias=bias)
        self._past = (kernel - 1) * dilation + 1 - stride
        self._replicates = pad_mode == "replicate"

    def forward(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:  # [B, C, T], T a multiple of the stride
        if not self._past:
            return self.conv(x), None
        past = state if isinstance(state, Tensor) else self._before(x)
        x = torch.cat([past, x], dim=-1)
        return self.conv(x), x[..., x.shape[-1] - self._past :]

    def _before(self, x: Tensor) -> Tensor:
        first = x[..., :1] if self._replicates else x.new_zeros(x.shape[0], x.shape[1], 1)
        return first.expand(-1, -1, self._past)


class CausalConvTranspose1d(nn.Module):
    """A transposed convolution with a kernel of twice its stride; ``depthwise`` ones have no bias.

    Each input gives two strides of output: its own, and the state, which is added to the next input's.
    """

    def __init__(self, channels: int, outputs: int, stride: int, *, depthwise: bool = False) -> None:
        super().__init__()
        groups = channels if depthwise else 1
        self.convtr = nn.ConvTranspose1d(channels, outputs, 2 * stride, stride, groups=groups, bias=not depthwise)
        self._stride = stride
        self._depthwise = depthwise

    def forward(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:  # [B, C, T] -> [B, C', T * stride]
        weight, bias = self.convtr.weight, self.convtr.bias  # [C, C', 2 * stride]
        # PyTorch's own depthwise product is twenty times as slow as multiplying each channel by its kernel
        both = x[..., None] * weight if self._depthwise else self._each(x)
        own, later = both.split(self._stride, dim=-1)  # each [B, C', T, stride]
        before = state[:, :, None] if isinstance(state, Tensor) else torch.zeros_like(later[:, :, :1])
        y = (own + torch.cat([before, later[:, :, :-1]], dim=2)).flatten(2)
        return (y if bias is None else y + bias[:, None]), later[:, :, -1]

    def _each(self, x: Tensor) -> Tensor:
        """The output of each input by itself: ``[B, C, T] -> [B, C', T, 2 * stride]``."""
        weight = self.convtr.weight
        outputs = product(x.transpose(1, 2), weight.flatten(1).T)  # [B, T, C' * 2 * stride]
        return outputs.unflatten(-1, weight.shape[1:]).transpose(1, 2)  # type: ignore[no-any-return]


class Elu(nn.Module):
    """ELU in a chain of layers with states; its own stays empty."""

    def forward(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        return F.elu(x), state


def run(layers: Iterable[nn.Module], x: Tensor, state: State) -> tuple[Tensor, State]:
    """Run a piece of a stream through a chain of layers."""
    states: list[State] = []
    layers = list(layers)
    before = state if isinstance(state, tuple) else (None,) * len(layers)
    for layer, layer_state in zip(layers, before, strict=True):
        x, after = layer(x, layer_state)
        states.append(after)
    return x, tuple(states)


class ResidualUnit(nn.Module):
    """Two convolutions through fewer channels, added to their input."""

    def __init__(self, channels: int, *, dilation: int, config: SEANetConfig) -> None:
        super().__init__()
        hidden = channels // config.compress
        pad = config.pad_mode
        self.block = nn.ModuleList(
            [
                Elu(),
                CausalConv1d(channels, hidden, config.residual_kernel_size, dilation=dilation, pad_mode=pad),
                Elu(),
                CausalConv1d(hidden, channels, 1, pad_mode=pad),
            ]
        )

    def forward(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:  # [B, C, T]
        y, state = run(self.block, x, state)
        return x + y, state


def _residuals(channels: int, config: SEANetConfig) -> list[nn.Module]:
    return [
        ResidualUnit(channels, dilation=config.dilation_base**index, config=config)
        for index in range(config.n_residual_layers)
    ]


class SEANetEncoder(nn.Module):
    """Audio ``[B, 1, T]`` to ``[B, dimension, T / hop]``; each halving of the rate doubles the channels."""

    def __init__(self, config: SEANetConfig) -> None:
        super().__init__()
        pad, channels = config.pad_mode, config.n_filters
        layers: list[nn.Module] = [CausalConv1d(config.channels, channels, config.kernel_size, pad_mode=pad)]
        for ratio in reversed(config.ratios):
            layers += _residuals(channels, config)
            layers += [Elu(), CausalConv1d(channels, 2 * channels, 2 * ratio, ratio, pad_mode=pad)]
            channels *= 2
        layers += [Elu(), CausalConv1d(channels, config.dimension, config.last_kernel_size, pad_mode=pad)]
        self.model = nn.ModuleList(layers)

    def forward(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        return run(self.model, x, state)


class SEANetDecoder(nn.Module):
    """``[B, dimension, T]`` to audio ``[B, 1, T * hop]``, the encoder's way back."""

    def __init__(self, config: SEANetConfig) -> None:
        super().__init__()
        pad, channels = config.pad_mode, config.n_filters * 2 ** len(config.ratios)
        layers: list[nn.Module] = [CausalConv1d(config.dimension, channels, config.kernel_size, pad_mode=pad)]
        for ratio in config.ratios:
            layers += [Elu(), CausalConvTranspose1d(channels, channels // 2, ratio)]
            channels //= 2
            layers += _residuals(channels, config)
        layers += [Elu(), CausalConv1d(channels, config.channels, config.last_kernel_size, pad_mode=pad)]
        self.model = nn.ModuleList(layers)

    def forward(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        return run(self.model, x, state)
