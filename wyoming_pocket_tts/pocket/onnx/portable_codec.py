"""The codec as portable models: latents to audio, and audio to what FlowLM reads of a voice. Knows no runtime.

The same layers as ``mimi.py``'s, in operators of the ONNX standard alone.
"""

import math

import numpy as np

from wyoming_pocket_tts.graph import DataFile, Graph
from wyoming_pocket_tts.pocket.onnx.codec_transformer import CodecTransformer
from wyoming_pocket_tts.pocket.onnx.mimi import Under, Weights, upsample
from wyoming_pocket_tts.pocket.onnx.portable_operators import attend, portable_products, rotate_halves, turns
from wyoming_pocket_tts.pocket.onnx.products import FloatProducts, Window
from wyoming_pocket_tts.pocket.onnx.seanet import SEANetWriter, strided_taps
from wyoming_pocket_tts.pocket.onnx.streaming import END, Stream, StreamingGraph
from wyoming_pocket_tts.pocket.schema import ModelConfig


def mimi_decoder_graph(config: ModelConfig, weights: Weights, data: DataFile, *, quantize: bool) -> StreamingGraph:
    """The decoder: ``latents`` [1, T, latent_dim], normalised, any T >= 1 -> ``audio`` [1, T * frame_samples].

    Args:
        config: what the model is.
        weights: its tensors, by the names of ``pocket/tensors.py``.
        data: where large constants go, each as soon as it was made.
        quantize: multiply 8-bit numbers.
    """
    g, codec = Graph("mimi_decoder", data=data), config.mimi
    latents = g.input("latents", np.float32, [1, "frames", config.latent_dim])
    stream, products = Stream(g), portable_products(quantize=quantize)
    mean, deviation = weights["flow_lm.emb_mean"], weights["flow_lm.emb_std"]
    projection = weights["mimi.quantizer.output_proj.weight"][..., 0]  # [C, latent_dim]
    x = g.linear(g.reshape(latents, -1, config.latent_dim), projection * deviation, projection @ mean)
    x = upsample(stream, x, weights["mimi.upsample.convtr.convtr.weight"])
    layers = Under(weights, "mimi.decoder_transformer.")
    x = _PortableTransformer(stream, layers, codec.decoder_transformer_or_same, products)(x)
    seanet = SEANetWriter(stream, Under(weights, "mimi.decoder.model."), codec.decoder_seanet_or_same, products)
    g.output(g.reshape(seanet.decoder(x), 1, -1), "audio", np.float32, [1, "samples"])
    return stream.finish()


def mimi_encoder_graph(config: ModelConfig, weights: Weights, data: DataFile) -> StreamingGraph:
    """The encoder: ``audio`` [1, T * frame_samples], any T >= 1 -> ``conditioning`` [1, T, d_model], exact.

    The conditioning is what ``flow_lm_main`` reads: projected, and at the beginning of a stream one longer where the
    model puts something before a voice. Args as for the decoder. It is used once for a voice, so it is never quantised.
    """
    g, codec = Graph("mimi_encoder", data=data), config.mimi
    audio = g.input("audio", np.float32, [1, "samples"])
    stream, products = Stream(g), FloatProducts()
    seanet = SEANetWriter(stream, Under(weights, "mimi.encoder.model."), codec.seanet, products)
    x = seanet.encoder(g.reshape(audio, -1, 1))
    x = _PortableTransformer(stream, Under(weights, "mimi.encoder_transformer."), codec.transformer, products)(x)
    weight = weights["mimi.downsample.conv.conv.weight"]
    outputs, channels, kernel = weight.shape
    x = g.reshape(stream.with_past(x, kernel // 2, channels, replicate=True), -1, kernel // 2 * channels)
    frames = products.windows(g, x, Window(strided_taps(weight), np.zeros(outputs, np.float32)))
    conditioning = g.linear(frames, weights["flow_lm.speaker_proj_weight"])
    if config.flow_lm.insert_bos_before_voice:
        conditioning = _with_beginning(stream, conditioning, weights["flow_lm.bos_before_voice"].reshape(1, -1))
    width = config.flow_lm.transformer.d_model
    g.output(g.reshape(conditioning, 1, -1, width), "conditioning", np.float32, [1, "positions", width])
    return stream.finish()


def _with_beginning(stream: Stream, x: str, beginning: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> str:
    """Put a row in front, in the stream's first call alone: [T, D] -> [T + 1, D] or [T, D]."""
    g = stream.graph
    rows = g.node("Where", stream.is_first(), g.ints(1), g.ints(0))
    return g.concat(g.slice(g.constant(beginning), g.ints(0), rows, 0), x, axis=0)


class _PortableTransformer(CodecTransformer):
    """Keys are kept as they are, and turned by their place in the window of what is seen.

    Attention depends on the distance of two positions alone: so no number grows with the length of a stream, and
    32 bits are enough for the angles.
    """

    def _turn(self, steps: str) -> tuple[str, str]:
        """Cosines and sines of all places, those of the past in front: [past + T, head width / 2]."""
        g, past = self._graph, np.arange(self._past)
        places = g.concat(g.constant(past), g.add(steps, g.ints(self._past)), axis=0)
        return turns(g, places, self._head_width, self._config.max_period)

    def _attend(self, qkv: str, turn: tuple[str, str], bias: str) -> str:  # [1, T, queries | keys | values]
        g, heads, width = self._graph, self._config.num_heads, self._head_width
        parts = [g.reshape(part, 1, -1, heads, width) for part in g.split(qkv, 3, 2)]
        queries, keys, values = (g.transpose(part, 0, 2, 1, 3) for part in parts)
        keys, values = self._with_past(keys), self._with_past(values)
        queries_turn = tuple(g.slice(table, g.ints(self._past), g.ints(END), 0) for table in turn)
        queries = g.node("Mul", queries, g.constant(np.array(1 / math.sqrt(width), np.float32)))
        queries = rotate_halves(g, queries, (queries_turn[0], queries_turn[1]))
        attended = attend(g, queries, rotate_halves(g, keys, turn), values, bias)
        return g.reshape(g.transpose(attended, 0, 2, 1, 3), 1, -1, heads * width)

    def _with_past(self, x: str) -> str:
        """Keys or values of the last positions in front: [1, H, T, d] -> [1, H, past + T, d]."""
        g = self._graph
        spec = self._stream.state(1, self._config.num_heads, self._past, self._head_width)
        joined = g.concat(spec.name, x, axis=2)
        self._stream.keep(spec, g.slice(joined, g.ints(-self._past), g.ints(END), 2))
        return joined
