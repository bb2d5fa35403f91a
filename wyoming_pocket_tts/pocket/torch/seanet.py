"""The convolutional halves of the codec: SEANet (arXiv:2009.02095), causal and streaming.

Knows nothing about latents or transformers. Every layer maps ``(x, state)`` to ``(y, state)``; the state None is the
beginning of a stream. A stream may be cut anywhere between frames: the pieces of the output are the whole.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (PyTorch's own name for it)

from wyoming_pocket_tts.pocket.schema import SEANetConfig
from wyoming_pocket_tts.pocket.torch.linear import product

State = Tensor | tuple["State", ...] | None
"""What a layer, or a chain of layers, carries from one piece of a stream to the next."""


class CausalConv1d(nn.Module):
    """A convolution that sees the present and the past; its state is the end of its input.

    Args:
        pad_mode: what lies before the beginning: ``constant`` zeros, or ``replicate``, the first sample.
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
    """A transposed convolution whose kernel is twice its stride.

    Each input makes two strides of output: one of its own, and one that is added to the next input's. The latter is the
    state.

    Args:
        depthwise: every channel by itself, without a bias.
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
        """What each input makes by itself: ``[B, C, T] -> [B, C', T, 2 * stride]``."""
        weight = self.convtr.weight
        outputs = product(x.transpose(1, 2), weight.flatten(1).T)  # [B, T, C' * 2 * stride]
        return outputs.unflatten(-1, weight.shape[1:]).transpose(1, 2)  # type: ignore[no-any-return]


class Elu(nn.Module):
    """The nonlinearity; it remembers nothing."""

    def forward(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        return F.elu(x), state


def run(layers: Iterable[nn.Module], x: Tensor, state: State) -> tuple[Tensor, State]:
    """Run a piece of a stream through layers one after the other."""
    states: list[State] = []
    layers = list(layers)
    before = state if isinstance(state, tuple) else (None,) * len(layers)
    for layer, layer_state in zip(layers, before, strict=True):
        x, after = layer(x, layer_state)
        states.append(after)
    return x, tuple(states)


class ResidualUnit(nn.Module):
    """Two convolutions through fewer channels, added to what they read."""

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
