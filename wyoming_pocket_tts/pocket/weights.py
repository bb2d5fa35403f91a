"""Weights of a config: names, shapes, older layouts."""

import hashlib
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from wyoming_pocket_tts.core.errors import CacheNotWritable, DownloadError, ModelError, quote_untrusted
from wyoming_pocket_tts.core.types import Floats
from wyoming_pocket_tts.pocket.hub import fetch
from wyoming_pocket_tts.pocket.schema import CodecTransformerConfig, FlowLMConfig, MimiConfig, ModelConfig, SEANetConfig
from wyoming_pocket_tts.pocket.tensor_files import SafetensorsFile, Shape, TensorEntry

_LOGGER = logging.getLogger(__name__)

Fetch = Callable[[str], Path]


@dataclass(frozen=True)
class Weights:
    tensors: Mapping[str, Floats]
    """All of ``expected_tensors``, of the right shape; read-only."""
    has_voice_cloning: bool
    fingerprint: str
    """Of the weights that a voice state depends on; the same for gated, open and converted files."""
    files: tuple[Path, ...]


def load_weights(config: ModelConfig, *, fetch: Fetch = fetch, on_demand: bool = False) -> Weights:
    """Load the weights that a config names, downloading what is not there yet.

    These are ``flow_lm.weights_path`` and ``mimi.weights_path``, or ``weights_path``, in which ``mimi.weights_path``
    replaces the codec. If ``weights_path`` cannot be had, ``weights_path_without_voice_cloning`` is loaded. With
    ``on_demand`` each access reads the tensor anew: memory is needed for one at a time.

    Raises DownloadError, or ModelError for a damaged file and a tensor that is missing, unknown or of another shape.
    """
    sources: dict[str, _Source] = {}
    has_voice_cloning = True
    if config.weights_path:
        open_source = config.weights_path_without_voice_cloning
        path, has_voice_cloning = _fetch_whole(config.weights_path, open_source, fetch)
        file = SafetensorsFile(path)
        sources = {name: _Source(file, entry) for name, entry in file.entries.items()}
        if config.flow_lm.weights_path:
            _LOGGER.warning("flow_lm.weights_path is not used: weights_path %s has these weights, too", path)
    elif config.flow_lm.weights_path:
        sources = _flow_lm_sources(SafetensorsFile(fetch(config.flow_lm.weights_path)))
    if config.mimi.weights_path:
        sources = {name: source for name, source in sources.items() if not name.startswith("mimi.")}
        sources |= _mimi_sources(SafetensorsFile(fetch(config.mimi.weights_path)))

    expected = expected_tensors(config)
    files = tuple(dict.fromkeys(source.file.path for source in sources.values()))
    missing = [name for name in expected if name not in sources]
    unknown = [source.entry.name for name, source in sources.items() if name not in expected]
    for names, state in ((missing, "missing"), (unknown, "unknown")):
        if names:
            more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
            raise ModelError(
                f"{' and '.join(map(str, files))}: tensor {quote_untrusted(names[0])}{more} is {state}: the file does"
                " not belong to this config"
            )
    for name, shape in expected.items():
        sources[name].check(name, shape)
    chosen = {name: sources[name] for name in expected}
    tensors: Mapping[str, Floats] = (
        _OnDemand(chosen) if on_demand else MappingProxyType({name: source.load() for name, source in chosen.items()})
    )
    return Weights(
        tensors=tensors,
        has_voice_cloning=has_voice_cloning,
        fingerprint=_fingerprint(_OnDemand(chosen, mapped=True) if on_demand else tensors),
        files=files,
    )


@dataclass(frozen=True)
class _Source:
    """Where a tensor comes from: an entry of a file; with a magnitude, the entry is its direction."""

    file: SafetensorsFile
    entry: TensorEntry
    magnitude: TensorEntry | None = None

    def check(self, name: str, shape: Shape) -> None:
        if self.entry.shape != shape:
            raise ModelError(
                f"{self.file.path}: tensor '{self.entry.name}' has the shape {list(self.entry.shape)}; the config makes"
                f" {name} {list(shape)}: weights and config do not belong together"
            )
        length_shape = (shape[0], *[1] * (len(shape) - 1)) if shape else ()
        if self.magnitude is not None and self.magnitude.shape != length_shape:
            raise ModelError(
                f"{self.file.path}: tensor '{self.magnitude.name}' has the shape {list(self.magnitude.shape)},"
                f" not {list(length_shape)}"
            )

    def load(self, *, mapped: bool = True) -> Floats:
        values = self.file.read(self.entry, mapped=mapped)
        if self.magnitude is None:
            return values
        length = np.sqrt(np.square(values).sum(axis=tuple(range(1, values.ndim)), keepdims=True))
        scaled: Floats = values * (self.file.read(self.magnitude, mapped=mapped) / length)
        return scaled


