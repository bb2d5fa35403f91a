"""Every streaming part of the network: cut into pieces anywhere, it computes what it computes at once."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from wyoming_pocket_tts.pocket.random_model import random_tensor
from wyoming_pocket_tts.pocket.registry import released_model
from wyoming_pocket_tts.pocket.schema import ModelConfig
from wyoming_pocket_tts.pocket.torch.backend import PocketNetwork, build_network
from wyoming_pocket_tts.pocket.torch.flow_lm import FlowSampler
from wyoming_pocket_tts.pocket.torch.mimi import CausalConv1d, CausalConvTranspose1d
from wyoming_pocket_tts.pocket.torch.transformer import (
    KVCache,
    Linear,
    SlidingWindowKVCache,
    Transformer,
    TransformerLayer,
    TransformerShape,
    visible,
)
from wyoming_pocket_tts.pocket.weights import expected_tensors

PIECES = [1, 2, 3, 7]
TOLERANCE = 1e-5


@pytest.fixture(autouse=True)
def _no_gradients() -> None:
    torch.manual_seed(0)


def pieces_of(x: Tensor, size: int, run: Callable[[Tensor], Tensor], *, axis: int, joined: int) -> Tensor:
    return torch.cat([run(piece) for piece in x.split(size, dim=axis)], dim=joined)


@pytest.mark.parametrize("size", PIECES)
@pytest.mark.parametrize("pad_mode", ["constant", "replicate"])
@pytest.mark.parametrize(("kernel", "stride", "dilation"), [(7, 1, 1), (3, 1, 2), (1, 1, 1), (8, 4, 1), (2, 2, 1)])
@torch.inference_mode()
def test_convolution(kernel: int, stride: int, dilation: int, pad_mode: str, size: int) -> None:
    layer = CausalConv1d(5, 6, kernel, stride, dilation, pad_mode=pad_mode)
    x = torch.randn(2, 5, 42 * stride)
    past = (kernel - 1) * dilation + 1 - stride
    before = x[..., :1].expand(-1, -1, past) if pad_mode == "replicate" else x.new_zeros(2, 5, past)
    expected = layer.conv(torch.cat([before, x], dim=-1))
    state = None

    def run(piece: Tensor) -> Tensor:
        nonlocal state
        y, state = layer(piece, state)
        return y  # type: ignore[no-any-return]

    assert torch.allclose(pieces_of(x, size * stride, run, axis=-1, joined=-1), expected, atol=TOLERANCE)


@pytest.mark.parametrize("size", PIECES)
@pytest.mark.parametrize(("stride", "depthwise"), [(1, False), (4, False), (6, False), (16, True)])
@torch.inference_mode()
def test_transposed_convolution(stride: int, depthwise: bool, size: int) -> None:
    layer = CausalConvTranspose1d(6, 6 if depthwise else 3, stride, depthwise=depthwise)
    x = torch.randn(2, 6, 42)
    expected = layer.convtr(x)[..., : 42 * stride]
    state = None

    def run(piece: Tensor) -> Tensor:
        nonlocal state
        y, state = layer(piece, state)
        return y  # type: ignore[no-any-return]

    assert torch.allclose(pieces_of(x, size, run, axis=-1, joined=-1), expected, atol=TOLERANCE)


def plain_attention(queries: Tensor, keys: Tensor, values: Tensor, context: int | None) -> Tensor:
    """Attention as its definition has it, ``[B, H, T, d]``, position by position."""
    result = torch.empty_like(queries)
    for t in range(queries.shape[2]):
        first = 0 if context is None else max(0, t + 1 - context)
        scores = queries[:, :, t : t + 1] @ keys[:, :, first : t + 1].transpose(-1, -2) / queries.shape[-1] ** 0.5
        result[:, :, t : t + 1] = scores.softmax(dim=-1) @ values[:, :, first : t + 1]
    return result


def plain_rotation(x: Tensor, max_period: float) -> Tensor:
    """Rotary positions of ``[B, H, T, d]``, number by number."""
    width = x.shape[-1]
    result = torch.empty_like(x)
    for t in range(x.shape[2]):
        for i in range(width // 2):
            angle = torch.tensor(t * max_period ** (-2 * i / width))
            a, b = x[:, :, t, 2 * i], x[:, :, t, 2 * i + 1]
            result[:, :, t, 2 * i] = a * angle.cos() - b * angle.sin()
            result[:, :, t, 2 * i + 1] = a * angle.sin() + b * angle.cos()
    return result


def plain_transformer(network: Transformer, x: Tensor) -> Tensor:
    """The transformer at once, without a cache."""
    shape = network.shape
    key_width = shape.key_heads * shape.head_width
    for layer in network.layers:
        assert isinstance(layer, TransformerLayer)
        heads = layer.self_attn.in_proj(layer.norm1(x))
        q, k, v = (
            part.unflatten(-1, (-1, shape.head_width)).transpose(1, 2)
            for part in heads.split((shape.attention_width, key_width, key_width), dim=-1)
        )
        q, k = plain_rotation(q, shape.max_period), plain_rotation(k, shape.max_period)
        shared = shape.heads // shape.key_heads
        k, v = k.repeat_interleave(shared, dim=1), v.repeat_interleave(shared, dim=1)
        attended = plain_attention(q, k, v, shape.context).transpose(1, 2).flatten(-2)
        x = x + layer.layer_scale_1(layer.self_attn.out_proj(attended))
        hidden = F.gelu(layer.linear1(layer.norm2(x)), approximate="tanh")
        x = x + layer.layer_scale_2(layer.linear2(hidden))
    return x


SHAPES = {
    "plain": TransformerShape(16, 3, 4, 4, 16, 32, 10_000.0),
    "grouped keys, wider attention": TransformerShape(12, 2, 6, 2, 24, 20, 10_000.0),
    "limited context, layer scale": TransformerShape(16, 2, 2, 2, 16, 32, 100.0, context=5, layer_scale=True),
}


def a_transformer(shape: TransformerShape) -> Transformer:
    network = Transformer(shape)
    for name, parameter in network.named_parameters():
        if name.endswith(".scale"):
            nn.init.uniform_(parameter, 0.1, 0.9)
    return network


def cache_for(shape: TransformerShape) -> KVCache | SlidingWindowKVCache:
    device = torch.device("cpu")
    if shape.context is None:
        return KVCache(shape, capacity=30, batch=2, device=device)
    return SlidingWindowKVCache(shape, batch=2, device=device)


@pytest.mark.parametrize("size", [*PIECES, 21])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@torch.inference_mode()
def test_transformer(shape: TransformerShape, size: int) -> None:
    network, cache = a_transformer(shape), cache_for(shape)
    x = torch.randn(2, 21, shape.width)
    pieces = pieces_of(x, size, lambda piece: network(piece, cache), axis=1, joined=1)
    assert torch.allclose(pieces, plain_transformer(network, x), atol=TOLERANCE)


@pytest.mark.parametrize("wanted", [0, 1, 3])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@torch.inference_mode()
def test_positions_that_nobody_asks_for_are_remembered_all_the_same(shape: TransformerShape, wanted: int) -> None:
    network, cache = a_transformer(shape), cache_for(shape)
    x = torch.randn(2, 21, shape.width)
    expected = plain_transformer(network, x)
    asked = network(x[:, :8], cache, wanted=wanted)
    assert asked.shape[1] == wanted
    assert torch.allclose(asked, expected[:, 8 - wanted : 8], atol=TOLERANCE)
    assert torch.allclose(network(x[:, 8:], cache), expected[:, 8:], atol=TOLERANCE)


@torch.inference_mode()
def test_a_sliding_cache_does_not_grow() -> None:
    shape = SHAPES["limited context, layer scale"]
    network, cache = a_transformer(shape), cache_for(shape)
    for _ in range(10):
        network(torch.randn(2, 3, shape.width), cache)
    assert isinstance(cache, SlidingWindowKVCache)
    assert cache.position == 30
    assert all(layer.shape[2] == 4 for layer in cache._layers)


def test_a_query_alone_needs_no_mask_unless_the_past_is_too_long() -> None:
    cpu = torch.device("cpu")
    assert visible(1, 9, None, cpu) is None
    assert visible(1, 5, 5, cpu) is None
    mask = visible(1, 6, 5, cpu)
    assert mask is not None
    assert mask.tolist() == [[False, True, True, True, True, True]]


@pytest.mark.parametrize("bias", [True, False])
@torch.inference_mode()
def test_the_faster_product_is_the_product(bias: bool) -> None:
    layer = Linear(48, 31, bias=bias)
    for shape in [(48,), (1, 48), (5, 48), (2, 3, 48), (1, 1, 48)]:
        x = torch.randn(shape)
        assert torch.allclose(layer(x), F.linear(x, layer.weight, layer.bias), atol=TOLERANCE)


def a_network(config: ModelConfig) -> PocketNetwork:
    tensors = {name: random_tensor(config, name, shape, 1) for name, shape in expected_tensors(config).items()}
    return build_network(config, tensors)


@pytest.fixture(scope="module", params=["english_2m_2026-10", "english_2026-01"])
def network(request: pytest.FixtureRequest) -> PocketNetwork:
    config = released_model(request.param)
    backbone = config.flow_lm.transformer.model_copy(update={"num_layers": 1})
    return a_network(config.model_copy(update={"flow_lm": config.flow_lm.model_copy(update={"transformer": backbone})}))


@pytest.mark.parametrize("frames", [1, 2, 3, 7])
@torch.inference_mode()
def test_decoding_in_pieces_is_decoding(network: PocketNetwork, frames: int) -> None:
    """40 frames: more than twice the context of the smaller decoder's transformer, and than the larger one's."""
    latents = torch.randn(1, 40, 32)
    whole = network.mimi.decode(latents, network.mimi.start_decoding())
    assert whole.shape == (1, 1, 40 * 1920)
    state = network.mimi.start_decoding()
    pieces = pieces_of(latents, frames, lambda piece: network.mimi.decode(piece, state), axis=1, joined=2)
    assert whole.abs().max() > 0.05
    assert (pieces - whole).abs().max() < TOLERANCE


@pytest.mark.parametrize("frames", [1, 2, 3, 7])
@torch.inference_mode()
def test_encoding_in_pieces_is_encoding(network: PocketNetwork, frames: int) -> None:
    audio = torch.randn(1, 1, 30 * 1920) * 0.1
    whole = network.mimi.encode(audio, network.mimi.start_encoding())
    assert whole.shape[1] == 30
    state = network.mimi.start_encoding()
    pieces = pieces_of(audio, frames * 1920, lambda piece: network.mimi.encode(piece, state), axis=2, joined=1)
    assert whole.abs().max() > 0.5
    assert (pieces - whole).abs().max() < TOLERANCE * whole.abs().max()


@pytest.mark.parametrize(("rule", "steps"), [("lsd", 3), ("flow_matching", 5), ("drifting", 4), ("pointwise", 4)])
@torch.inference_mode()
def test_sampling_rules(rule: str, steps: int) -> None:
    """Against the rules as they are written in the papers, step by step."""
    base = released_model("english_2m_2026-10")
    flow = base.flow_lm.flow.model_copy(update={"type": rule})
    config = base.model_copy(update={"flow_lm": base.flow_lm.model_copy(update={"flow": flow})})
    head = a_network(config).flow_lm.flow_net
    hidden, noise = torch.randn(1, 64), torch.randn(1, 32)

    def velocity(x: Tensor, *times: float) -> Tensor:
        told = [embed(time) for embed, time in zip(head.time_embed, times, strict=True)]
        condition = head.cond_embed(hidden) + (sum(told) / len(told) if told else 0)
        return head(x, condition)  # type: ignore[no-any-return]

    x = noise
    if rule == "drifting":
        x = velocity(noise)
    elif rule == "pointwise":
        x = noise + velocity(noise)
    for i in range(steps if config.flow_lm.flow.n_times else 0):
        times = (i / steps, (i + 1) / steps)[: config.flow_lm.flow.n_times]
        x = x + velocity(x, *times) / steps
    assert torch.allclose(FlowSampler(head, rule=rule, steps=steps)(hidden, noise), x, atol=TOLERANCE)


def test_the_network_has_the_tensors_of_the_files() -> None:
    for name in ("english", "english_7m_2026-10", "english_2026-01"):
        config = released_model(name)
        with torch.device("meta"):
            found = {key: tuple(value.shape) for key, value in PocketNetwork(config).state_dict().items()}
        assert found == expected_tensors(config)
