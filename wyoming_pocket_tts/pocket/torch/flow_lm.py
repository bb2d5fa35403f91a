"""The language model over latents: voice, text and audio so far in, the next latent and "is it over?" out.

Knows nothing about tokenizers, codecs or threads. Names of parameters are those of the released files.
"""

import torch
from torch import Tensor, nn

from wyoming_pocket_tts.pocket.schema import FlowLMConfig
from wyoming_pocket_tts.pocket.torch.flow_head import FlowHead
from wyoming_pocket_tts.pocket.torch.linear import Linear
from wyoming_pocket_tts.pocket.torch.transformer import GrowingCache, Transformer, TransformerShape

_NORM_EPSILON = 1e-5


class TextTable(nn.Module):
    """A vector for each text token; the table may be of low rank, with a projection behind it."""

    def __init__(self, *, entries: int, width: int, rank: int | None) -> None:
        super().__init__()
        # a weight of its own: initialising one that has no storage yet would import PyTorch's compiler, for seconds
        self.embed = nn.Embedding(entries, rank or width, _weight=torch.empty(entries, rank or width))
        self.proj = Linear(rank, width, bias=False) if rank else nn.Identity()

    def forward(self, tokens: Tensor) -> Tensor:  # [B, T] -> [B, T, D]
        return self.proj(self.embed(tokens))  # type: ignore[no-any-return]


class FlowLM(nn.Module):
    """Predicts normalised latents one by one.

    Args:
        config: the model's sizes.
        latent_dim: features of a latent.
        conditioning_dim: features of an encoded frame of a voice prompt.
    """

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
        self.conditioner = TextTable(entries=table.n_bins + 1, width=table.dim, rank=table.rank)
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

    def new_cache(self, *, capacity: int, batch: int = 1) -> GrowingCache:
        """Make room for ``capacity`` positions of ``batch`` streams."""
        return GrowingCache(self.transformer.shape, capacity=capacity, batch=batch, device=self.emb_mean.device)

    def embed_voice(self, frames: Tensor) -> Tensor:
        """Turn encoded frames of a voice prompt ``[B, T, conditioning_dim]`` into inputs ``[B, T', D]``."""
        inputs = frames @ self.speaker_proj_weight.T
        if not hasattr(self, "bos_before_voice"):
            return inputs
        return torch.cat([self.bos_before_voice.expand(inputs.shape[0], -1, -1), inputs], dim=1)

    def embed_text(self, tokens: Tensor) -> Tensor:
        """Turn tokens ``[B, T]`` and the sign that audio begins into inputs ``[B, T + 1, D]``."""
        begin = self.embed_latent(self.bos_emb.expand(tokens.shape[0], 1, -1))
        return torch.cat([self.conditioner(tokens), begin], dim=1)

    def embed_latent(self, latent: Tensor) -> Tensor:
        """Turn the last latent ``[B, 1, latent_dim]`` into an input ``[B, 1, D]``."""
        return self.input_linear(latent)  # type: ignore[no-any-return]

    def fill(self, inputs: Tensor, cache: GrowingCache) -> None:
        """Let ``[B, T, D]`` be remembered; nothing is asked of them."""
        self.transformer(inputs, cache, wanted=0)

    def forward(self, inputs: Tensor, cache: GrowingCache) -> tuple[Tensor, Tensor]:
        """Read ``[B, T, D]``; return what the head needs ``[B, condition_dim]`` and the end's logit ``[B]``."""
        last = self.transformer(inputs, cache, wanted=1)[:, -1]
        hidden = self.z_proj(self.out_norm(last))
        return hidden, self.out_eos(hidden)[:, 0]