class _OnDemand(Mapping[str, Floats]):
    """Tensors that stay in their files: each access gives a view if ``mapped``, else a copy."""

    def __init__(self, sources: Mapping[str, _Source], *, mapped: bool = False) -> None:
        self._sources = sources
        self._mapped = mapped

    def __getitem__(self, name: str) -> Floats:
        return self._sources[name].load(mapped=self._mapped)

    def __iter__(self) -> Iterator[str]:
        return iter(self._sources)

    def __len__(self) -> int:
        return len(self._sources)

    def __contains__(self, name: object) -> bool:  # without reading it
        return name in self._sources


def _fetch_whole(source: str, open_source: str | None, fetch: Fetch) -> tuple[Path, bool]:
    try:
        return fetch(source), True
    except DownloadError as error:
        # the other file is as large: a full disk has no room for it either
        if isinstance(error, CacheNotWritable) or not open_source:
            raise
        _LOGGER.warning(
            "The weights that can clone voices are not to be had (%s). Continuing without: ready-made voices work,"
            " voices from recordings do not.",
            error,
        )
    return fetch(open_source), False


_FLOW_LM_NAMES = {
    "condition_provider.conditioners.transcript_in_segment.embed.weight": "conditioner.embed.weight",
    "condition_provider.conditioners.speaker_wavs.output_proj.weight": "speaker_proj_weight",
    "fuser.padding_value": "bos_before_voice",
}
"""Names of training, and of the released models."""
_FLOW_LM_LEFTOVERS = re.compile(
    r"flow\.w_s_t\..*|num_ema_updates|condition_provider\.conditioners\.(transcript_in_segment|speaker_wavs)\.learnt_padding"
)
_MIMI_LEFTOVERS = re.compile(
    r"model\.quantizer\.vq\..*|(model\.)?quantizer\.logvar_proj\.weight|.*_codebook.*|.*wavlm_emb_downsample.*"
    r"|wavlm_input_resample\.kernel|wavlm_proj\.weight|quantizer\.logvar_param"
)
"""What training leaves in its files and no model needs."""
_MIMI_NAMES = (
    (".weight_g", ".weight"),
    (".conv.conv.", ".conv."),
    (".convtr.convtr.", ".convtr."),
    ("in_proj_weight", "in_proj.weight"),
)


def _flow_lm_sources(file: SafetensorsFile) -> dict[str, _Source]:
    """FlowLM's tensors from a file of its own."""
    return {
        "flow_lm." + _FLOW_LM_NAMES.get(name, name).replace("in_proj_weight", "in_proj.weight"): _Source(file, entry)
        for name, entry in file.entries.items()
        if not _FLOW_LM_LEFTOVERS.fullmatch(name)
    }


def _mimi_sources(file: SafetensorsFile) -> dict[str, _Source]:
    """The codec's tensors: from a whole model's file, or from a file of its own with the names of training."""
    bundled = {name: _Source(file, entry) for name, entry in file.entries.items() if name.startswith("mimi.")}
    if bundled:
        return bundled
    sources = {}
    for name, entry in file.entries.items():
        if _MIMI_LEFTOVERS.fullmatch(name) or name.endswith(".weight_v"):
            continue
        renamed = name.removeprefix("model.")
        for old, new in _MIMI_NAMES:
            renamed = renamed.replace(old, new)
        source = _Source(file, entry)
        if name.endswith(".weight_g"):  # a weight as its magnitude, weight_g, and its direction, weight_v
            direction = name.removesuffix("_g") + "_v"
            if direction not in file.entries:
                raise ModelError(f"{file.path}: tensor '{direction}' is missing: '{name}' is of no use without it")
            source = _Source(file, file.entries[direction], magnitude=entry)
        sources[f"mimi.{renamed}"] = source
    return sources


def _fingerprint(tensors: Mapping[str, Floats]) -> str:
    """Hash a sample of what keys and values depend on: vectors whole, of matrices the first row.

    Weights that differ at all differ everywhere: there is no need to read all of them from the disk.
    """
    digest = hashlib.sha256()
    for name in sorted(tensors):
        if name.startswith("flow_lm.transformer."):
            values = tensors[name]
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(values if values.ndim == 1 else values[0], dtype="<f4").tobytes())
    return digest.hexdigest()[:16]


_Tensors = Iterator[tuple[str, Shape]]

TIME_FREQUENCIES = 128
"""Cosines and sines, each, of a time input of the sampler head."""


