"""The codec as graphs: normalised latents to audio, and audio to what describes a voice, piece by piece of a stream.

Needs the package ``onnx``; only what makes models imports this. Knows no runtime.
"""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from wyoming_pocket_tts.graph import DataFile, Graph
from wyoming_pocket_tts.pocket.onnx.codec_transformer import CodecTransformer
from wyoming_pocket_tts.pocket.onnx.precision import Precision
from wyoming_pocket_tts.pocket.onnx.products import FloatProducts, Int8Products, Window
from wyoming_pocket_tts.pocket.onnx.seanet import SEANetWriter, strided_taps
from wyoming_pocket_tts.pocket.onnx.streaming import END, Stream, StreamingGraph
from wyoming_pocket_tts.pocket.schema import MimiConfig

Floats = NDArray[np.float32]
Weights = Mapping[str, Floats]


def decoder_graph(
    config: MimiConfig,
    weights: Weights,
    emb_mean: Floats,
    emb_std: Floats,
    data: DataFile | None = None,
    *,
    precision: Precision,
) -> StreamingGraph:
    """The decoder: ``latents`` [1, T, latent_dim], normalised, any T >= 1 -> ``audio`` [1, T * frame_samples].

    Arguments:
        config: the codec's sizes.
        weights: the model's tensors, by the names of ``tensors.py``.
        emb_mean: what a normalised latent of zeros stands for, [latent_dim].
        emb_std: what a normalised latent is scaled by, [latent_dim].
        data: where large constants go; None for within the model.
        precision: ``mixed`` leaves the convolutions exact; ``int4`` is ``int8`` here.
    """
    g = Graph("mimi_decoder", data=data)
    latents = g.input("latents", np.float32, [1, "frames", config.quantizer.dimension])
    stream = Stream(g)
    exact, rounded = FloatProducts(), Int8Products()
    projection = weights["mimi.quantizer.output_proj.weight"][..., 0]  # [C, latent_dim]
    x = g.linear(g.reshape(latents, -1, len(emb_std)), projection * emb_std, projection @ emb_mean)
    x = upsample(stream, x, weights["mimi.upsample.convtr.convtr.weight"])
    transformer = CodecTransformer(
        stream,
        Under(weights, "mimi.decoder_transformer."),
        config.decoder_transformer_or_same,
        exact if precision is Precision.FP32 else rounded,
    )
    seanet = SEANetWriter(
        stream,
        Under(weights, "mimi.decoder.model."),
        config.decoder_seanet_or_same,
        exact if precision in {Precision.FP32, Precision.MIXED} else rounded,
    )
    audio = seanet.decoder(transformer(x))
    g.output(g.reshape(audio, 1, -1), "audio", np.float32, [1, "samples"])
    return stream.finish()


def encoder_graph(config: MimiConfig, weights: Weights, data: DataFile | None = None) -> StreamingGraph:
    """The encoder: ``audio`` [1, T * frame_samples], any T >= 1 -> ``frames`` [1, T, conditioning_dim], exact.

    Arguments:
        config: the codec's sizes.
        weights: the model's tensors, by the names of ``tensors.py``.
        data: where large constants go; None for within the model.
    """
    g = Graph("mimi_encoder", data=data)
    audio = g.input("audio", np.float32, [1, "samples"])
    stream, products = Stream(g), FloatProducts()
    seanet = SEANetWriter(stream, Under(weights, "mimi.encoder.model."), config.seanet, products)
    transformer = CodecTransformer(stream, Under(weights, "mimi.encoder_transformer."), config.transformer, products)
    x = transformer(seanet.encoder(g.reshape(audio, -1, 1)))
    weight = weights["mimi.downsample.conv.conv.weight"]
    outputs, channels, kernel = weight.shape
    x = g.reshape(stream.with_past(x, kernel // 2, channels, replicate=True), -1, kernel // 2 * channels)
    frames = products.windows(g, x, Window(strided_taps(weight), np.zeros(outputs, np.float32)))
    g.output(
        g.reshape(frames, 1, -1, config.conditioning_dim), "frames", np.float32, [1, "frames", config.conditioning_dim]
    )
    return stream.finish()


def upsample(stream: Stream, x: str, weight: Floats) -> str:
    """From latents to the transformer's positions, channel by channel: [T, C] -> [T * stride, C]."""
    g = stream.graph
    channels, _, size = weight.shape
    stride = size // 2
    kernel = weight[:, 0].T  # [2 * stride, C]
    x = g.reshape(stream.with_past(x, 1, channels), -1, 1, channels)
    now, before = g.slice(x, g.ints(1), g.ints(END), 0), g.slice(x, g.ints(0), g.ints(-1), 0)
    own = g.node("Mul", now, g.constant(np.ascontiguousarray(kernel[:stride])))
    later = g.node("Mul", before, g.constant(np.ascontiguousarray(kernel[stride:])))
    return g.reshape(g.add(own, later), -1, channels)


class Under(Mapping[str, Floats]):
    """The weights of one part by shorter names; reads none that nobody asks for."""

    def __init__(self, weights: Weights, prefix: str) -> None:
        self._weights, self._prefix = weights, prefix

    def __getitem__(self, name: str) -> Floats:
        return self._weights[self._prefix + name]

    def __iter__(self) -> Iterator[str]:
        return (name.removeprefix(self._prefix) for name in self._weights if name.startswith(self._prefix))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return f"{self._prefix}{name}" in self._weights
