"""Model config, upstream YAML format."""

import math
from collections.abc import Mapping
from dataclasses import fields
from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from wyoming_pocket_tts.pocket.text import TextRules

Size = Annotated[int, Field(ge=1, le=65_536)]
"""A width or length, bounded against hostile files."""
Count = Annotated[int, Field(ge=1, le=256)]
Sizes = Annotated[tuple[Size, ...], Field(strict=False, min_length=1, max_length=8)]
"""Strict in its items alone: YAML has lists, no tuples."""
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]

FlowType = Literal["lsd", "flow_matching", "drifting", "pointwise"]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class FlowConfig(_Strict):
    """The sampler head: a latent from noise and the transformer's output."""

    dim: Size
    depth: Count
    type: FlowType = "lsd"

    @property
    def n_times(self) -> int:
        """Time inputs of the head, in [0, 1]: start and target for ``lsd``, one or none for the others."""
        return {"lsd": 2, "flow_matching": 1, "drifting": 0, "pointwise": 0}[self.type]

    @property
    def fewest_steps(self) -> int:
        """Sampler steps below which no speech comes out; also what is recommended."""
        return 16 if self.type == "flow_matching" else 1


class BackboneConfig(_Strict):
    hidden_scale: Count
    max_period: Positive
    d_model: Size
    num_heads: Count
    num_layers: Count
    attn_dim: Size | None = None
    """Width of queries and of the attention output; ``d_model`` when not set."""
    num_kv_heads: Count | None = None
    """Key/value heads, each shared by as many query heads; ``num_heads`` when not set."""
    dim_feedforward: Size | None = None
    """Hidden width of the feed-forward layers; ``d_model * hidden_scale`` when not set."""

    @cached_property
    def attention_dim(self) -> int:
        return self.attn_dim or self.d_model

    @cached_property
    def kv_heads(self) -> int:
        return self.num_kv_heads or self.num_heads

    @cached_property
    def head_dim(self) -> int:
        return self.attention_dim // self.num_heads

    @property
    def feedforward_dim(self) -> int:
        return self.dim_feedforward or self.d_model * self.hidden_scale

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        _check_heads("attn_dim" if self.attn_dim else "d_model", self.attention_dim, self.num_heads)
        if self.num_heads % self.kv_heads:
            raise ValueError(f"num_kv_heads {self.kv_heads} must divide num_heads {self.num_heads}")
        return self


class LookupTableConfig(_Strict):
    dim: Size
    n_bins: Size
    """Entries of the tokenizer; the table has one row more, for padding."""
    tokenizer: Literal["sentencepiece", "tokenizers", "json"]
    """Format of the tokenizer's file; ``tokenizers`` and ``json`` both mean a ``tokenizer.json``."""
    tokenizer_path: str
    rank: Size | None = None
    """When set, embeddings are this wide and a projection brings them to ``dim``."""


class FlowLMConfig(_Strict):
    dtype: Literal["float32"]
    flow: FlowConfig
    transformer: BackboneConfig
    z_dim: Size | None = None
    """When set, the transformer's output is projected to this width for the two heads."""
    lookup_table: LookupTableConfig
    weights_path: str | None = None
    """A file with FlowLM's weights alone; needs ``mimi.weights_path`` beside it."""
    insert_bos_before_voice: bool = False

    @property
    def condition_dim(self) -> int:
        """Width of the input of the sampler and end-of-speech heads."""
        return self.z_dim or self.transformer.d_model

    @model_validator(mode="after")
    def _embeddings_fit(self) -> Self:
        if self.lookup_table.dim != self.transformer.d_model:
            raise ValueError(
                f"lookup_table.dim {self.lookup_table.dim} must equal transformer.d_model {self.transformer.d_model}"
            )
        return self


class SEANetConfig(_Strict):
    """The convolutions between samples and the codec's transformer, in the decoder's order."""

    dimension: Size
    channels: Literal[1]
    n_filters: Size
    n_residual_layers: Count
    ratios: Sizes
    """Strides of the decoder; the encoder has them in reverse."""
    kernel_size: Size
    residual_kernel_size: Size
    last_kernel_size: Size
    dilation_base: Count
    pad_mode: Literal["constant", "replicate"]
    compress: Count

    @property
    def hop_samples(self) -> int:
        return math.prod(self.ratios)

    @model_validator(mode="after")
    def _residual_blocks_have_channels(self) -> Self:
        if self.n_filters < self.compress:
            raise ValueError(f"compress {self.compress} must be at most n_filters {self.n_filters}")
        return self


class CodecTransformerConfig(_Strict):
    """A transformer of the codec; attends to the last ``context`` positions."""

    d_model: Size
    input_dimension: Size
    output_dimensions: Annotated[tuple[Size, ...], Field(strict=False, min_length=1, max_length=1)]
    num_heads: Count
    num_layers: Count
    layer_scale: float
    """Initial value of training; the released weights have their own."""
    context: Size
    max_period: Positive = 10_000.0
    dim_feedforward: Size

    @property
    def output_dimension(self) -> int:
        return self.output_dimensions[0]

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        _check_heads("d_model", self.d_model, self.num_heads)
        return self