def expected_tensors(config: ModelConfig) -> dict[str, Shape]:
    """Every tensor of ``model.safetensors``, by its name there: ``flow_lm....`` and ``mimi....``."""
    flow_lm = _flow_lm(config.flow_lm, config.latent_dim, config.mimi.conditioning_dim)
    return {**dict(_under("flow_lm", flow_lm)), **dict(_under("mimi", _mimi(config.mimi)))}


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
        yield from _transformer_layer(
            f"transformer.layers.{i}",
            width,
            attention_dim=backbone.attention_dim,
            kv_dim=backbone.kv_heads * backbone.head_dim,
            feedforward_dim=backbone.feedforward_dim,
        )
    yield from _affine("out_norm", width)
    if config.z_dim:
        yield "z_proj.weight", (config.z_dim, width)
    yield from _affine("out_eos", 1, config.condition_dim)
    yield from _under("flow_net", _flow_net(config, latent_dim))


def _flow_net(config: FlowLMConfig, latent_dim: int) -> _Tensors:
    width = config.flow.dim
    for i in range(config.flow.n_times):
        name = f"time_embed.{i}"
        yield f"{name}.freqs", (TIME_FREQUENCIES,)
        yield from _affine(f"{name}.mlp.0", width, 2 * TIME_FREQUENCIES)
        yield from _affine(f"{name}.mlp.2", width, width)
        yield f"{name}.mlp.3.alpha", (width,)
    yield from _affine("cond_embed", width, config.condition_dim)
    yield from _affine("input_proj", width, latent_dim)
    for i in range(config.flow.depth):
        name = f"res_blocks.{i}"
        yield from _affine(f"{name}.in_ln", width)
        yield from _affine(f"{name}.mlp.0", width, width)
        yield from _affine(f"{name}.mlp.2", width, width)
        yield from _affine(f"{name}.adaLN_modulation.1", 3 * width, width)
    yield from _affine("final_layer.linear", latent_dim, width)
    yield from _affine("final_layer.adaLN_modulation.1", 2 * width, width)


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
        yield from _transformer_layer(
            name, width, attention_dim=width, kv_dim=width, feedforward_dim=config.dim_feedforward
        )
        yield f"{name}.layer_scale_1.scale", (width,)
        yield f"{name}.layer_scale_2.scale", (width,)


def _transformer_layer(name: str, width: int, *, attention_dim: int, kv_dim: int, feedforward_dim: int) -> _Tensors:
    yield f"{name}.self_attn.in_proj.weight", (attention_dim + 2 * kv_dim, width)
    yield f"{name}.self_attn.out_proj.weight", (width, attention_dim)
    yield from _affine(f"{name}.norm1", width)
    yield from _affine(f"{name}.norm2", width)
    yield f"{name}.linear1.weight", (feedforward_dim, width)
    yield f"{name}.linear2.weight", (width, feedforward_dim)


def _encoder(config: SEANetConfig) -> _Tensors:
    """Activations are numbered too, but have no weights."""
    width, n = config.n_filters, 0
    yield from _affine(f"{n}.conv", width, config.channels, config.kernel_size)
    for ratio in reversed(config.ratios):
        for _ in range(config.n_residual_layers):
            n += 1
            yield from _residual_block(f"{n}", width, config)
        n += 2
        yield from _affine(f"{n}.conv", 2 * width, width, 2 * ratio)
        width *= 2
    yield from _affine(f"{n + 2}.conv", config.dimension, width, config.last_kernel_size)


def _decoder(config: SEANetConfig) -> _Tensors:
    width, n = config.n_filters * 2 ** len(config.ratios), 0
    yield from _affine(f"{n}.conv", width, config.dimension, config.kernel_size)
    for ratio in config.ratios:
        n += 2
        yield f"{n}.convtr.weight", (width, width // 2, 2 * ratio)
        yield f"{n}.convtr.bias", (width // 2,)
        width //= 2
        for _ in range(config.n_residual_layers):
            n += 1
            yield from _residual_block(f"{n}", width, config)
    yield from _affine(f"{n + 2}.conv", config.channels, width, config.last_kernel_size)


def _residual_block(name: str, width: int, config: SEANetConfig) -> _Tensors:
    hidden = width // config.compress
    yield from _affine(f"{name}.block.1.conv", hidden, width, config.residual_kernel_size)
    yield from _affine(f"{name}.block.3.conv", width, hidden, 1)


def _affine(name: str, *shape: int) -> _Tensors:
    yield f"{name}.weight", shape
    yield f"{name}.bias", shape[:1]


def _under(prefix: str, tensors: _Tensors) -> _Tensors:
    return ((f"{prefix}.{name}", shape) for name, shape in tensors)
