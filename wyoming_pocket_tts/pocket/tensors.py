"""Which tensors a model's weights must hold, with their shapes, from its config alone. Knows no file.

The names are those of the released files. A linear layer is [out, in], a convolution [out, in, kernel],
a transposed one [in, out, kernel].
"""

from collections.abc import Iterator

from wyoming_pocket_tts.pocket.schema import (
    CodecTransformerConfig,
    FlowLMConfig,
    MimiConfig,
    ModelConfig,
    SEANetConfig,
)

Shape = tuple[int, ...]
_Tensors = Iterator[tuple[str, Shape]]

TIME_FREQUENCIES = 128
"""The sampler head sees a time as so many cosines and sines."""


def expected_tensors(config: ModelConfig) -> dict[str, Shape]:
    """Every tensor of ``model.safetensors``, by its name there: ``flow_lm....`` and ``mimi....``."""
    return {
        **dict(_under("flow_lm", _flow_lm(config.flow_lm, config.latent_dim, config.mimi.conditioning_dim))),
        **dict(_under("mimi", _mimi(config.mimi))),
    }


def _flow_lm(config: FlowLMConfig, latent_dim: int, voice_dim: int) -> _Tensors:
    backbone, table = config.transformer, config.lookup_table
    width = backbone.d_model
    yield "bos_emb", (latent_dim,)
    if config.insert_bos_before_voice:
        yield "bos_before_voice", (1, 1, width)
    yield "emb_mean", (latent_dim,)
    yield "emb_std", (latent_dim,)
    yield "speaker_proj_weight", (width, voice_dim)
    yield "conditioner.embed.weight", (table.n_bins + 1, table.rank or table.dim)
    if table.rank:
        yield "conditioner.proj.weight", (table.dim, table.rank)
    yield "input_linear.weight", (width, latent_dim)
    for i in range(backbone.num_layers):
        yield from _under(
            f"transformer.layers.{i}",
            _transformer_layer(
                width,
                attention_dim=backbone.attention_dim,
                kv_dim=backbone.kv_heads * backbone.head_dim,
                feedforward_dim=backbone.feedforward_dim,
            ),
        )
    yield from _norm("out_norm", width)
    if config.z_dim:
        yield "z_proj.weight", (config.z_dim, width)
    yield from _linear("out_eos", 1, config.condition_dim)
    yield from _under("flow_net", _flow_net(config, latent_dim))


def _flow_net(config: FlowLMConfig, latent_dim: int) -> _Tensors:
    width = config.flow.dim
    for i in range(config.flow.n_times):
        name = f"time_embed.{i}"
        yield f"{name}.freqs", (TIME_FREQUENCIES,)
        yield from _linear(f"{name}.mlp.0", width, 2 * TIME_FREQUENCIES)
        yield from _linear(f"{name}.mlp.2", width, width)
        yield f"{name}.mlp.3.alpha", (width,)
    yield from _linear("cond_embed", width, config.condition_dim)
    yield from _linear("input_proj", width, latent_dim)
    for i in range(config.flow.depth):
        name = f"res_blocks.{i}"
        yield from _norm(f"{name}.in_ln", width)
        yield from _linear(f"{name}.mlp.0", width, width)
        yield from _linear(f"{name}.mlp.2", width, width)
        yield from _linear(f"{name}.adaLN_modulation.1", 3 * width, width)
    yield from _linear("final_layer.linear", latent_dim, width)
    yield from _linear("final_layer.adaLN_modulation.1", 2 * width, width)


def _mimi(config: MimiConfig) -> _Tensors:
    encoder, decoder = config.seanet, config.decoder_seanet_or_same
    kernel = 2 * config.frames_per_latent
    yield "quantizer.output_proj.weight", (config.quantizer.output_dimension, config.quantizer.dimension, 1)
    yield "downsample.conv.conv.weight", (config.conditioning_dim, encoder.dimension, kernel)
    yield "upsample.convtr.convtr.weight", (decoder.dimension, 1, kernel)
    yield from _under("encoder_transformer", _codec_transformer(config.transformer))
    yield from _under("decoder_transformer", _codec_transformer(config.decoder_transformer_or_same))
    yield from _under("encoder.model", _encoder(encoder))
    yield from _under("decoder.model", _decoder(decoder))


def _codec_transformer(config: CodecTransformerConfig) -> _Tensors:
    width = config.d_model
    if config.input_dimension != width:
        yield "input_proj.weight", (width, config.input_dimension)
    if config.output_dimension != width:
        yield "output_projs.0.weight", (config.output_dimension, width)
    for i in range(config.num_layers):
        name = f"transformer.layers.{i}"
        yield from _under(
            name,
            _transformer_layer(width, attention_dim=width, kv_dim=width, feedforward_dim=config.dim_feedforward),
        )
        yield f"{name}.layer_scale_1.scale", (width,)
        yield f"{name}.layer_scale_2.scale", (width,)


def _transformer_layer(width: int, *, attention_dim: int, kv_dim: int, feedforward_dim: int) -> _Tensors:
    yield "self_attn.in_proj.weight", (attention_dim + 2 * kv_dim, width)
    yield "self_attn.out_proj.weight", (width, attention_dim)
    yield from _norm("norm1", width)
    yield from _norm("norm2", width)
    yield "linear1.weight", (feedforward_dim, width)
    yield "linear2.weight", (width, feedforward_dim)


def _encoder(config: SEANetConfig) -> _Tensors:
    """Layers are numbered as they follow each other, activations too: those have no weights and are stepped over."""
    width, n = config.n_filters, 0
    yield from _conv(f"{n}.conv", width, config.channels, config.kernel_size)
    for ratio in reversed(config.ratios):
        for _ in range(config.n_residual_layers):
            n += 1
            yield from _residual_block(f"{n}", width, config)
        n += 2
        yield from _conv(f"{n}.conv", 2 * width, width, 2 * ratio)
        width *= 2
    yield from _conv(f"{n + 2}.conv", config.dimension, width, config.last_kernel_size)


def _decoder(config: SEANetConfig) -> _Tensors:
    width, n = config.n_filters * 2 ** len(config.ratios), 0
    yield from _conv(f"{n}.conv", width, config.dimension, config.kernel_size)
    for ratio in config.ratios:
        n += 2
        yield f"{n}.convtr.weight", (width, width // 2, 2 * ratio)
        yield f"{n}.convtr.bias", (width // 2,)
        width //= 2
        for _ in range(config.n_residual_layers):
            n += 1
            yield from _residual_block(f"{n}", width, config)
    yield from _conv(f"{n + 2}.conv", config.channels, width, config.last_kernel_size)


def _residual_block(name: str, width: int, config: SEANetConfig) -> _Tensors:
    hidden = width // config.compress
    yield from _conv(f"{name}.block.1.conv", hidden, width, config.residual_kernel_size)
    yield from _conv(f"{name}.block.3.conv", width, hidden, 1)


def _conv(name: str, out: int, into: int, kernel: int) -> _Tensors:
    yield f"{name}.weight", (out, into, kernel)
    yield f"{name}.bias", (out,)


def _linear(name: str, out: int, into: int) -> _Tensors:
    yield f"{name}.weight", (out, into)
    yield f"{name}.bias", (out,)


def _norm(name: str, width: int) -> _Tensors:
    yield f"{name}.weight", (width,)
    yield f"{name}.bias", (width,)


def _under(prefix: str, tensors: _Tensors) -> _Tensors:
    return ((f"{prefix}.{name}", shape) for name, shape in tensors)