class QuantizerConfig(_Strict):
    """The projection of latents at the codec's entrance; nothing is quantized."""

    dimension: Size
    """Width of a latent."""
    output_dimension: Size


class MimiConfig(_Strict):
    """The codec: audio to voice prompts, and latents to audio."""

    dtype: Literal["float32"]
    sample_rate: Annotated[int, Field(ge=8_000, le=192_000)]
    channels: Literal[1]
    frame_rate: Positive
    """Latents a second."""
    seanet: SEANetConfig
    transformer: CodecTransformerConfig
    quantizer: QuantizerConfig
    weights_path: str | None = None
    """A file with the codec's weights; replaces those in the model's own file."""
    inner_dim: Size | None = None
    """Width of the encoder's output; ``seanet.dimension`` when not set."""
    outer_dim: Size | None = None
    """Width of the decoder's input; its SEANet's dimension when not set."""
    decoder_seanet: SEANetConfig | None = None
    decoder_transformer: CodecTransformerConfig | None = None

    @property
    def decoder_seanet_or_same(self) -> SEANetConfig:
        return self.decoder_seanet or self.seanet

    @property
    def decoder_transformer_or_same(self) -> CodecTransformerConfig:
        return self.decoder_transformer or self.transformer

    @property
    def hop_samples(self) -> int:
        """Samples of a position of the codec's transformers (120)."""
        return self.seanet.hop_samples

    @property
    def frame_samples(self) -> int:
        """Samples of a latent (1920)."""
        return round(self.sample_rate / self.frame_rate)

    @property
    def frames_per_latent(self) -> int:
        """Positions of the codec's transformers for one latent (16)."""
        return self.frame_samples // self.hop_samples

    @property
    def conditioning_dim(self) -> int:
        return self.inner_dim or self.seanet.dimension

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.frame_samples * self.frame_rate != self.sample_rate:
            raise ValueError(f"sample_rate {self.sample_rate} must be a multiple of frame_rate {self.frame_rate}")
        decoder, hop, frame = self.decoder_seanet_or_same, self.hop_samples, self.frame_samples
        if decoder.hop_samples != hop:
            raise ValueError(
                f"decoder_seanet.ratios must make {hop} samples as seanet.ratios, not {decoder.hop_samples}"
            )
        if frame % hop or frame == hop:
            raise ValueError(
                f"seanet.ratios make {hop} samples: a frame of {frame} samples must be a multiple of it, twice at least"
            )
        sides = ("", self.seanet, self.transformer), ("decoder_", decoder, self.decoder_transformer_or_same)
        for side, network, transformer in sides:
            if {transformer.input_dimension, transformer.output_dimension} != {network.dimension}:
                raise ValueError(
                    f"{side}transformer.input_dimension and output_dimensions must be"
                    f" {side}seanet.dimension {network.dimension}"
                )
        if {self.outer_dim or decoder.dimension, self.quantizer.output_dimension} != {decoder.dimension}:
            raise ValueError(
                f"quantizer.output_dimension and outer_dim must be the decoder's seanet dimension {decoder.dimension}"
            )
        return self


class ModelConfig(_Strict):
    """Networks, sources of the weights, text rules."""

    flow_lm: FlowLMConfig
    mimi: MimiConfig
    weights_path: str | None = None
    weights_path_without_voice_cloning: str | None = None
    """The same model without the encoder of voice prompts; open, while ``weights_path`` may be gated."""
    pad_with_spaces_for_short_inputs: bool = False
    remove_semicolons: bool = False
    append_terminal_punctuation: bool = True
    capitalize_first_letter: bool = True
    replace_characters: Mapping[Annotated[str, Field(min_length=1, max_length=1)], str] = {}
    model_recommended_frames_after_eos: Annotated[int, Field(ge=0)] | None = None
    default_temperature: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.3
    default_eos_threshold: Annotated[float, Field(allow_inf_nan=False)] = -4.0

    @property
    def latent_dim(self) -> int:
        return self.mimi.quantizer.dimension

    @property
    def text_rules(self) -> TextRules:
        return TextRules(**{rule.name: getattr(self, rule.name) for rule in fields(TextRules)})

    @model_validator(mode="after")
    def _weights_are_named(self) -> Self:
        if self.flow_lm.weights_path and not self.mimi.weights_path:
            raise ValueError("flow_lm.weights_path needs mimi.weights_path beside it")
        if not self.flow_lm.weights_path and not self.weights_path:
            raise ValueError(
                "weights_path, or flow_lm.weights_path and mimi.weights_path, must say where the weights are"
            )
        return self


def _check_heads(name: str, width: int, heads: int) -> None:
    """Rotary embeddings turn pairs of numbers: a head needs an even width."""
    if width % heads or width // heads % 2:
        raise ValueError(f"{name} {width} must be an even multiple of num_heads {heads}")
