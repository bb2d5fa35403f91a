"""The codec (Mimi, arXiv:2410.00037, without its quantiser): audio to latents and back, streaming.

Knows nothing about language models: its latents are the codec's own, not normalised.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from wyoming_pocket_tts.pocket.schema import CodecTransformerConfig, MimiConfig
from wyoming_pocket_tts.pocket.torch.seanet import (
    CausalConv1d,
    CausalConvTranspose1d,
    SEANetDecoder,
    SEANetEncoder,
    State,
)
from wyoming_pocket_tts.pocket.torch.transformer import SlidingCache, Transformer, TransformerShape


class ProjectedTransformer(nn.Module):
    """A transformer over ``[B, C, T]`` that only looks back so far, with projections where widths differ."""

    def __init__(self, config: CodecTransformerConfig) -> None:
        super().__init__()
        width, output = config.d_model, config.output_dimension
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
        same = config.input_dimension == width
        self.input_proj = nn.Identity() if same else nn.Linear(config.input_dimension, width, bias=False)
        self.transformer = Transformer(shape)
        self.output_projs = nn.ModuleList([nn.Identity() if output == width else nn.Linear(width, output, bias=False)])

    def new_cache(self, batch: int, device: torch.device) -> SlidingCache:
        return SlidingCache(self.transformer.shape, batch=batch, device=device)

    def forward(self, x: Tensor, cache: SlidingCache) -> Tensor:  # [B, C, T]
        y = self.transformer(self.input_proj(x.transpose(1, 2)), cache)
        return self.output_projs[0](y).transpose(1, 2)  # type: ignore[no-any-return]


@dataclass(slots=True)
class EncoderState:
    """Where a stream of audio stands in the encoder."""

    transformer: SlidingCache
    seanet: State = None
    downsample: State = None


@dataclass(slots=True)
class DecoderState:
    """Where a stream of latents stands in the decoder."""

    transformer: SlidingCache
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
    """What is left of the quantiser: the way from a latent to the decoder's channels."""

    def __init__(self, latent_dim: int, channels: int) -> None:
        super().__init__()
        self.output_proj = nn.Conv1d(latent_dim, channels, 1, bias=False)


class Mimi(nn.Module):
    """Both halves of the codec.

    Args:
        config: the model's sizes.
    """

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
        """Begin a stream of audio."""
        return EncoderState(self.encoder_transformer.new_cache(batch, self._device))

    def encode(self, audio: Tensor, state: EncoderState) -> Tensor:
        """Encode whole frames of audio ``[B, 1, T * frame_samples]`` into ``[B, T, conditioning_dim]``."""
        x, state.seanet = self.encoder(audio, state.seanet)
        x = self.encoder_transformer(x, state.transformer)
        frames, state.downsample = self.downsample.conv(x, state.downsample)
        return frames.transpose(1, 2)  # type: ignore[no-any-return]

    def start_decoding(self, batch: int = 1) -> DecoderState:
        """Begin a stream of latents."""
        return DecoderState(self.decoder_transformer.new_cache(batch, self._device))

    def decode(self, latents: Tensor, state: DecoderState) -> Tensor:
        """Decode latents ``[B, T, latent_dim]`` into audio ``[B, 1, T * frame_samples]``."""
        x = self.quantizer.output_proj(latents.transpose(1, 2))
        x, state.upsample = self.upsample.convtr(x, state.upsample)
        x = self.decoder_transformer(x, state.transformer)
        audio, state.seanet = self.decoder(x, state.seanet)
        return audio  # type: ignore[no-any-return]

    @property
    def _device(self) -> torch.device:
        return self.quantizer.output_proj.weight.device
