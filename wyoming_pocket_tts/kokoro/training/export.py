"""Write the ONNX files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import ModelProto

from wyoming_pocket_tts.core.types import Floats, WeightArrays
from wyoming_pocket_tts.inference.graph import GraphBuilder
from wyoming_pocket_tts.kokoro.phonemes import LONGEST_WORD
from wyoming_pocket_tts.kokoro.positional_encoding import sinusoids
from wyoming_pocket_tts.kokoro.synthesizer import LONGEST_DECODER, LONGEST_ENCODER

# The gains bring both to -17.5 dB below full scale, measured over the frames with speech.
SPEAKERS = tuple(
    {"index": at, "gain": gain, "name": f"kokoro-{name.lower()}", "languages": ["en-US"],
     "description": f"Kokoro {name} (built in, English, {sex})"}
    for at, (name, sex, gain) in enumerate((("Ray", "male", 1.45), ("Selma", "female", 0.67)))
)  # fmt: skip


def _numpy(state: dict[str, torch.Tensor], prefix: str = "") -> dict[str, Floats]:
    """The weights under ``prefix``, named without it; counters are left out."""
    return {
        key.removeprefix(prefix): value.float().numpy()
        for key, value in state.items()
        if key.startswith(prefix) and value.dim() > 0
    }


def _load(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise SystemExit(f"{path} is missing: train first")
    checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return checkpoint


def export(data: Path, voice: Path) -> None:
    """Write encoder, decoder, vocoder, letters and ``voice.json`` to ``voice``."""
    voice.mkdir(parents=True, exist_ok=True)
    acoustic, vocoder, letters = (
        _load(data / name) for name in ("acoustic/checkpoint.pt", "vocoder/checkpoint.pt", "letters.pt")
    )
    weights = _numpy(acoustic["average"], "module.")
    n_heads = acoustic["config"]["n_heads"]
    for name, graph in (
        ("encoder", encoder(weights, n_heads, LONGEST_ENCODER)),
        ("decoder", decoder(weights, n_heads, LONGEST_DECODER)),
        ("vocoder", vocoder_graph(_numpy(vocoder["average"], "module."))),
        ("letters", letters_graph(_numpy(letters["model"]), letters["config"]["n_heads"], LONGEST_WORD)),
    ):
        onnx.save(graph, voice / f"{name}.onnx")
    description = {
        "version": "1.0", "attribution_name": "wyoming-pocket-tts; teacher: CMU Flite (rms, slt)",
        "attribution_url": "http://cmuflite.org", "frames_per_step": acoustic["config"]["frames_per_step"],
        "mel_dim": acoustic["config"]["mel_dim"], "speakers": SPEAKERS,
        "trained": {"acoustic_steps": acoustic["step"], "vocoder_steps": vocoder["step"]},
    }  # fmt: skip
    (voice / "voice.json").write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")


class _Writer:
    def __init__(self, name: str, weights: WeightArrays) -> None:
        self.graph = GraphBuilder(name, half_weights=True)
        self.weights = weights

    def linear(self, x: str, name: str) -> str:
        return self.graph.linear(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def norm(self, x: str, name: str) -> str:
        return self.graph.layer_norm(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def conv(self, x: str, name: str, groups: int = 1) -> str:
        """Convolution over time that keeps its length: [1, T, D] -> [1, T, D']."""
        weight = self.weights[f"{name}.weight"]
        y = self.graph.transpose(x, 0, 2, 1)
        y = self.graph.conv1d(y, weight, self.weights[f"{name}.bias"], pad=weight.shape[-1] // 2, groups=groups)
        return self.graph.transpose(y, 0, 2, 1)

    def mlp(self, x: str, *names: str) -> str:
        """Linear layers with ReLU between them."""
        for name in names[:-1]:
            x = self.graph.node("Relu", self.linear(x, name))
        return self.linear(x, names[-1])

    def attend(self, q: str, k: str, v: str, head_dim: int) -> str:
        """q [.., H, T, d], k [.., H, d, S], v [.., H, S, d] -> [.., H, T, d]."""
        scale = self.graph.constant(np.array(head_dim**-0.5, np.float32))
        scores = self.graph.node("MatMul", self.graph.node("Mul", q, scale), k)
        return self.graph.node("MatMul", self.graph.node("Softmax", scores, axis=-1), v)

    def encoder_layer(self, x: str, name: str, n_heads: int) -> str:
        """A pre-norm transformer layer over x [1, T, D]."""
        g, dim = self.graph, self.weights[f"{name}.attention.query.weight"].shape[0]
        h = self.norm(x, f"{name}.norm1")
        q = self.linear(h, f"{name}.attention.query")
        k, v = g.split(self.linear(h, f"{name}.attention.key_value"), 2, -1)
        q, v = (g.transpose(g.reshape(t, 1, -1, n_heads, dim // n_heads), 0, 2, 1, 3) for t in (q, v))
        k = g.transpose(g.reshape(k, 1, -1, n_heads, dim // n_heads), 0, 2, 3, 1)
        y = g.reshape(g.transpose(self.attend(q, k, v, dim // n_heads), 0, 2, 1, 3), 1, -1, dim)
        x = g.add(x, self.linear(y, f"{name}.attention.out"))
        return g.add(x, self.mlp(self.norm(x, f"{name}.norm2"), f"{name}.ff.0", f"{name}.ff.3"))

    def layers(self, name: str) -> list[str]:
        numbers = {int(key.split(".")[1]) for key in self.weights if key.startswith(f"{name}.")}
        return [f"{name}.{number}" for number in sorted(numbers)]


def encoder(weights: WeightArrays, n_heads: int, longest: int) -> ModelProto:
    """The text encoder, for at most ``longest`` phonemes.

    Inputs: phonemes [P] int64, speaker [1] int64.
    Outputs: memory [P, D], log_durations [P], and the decoder's cross-attention keys [L, H, d, P], values [L, H, P, d].
    """
    w = _Writer("encoder", weights)
    g = w.graph
    phonemes, speaker = g.input("phonemes", np.int64, ["P"]), g.input("speaker", np.int64, [1])
    dim = weights["embedding.weight"].shape[1]
    voice = g.node("Gather", g.constant(weights["speaker.weight"]), speaker)  # [1, D]
    x = g.add(g.node("Gather", g.constant(weights["embedding.weight"]), phonemes), voice)
    x = g.reshape(x, 1, -1, dim)
    for name in w.layers("convs"):
        y = g.node("Relu", w.norm(w.conv(x, f"{name}.conv"), f"{name}.norm"))
        x = g.add(x, y)
    count = g.node("Shape", phonemes)
    x = g.add(x, g.slice(g.constant(sinusoids(longest, dim), exact=True), g.ints(0), count, 0))
    for name in w.layers("encoder"):
        x = w.encoder_layer(x, name, n_heads)
    memory = g.reshape(g.add(w.norm(x, "encoder_norm"), voice), -1, dim)
    durations = w.mlp(memory, "duration.0", "duration.3", "duration.6")
    keys, values = [], []
    for name in w.layers("decoder"):
        k, v = g.split(w.linear(memory, f"{name}.cross_attention.key_value"), 2, -1)
        keys.append(g.transpose(g.reshape(k, 1, -1, n_heads, dim // n_heads), 0, 2, 3, 1))
        values.append(g.transpose(g.reshape(v, 1, -1, n_heads, dim // n_heads), 0, 2, 1, 3))
    n_layers, head_dim = len(keys), dim // n_heads
    g.output(memory, "memory", np.float32, ["P", dim])
    g.output(g.squeeze(durations, 1), "log_durations", np.float32, ["P"])
    g.output(g.concat(*keys, axis=0), "cross_keys", np.float32, [n_layers, n_heads, head_dim, "P"])
    g.output(g.concat(*values, axis=0), "cross_values", np.float32, [n_layers, n_heads, "P", head_dim])
    return g.build()


def decoder(weights: WeightArrays, n_heads: int, longest: int) -> ModelProto:
    """One decoder step, of fewer than ``longest``.

    Inputs: previous [1, G] (the group of frames drawn before), regulated [1, R] (see ``synthesizer.regulate``),
    step [1] int64, cache [S, L, 2, H * d] (keys and values of the steps before), cross_keys, cross_values.
    Outputs: group [1, G], stop [1, 1] (logit), cache_row [1, L, 2, H * d].
    """
    w = _Writer("decoder", weights)
    g = w.graph
    dim, head_dim = weights["decoder_norm.weight"].shape[0], weights["decoder_norm.weight"].shape[0] // n_heads
    names = w.layers("decoder")
    group_dim, regulated_dim = weights["mel_out.weight"].shape[0], weights["regulated.weight"].shape[1]
    previous = g.input("previous", np.float32, [1, group_dim])
    regulated = g.input("regulated", np.float32, [1, regulated_dim])
    step = g.input("step", np.int64, [1])
    cache = g.input("cache", np.float32, ["S", len(names), 2, dim])
    cross_keys = g.input("cross_keys", np.float32, [len(names), n_heads, head_dim, "P"])
    cross_values = g.input("cross_values", np.float32, [len(names), n_heads, "P", head_dim])
    position = g.node("Gather", g.constant(sinusoids(longest, dim), exact=True), step)
    x = g.add(g.add(w.mlp(previous, "prenet.0", "prenet.3", "prenet.6"), w.linear(regulated, "regulated")), position)
    rows = []
    for number, name in enumerate(names):
        h = w.norm(x, f"{name}.norm1")
        q = g.reshape(w.linear(h, f"{name}.self_attention.query"), n_heads, 1, head_dim)
        row = g.reshape(w.linear(h, f"{name}.self_attention.key_value"), 1, 1, 2, dim)
        rows.append(row)
        own = g.node("Gather", cache, g.ints(number), axis=1)  # [S, 1, 2, D]
        keys, values = g.split(g.concat(own, row, axis=0), 2, 2)
        k = g.transpose(g.reshape(keys, -1, n_heads, head_dim), 1, 2, 0)
        v = g.transpose(g.reshape(values, -1, n_heads, head_dim), 1, 0, 2)
        y = g.reshape(w.attend(q, k, v, head_dim), 1, dim)
        x = g.add(x, w.linear(y, f"{name}.self_attention.out"))
        q = g.reshape(w.linear(w.norm(x, f"{name}.norm2"), f"{name}.cross_attention.query"), n_heads, 1, head_dim)
        k = g.squeeze(g.node("Gather", cross_keys, g.ints(number), axis=0), 0)
        v = g.squeeze(g.node("Gather", cross_values, g.ints(number), axis=0), 0)
        y = g.reshape(w.attend(q, k, v, head_dim), 1, dim)
        x = g.add(x, w.linear(y, f"{name}.cross_attention.out"))
        x = g.add(x, w.mlp(w.norm(x, f"{name}.norm3"), f"{name}.ff.0", f"{name}.ff.3"))
    h = w.norm(x, "decoder_norm")
    g.output(w.linear(h, "mel_out"), "group", np.float32, [1, group_dim])
    g.output(w.linear(h, "stop_out"), "stop", np.float32, [1, 1])
    g.output(g.concat(*rows, axis=1), "cache_row", np.float32, [1, len(names), 2, dim])
    return g.build()


def vocoder_graph(weights: WeightArrays) -> ModelProto:
    """Input: mel [T, M], normalised. Outputs: log_magnitude and phase, both [T, WINDOW / 2 + 1]."""
    w = _Writer("vocoder", weights)
    g = w.graph
    mel_dim, n_bins = weights["embed.weight"].shape[1], weights["out.weight"].shape[0] // 2
    mel = g.input("mel", np.float32, ["T", mel_dim])
    x = w.norm(w.conv(g.reshape(mel, 1, -1, mel_dim), "embed"), "embed_norm")
    for name in w.layers("blocks"):
        y = w.norm(w.conv(x, f"{name}.conv", groups=weights[f"{name}.conv.weight"].shape[0]), f"{name}.norm")
        y = w.linear(g.node("Gelu", w.linear(y, f"{name}.expand")), f"{name}.project")
        x = g.add(x, g.node("Mul", y, g.constant(weights[f"{name}.scale"])))
    log_magnitude, phase = g.split(g.squeeze(w.linear(w.norm(x, "norm"), "out"), 0), 2, -1)
    g.output(log_magnitude, "log_magnitude", np.float32, ["T", n_bins])
    g.output(phase, "phase", np.float32, ["T", n_bins])
    return g.build()


def letters_graph(weights: WeightArrays, n_heads: int, longest: int) -> ModelProto:
    """Letter to sound, for words of at most ``longest`` letters.

    Input: letters [N] int64. Output: scores [2 * N, V] for ``read_symbols``.
    """
    w = _Writer("letters", weights)
    g = w.graph
    word = g.input("letters", np.int64, ["N"])
    dim = weights["embedding.weight"].shape[1]
    x = g.reshape(g.node("Gather", g.constant(weights["embedding.weight"]), word), -1, 1, dim)
    x = g.reshape(g.add(x, g.constant(weights["slots"])), 1, -1, dim)  # [1, 2N, D]
    length = g.node("Mul", g.node("Shape", word), g.ints(2))
    x = g.add(x, g.slice(g.constant(sinusoids(2 * longest, dim), exact=True), g.ints(0), length, 0))
    for name in w.layers("layers"):
        x = w.encoder_layer(x, name, n_heads)
    scores = g.squeeze(w.linear(w.norm(x, "norm"), "out"), 0)
    g.output(scores, "scores", np.float32, ["2N", weights["out.weight"].shape[0]])
    return g.build()
