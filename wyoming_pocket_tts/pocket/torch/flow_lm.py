"""FlowLM and sampler head."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (PyTorch's own name for it)

from wyoming_pocket_tts.pocket.schema import FlowLMConfig
from wyoming_pocket_tts.pocket.torch.transformer import KVCache, Linear, Transformer, TransformerShape
from wyoming_pocket_tts.pocket.weights import TIME_FREQUENCIES

_NORM_EPSILON = 1e-5
_HEAD_NORM_EPSILON = 1e-6
_TIME_NORM_EPSILON = 1e-5


class TextEmbedding(nn.Module):
    """A vector for each text token, from a table that may be of low rank."""

    def __init__(self, *, entries: int, width: int, rank: int | None) -> None:
        super().__init__()
        # a weight of its own: initialising one that has no storage yet would import PyTorch's compiler, for seconds
        self.embed = nn.Embedding(entries, rank or width, _weight=torch.empty(entries, rank or width))
        self.proj = Linear(rank, width, bias=False) if rank else nn.Identity()

    def forward(self, tokens: Tensor) -> Tensor:  # [B, T] -> [B, T, D]
        return self.proj(self.embed(tokens))  # type: ignore[no-any-return]


class FlowLM(nn.Module):
    """Predicts normalised latents; ``conditioning_dim`` is the width of an encoded frame of a voice prompt."""

    emb_mean: Tensor
    emb_std: Tensor

    def __init__(self, config: FlowLMConfig, *, latent_dim: int, conditioning_dim: int) -> None:
        super().__init__()
        sizes = config.transformer
        width = sizes.d_model
        self.register_buffer("emb_mean", torch.empty(latent_dim))
        self.register_buffer("emb_std", torch.empty(latent_dim))
        self.bos_emb = nn.Parameter(torch.empty(latent_dim))
        if config.insert_bos_before_voice:
            self.bos_before_voice = nn.Parameter(torch.empty(1, 1, width))
        self.speaker_proj_weight = nn.Parameter(torch.empty(width, conditioning_dim))
        table = config.lookup_table
        self.conditioner = TextEmbedding(entries=table.n_bins + 1, width=table.dim, rank=table.rank)
        self.input_linear = Linear(latent_dim, width, bias=False)
        self.transformer = Transformer(
            TransformerShape(
                width=width,
                layers=sizes.num_layers,
                heads=sizes.num_heads,
                key_heads=sizes.kv_heads,
                attention_width=sizes.attention_dim,
                feedforward_width=sizes.feedforward_dim,
                max_period=float(sizes.max_period),
            )
        )
        self.out_norm = nn.LayerNorm(width, eps=_NORM_EPSILON)
        self.z_proj = Linear(width, config.z_dim, bias=False) if config.z_dim else nn.Identity()
        self.out_eos = Linear(config.condition_dim, 1)
        self.flow_net = FlowHead(
            latent_dim=latent_dim,
            width=config.flow.dim,
            depth=config.flow.depth,
            condition_dim=config.condition_dim,
            times=config.flow.n_times,
        )

    def new_cache(self, *, capacity: int, batch: int = 1) -> KVCache:
        return KVCache(self.transformer.shape, capacity=capacity, batch=batch, device=self.emb_mean.device)

    def embed_voice(self, frames: Tensor) -> Tensor:
        """Encoded frames of a voice prompt ``[B, T, conditioning_dim]`` -> inputs ``[B, T', D]``."""
        inputs = frames @ self.speaker_proj_weight.T
        if not hasattr(self, "bos_before_voice"):
            return inputs
        return torch.cat([self.bos_before_voice.expand(inputs.shape[0], -1, -1), inputs], dim=1)

    def embed_text(self, tokens: Tensor) -> Tensor:
        """Tokens ``[B, T]`` and the first latent -> inputs ``[B, T + 1, D]``."""
        begin = self.embed_latent(self.bos_emb.expand(tokens.shape[0], 1, -1))
        return torch.cat([self.conditioner(tokens), begin], dim=1)

    def embed_latent(self, latent: Tensor) -> Tensor:
        """The last latent ``[B, 1, latent_dim]`` -> an input ``[B, 1, D]``."""
        return self.input_linear(latent)  # type: ignore[no-any-return]

    def fill(self, inputs: Tensor, cache: KVCache) -> None:
        """Read ``[B, T, D]`` without an output."""
        self.transformer(inputs, cache, wanted=0)

    def forward(self, inputs: Tensor, cache: KVCache) -> tuple[Tensor, Tensor]:
        """Read ``[B, T, D]``; return the head's condition ``[B, condition_dim]`` and the end's logit ``[B]``."""
        last = self.transformer(inputs, cache, wanted=1)[:, -1]
        hidden = self.z_proj(self.out_norm(last))
        return hidden, self.out_eos(hidden)[:, 0]


class TimeNorm(nn.Module):
    """Divides by the standard deviation, without taking the mean away."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.empty(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.alpha * torch.rsqrt(x.var(dim=-1, keepdim=True) + _TIME_NORM_EPSILON)


class TimeEmbedding(nn.Module):
    """A point in time, 0 to 1, as a vector."""

    freqs: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("freqs", torch.empty(TIME_FREQUENCIES))
        self.mlp = nn.Sequential(Linear(2 * TIME_FREQUENCIES, width), nn.SiLU(), Linear(width, width), TimeNorm(width))

    def forward(self, time: float) -> Tensor:
        angles = time * self.freqs
        return self.mlp(torch.cat([angles.cos(), angles.sin()]))  # type: ignore[no-any-return]


class ResidualBlock(nn.Module):
    """A small MLP; the condition shifts and scales its input, and gates its output."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.in_ln = nn.LayerNorm(width, eps=_HEAD_NORM_EPSILON)
        self.mlp = nn.Sequential(Linear(width, width), nn.SiLU(), Linear(width, width))
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), Linear(width, 3 * width))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:  # both [B, width]
        shift, scale, gate = self.adaLN_modulation(condition).chunk(3, dim=-1)
        return x + gate * self.mlp(self.in_ln(x) * (1 + scale) + shift)  # type: ignore[no-any-return]


class FinalLayer(nn.Module):
    """The last shift and scale, and the way back to a latent."""

    def __init__(self, width: int, latent_dim: int) -> None:
        super().__init__()
        self.linear = Linear(width, latent_dim)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), Linear(width, 2 * width))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:  # both [B, width]
        shift, scale = self.adaLN_modulation(condition).chunk(2, dim=-1)
        x = F.layer_norm(x, x.shape[-1:], eps=_HEAD_NORM_EPSILON)
        return self.linear(x * (1 + scale) + shift)  # type: ignore[no-any-return]


class FlowHead(nn.Module):
    """The network of the head, for any rule; ``times`` is the number of points in time that the rule gives it."""

    def __init__(self, *, latent_dim: int, width: int, depth: int, condition_dim: int, times: int) -> None:
        super().__init__()
        self.time_embed = nn.ModuleList(TimeEmbedding(width) for _ in range(times))
        self.cond_embed = Linear(condition_dim, width)
        self.input_proj = Linear(latent_dim, width)
        self.res_blocks = nn.ModuleList(ResidualBlock(width) for _ in range(depth))
        self.final_layer = FinalLayer(width, latent_dim)

    def time_condition(self, *times: float) -> Tensor:
        """What the points in time add to the condition, ``[width]``: the same at every step of every stream."""
        return torch.stack([embed(time) for embed, time in zip(self.time_embed, times, strict=True)]).mean(dim=0)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Map a noisy latent ``[B, latent_dim]`` under a condition ``[B, width]`` to ``[B, latent_dim]``."""
        x = self.input_proj(x)
        for block in self.res_blocks:
            x = block(x, condition)
        return self.final_layer(x, condition)  # type: ignore[no-any-return]


class FlowSampler:
    """From noise to a latent, by the rule that the head was trained for, in a fixed number of steps.

    Rules are ``lsd`` (Lagrangian self-distillation, arXiv:2505.18825: jumps from time to time), ``flow_matching``
    (arXiv:2210.02747: Euler integration), ``drifting`` (the output is the sample) and ``pointwise`` (the output is
    added to the noise); the last two have one step. Immutable, so that threads may share it.
    """

    def __init__(self, head: FlowHead, *, rule: str, steps: int) -> None:
        self._head = head
        self._keeps_start = rule != "drifting"
        points = [index / steps for index in range(steps + 1)]
        match rule:
            case "lsd":
                self._times = [head.time_condition(start, end) for start, end in pairwise(points)]
            case "flow_matching":
                self._times = [head.time_condition(start) for start in points[:-1]]
            case _:
                self._times = [torch.zeros((), device=head.cond_embed.weight.device)]

    def __call__(self, hidden: Tensor, noise: Tensor) -> Tensor:
        """``[B, condition_dim]`` and noise ``[B, latent_dim]`` -> a latent ``[B, latent_dim]``."""
        condition = self._head.cond_embed(hidden)
        x = noise
        for time in self._times:
            direction = self._head(x, condition + time)
            x = x + direction / len(self._times) if self._keeps_start else direction
        return x
