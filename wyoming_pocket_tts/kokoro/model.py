"""The acoustic model in PyTorch: phoneme indices to log-mel frames."""

import math
from dataclasses import dataclass
from resource import RUSAGE_SELF, getrusage
from time import monotonic
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (PyTorch's own convention)
from torch.utils.checkpoint import checkpoint

from wyoming_pocket_tts.kokoro.model_transformers import (
    ResidualConv,
    TransformerDecoder,
    TransformerDecoderBlock,
    TransformerEncoderBlock,
)
from wyoming_pocket_tts.kokoro.positional_encoding import sinusoids

MAX_POSITIONS = 5000
CHECKPOINT_SEGMENTS = 4
MASKED_STEPS = 0.6  # at most this share of decoder input steps is blanked in a training sentence
INPUT_NOISE = 0.5  # at most this deviation of noise on the decoder's input, in units of the normalised mel
PRENET_DROPOUT = 0.5  # strong: the decoder must not copy the last frames instead of reading the text
PLACE_DIM = 3  # numbers for the position of a frame in its phoneme


@dataclass(frozen=True, slots=True)
class EncoderOutput:
    memory: Tensor  # [B, P, D]
    mask: Tensor  # [B, 1, 1, P] true where there is a phoneme
    log_durations: Tensor  # [B, P] log(1 + frames)


class GPUProfiler:
    """Seconds and peak memory of a block of code: of a GPU, or without one of the process, above its beginning."""

    seconds = 0.0
    peak_mib = 0.0

    def __enter__(self) -> Self:
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        self._before, self._began = self._mib(), monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.seconds, self.peak_mib = monotonic() - self._began, self._mib() - self._before

    @staticmethod
    def _mib() -> float:
        if torch.cuda.is_available():
            return torch.cuda.max_memory_allocated() / 2**20
        return getrusage(RUSAGE_SELF).ru_maxrss / 2**10


class KokoroModel(nn.Module):
    """Phoneme indices (0 pads) to log-mel frames (normalised per bin).

    Text encoder -> duration predictor -> length regulator -> autoregressive decoder of ``frames_per_step`` frames a
    step, and a stop predictor. The regulated encoding is added to the decoder's input and the decoder cross-attends to
    the encoder: alignment is there from the first training step. ``gradient_checkpointing`` recomputes encoder and
    decoder in 4 segments each during the backward pass: less memory, about a quarter more work.
    """

    positions: Tensor  # [MAX_POSITIONS, D]
    mel_mean: Tensor  # [mel_dim] of the training data, as is the deviation: they undo the normalisation
    mel_deviation: Tensor

    def __init__(  # noqa: PLR0917  (the sizes' order is part of the public interface)
        self,
        vocab_size: int = 63,
        mel_dim: int = 80,
        hidden_dim: int = 512,
        n_encoder_layers: int = 6,
        n_decoder_layers: int = 6,
        n_heads: int = 8,
        ff_dim: int = 2048,
        *,
        n_speakers: int = 2,
        frames_per_step: int = 4,
        prenet_dim: int = 256,
        dropout: float = 0.1,
        gradient_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        self.config: dict[str, int] = {
            "vocab_size": vocab_size, "mel_dim": mel_dim, "hidden_dim": hidden_dim,
            "n_encoder_layers": n_encoder_layers, "n_decoder_layers": n_decoder_layers, "n_heads": n_heads,
            "ff_dim": ff_dim, "n_speakers": n_speakers, "frames_per_step": frames_per_step, "prenet_dim": prenet_dim,
        }  # fmt: skip
        self.mel_dim = mel_dim
        self.frames_per_step = frames_per_step
        self.gradient_checkpointing = gradient_checkpointing
        group_dim = mel_dim * frames_per_step
        self.embedding = nn.Embedding(vocab_size, hidden_dim, padding_idx=0)
        self.speaker = nn.Embedding(n_speakers, hidden_dim)
        self.convs = nn.ModuleList(ResidualConv(hidden_dim, dropout) for _ in range(2))
        self.encoder = nn.ModuleList(
            TransformerEncoderBlock(hidden_dim, n_heads, ff_dim, dropout) for _ in range(n_encoder_layers)
        )
        self.encoder_norm = nn.LayerNorm(hidden_dim)
        self.duration = nn.Sequential(
            nn.Linear(hidden_dim, prenet_dim), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(prenet_dim, prenet_dim), nn.ReLU(), nn.Dropout(dropout), nn.Linear(prenet_dim, 1),
        )  # fmt: skip
        self.regulated = nn.Linear(frames_per_step * (hidden_dim + PLACE_DIM), hidden_dim)
        self.prenet = nn.Sequential(
            nn.Linear(group_dim, prenet_dim), nn.ReLU(), nn.Dropout(PRENET_DROPOUT),
            nn.Linear(prenet_dim, prenet_dim), nn.ReLU(), nn.Dropout(PRENET_DROPOUT), nn.Linear(prenet_dim, hidden_dim),
        )  # fmt: skip
        self.decoder = TransformerDecoder(
            TransformerDecoderBlock(hidden_dim, n_heads, ff_dim, dropout) for _ in range(n_decoder_layers)
        )
        self.decoder_norm = nn.LayerNorm(hidden_dim)
        self.mel_out = nn.Linear(hidden_dim, group_dim)
        self.stop_out = nn.Linear(hidden_dim, 1)
        self.register_buffer("positions", torch.from_numpy(sinusoids(MAX_POSITIONS, hidden_dim)), persistent=False)
        self.register_buffer("mel_mean", torch.zeros(mel_dim))
        self.register_buffer("mel_deviation", torch.ones(mel_dim))
        nn.init.normal_(self.embedding.weight, std=0.3)
        nn.init.normal_(self.speaker.weight, std=0.3)

    def forward(
        self, phonemes: Tensor, mels: Tensor, durations: Tensor, stop_targets: Tensor, *, speakers: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Teacher forcing: predict every frame from the true ones before it.

        phonemes and durations (frames) [B, P], mels [B, T, mel_dim] with T a multiple of ``frames_per_step``,
        stop_targets [B, T / frames_per_step], 1 from each sentence's last step on (input after it is ignored),
        speakers [B] -> mel [B, T, mel_dim], log(1 + frames) [B, P], stop logits [B, T / frames_per_step].
        """
        encoded = self.encode(phonemes, speakers)
        steps = mels.shape[1] // self.frames_per_step
        condition = self.regulate(encoded.memory, durations, steps)
        groups = mels.reshape(len(mels), steps, -1)
        previous = F.pad(groups, (0, 0, 1, 0))[:, :-1]
        ended = F.pad(stop_targets, (1, 0))[:, :-1] > 0
        previous = previous.masked_fill(ended[..., None], 0.0)
        hidden = self.decode(self._disturbed(previous), condition, encoded)
        mel = self.mel_out(hidden).reshape(len(mels), -1, self.mel_dim)
        return mel, encoded.log_durations, self.stop_out(hidden).squeeze(-1)

    def encode(self, phonemes: Tensor, speakers: Tensor | None = None) -> EncoderOutput:
        """Phonemes [B, P] of speakers [B] to their encoding and durations."""
        if speakers is None:
            speakers = phonemes.new_zeros(len(phonemes))
        valid = (phonemes != 0).unsqueeze(-1)
        mask = valid[:, None, None, :, 0]
        x = self.embedding(phonemes) + self.speaker(speakers)[:, None]
        for conv in self.convs:
            x = conv(x, valid)
        x = x + self.positions[: x.shape[1]]
        x = self._stack(self.encoder, x, mask)
        memory = self.encoder_norm(x) + self.speaker(speakers)[:, None]
        return EncoderOutput(memory, mask, self.duration(memory.detach()).squeeze(-1))

    def regulate(self, memory: Tensor, durations: Tensor, steps: int) -> Tensor:
        """Stretch memory [B, P, D] by durations [B, P] to one row a frame, then group: [B, steps, D].

        A frame carries its phoneme's encoding, its relative position in it, log frames since the phoneme's start and
        log frames to its end. Frames after the last phoneme are zeros.
        """
        frames = steps * self.frames_per_step
        ends = durations.cumsum(1)  # [B, P]
        time = torch.arange(frames, device=memory.device)[None].expand(len(memory), -1).contiguous()
        index = torch.searchsorted(ends, time, right=True)  # [B, T]
        inside = (index < memory.shape[1]).unsqueeze(-1)
        index = index.clamp(max=memory.shape[1] - 1)
        rows = memory.gather(1, index[..., None].expand(-1, -1, memory.shape[2]))
        length = durations.gather(1, index).float()
        since = (time - ends.gather(1, index)).float() + length  # 0 at the phoneme's first frame
        left = (length - 1 - since).clamp(min=0)
        place = torch.stack([since / length.clamp(min=1), since.clamp(min=0).log1p(), left.log1p()], dim=-1)
        stretched = torch.cat([rows, place], dim=-1) * inside
        grouped = stretched.reshape(len(memory), steps, self.frames_per_step * stretched.shape[-1])
        condition: Tensor = self.regulated(grouped)
        return condition

    def decode(self, previous: Tensor, condition: Tensor, encoded: EncoderOutput) -> Tensor:
        """Groups drawn before [B, S, frames * mel] and condition [B, S, D] to decoder states [B, S, D]."""
        x = self.prenet(previous) + condition + self.positions[: previous.shape[1]]
        hidden: Tensor = self.decoder_norm(self._stack(self.decoder, x, encoded.memory, encoded.mask))
        return hidden

    def _stack(self, layers: nn.ModuleList, x: Tensor, *context: Tensor) -> Tensor:
        if not (self.gradient_checkpointing and self.training):
            return _run(layers, x, *context)
        size = math.ceil(len(layers) / CHECKPOINT_SEGMENTS)
        for start in range(0, len(layers), size):
            x = checkpoint(_run, layers[start : start + size], x, *context, use_reentrant=False)
        return x

    def _disturbed(self, previous: Tensor) -> Tensor:
        """Against exposure bias: per sentence, noise of random strength and random blank steps on the input."""
        if not self.training:
            return previous
        sentence = previous.new_empty(len(previous), 1, 1)
        noisy = previous + torch.randn_like(previous) * sentence.uniform_(0, INPUT_NOISE)
        share = sentence.uniform_(0, MASKED_STEPS)
        return noisy * (torch.rand_like(previous[..., :1]) >= share)

    @torch.no_grad()
    def inference(self, phonemes: Tensor, max_mel_len: int = 1000, *, speaker: int = 0) -> Tensor:
        """Phonemes [P] to normalised mel [T, mel_dim] with T <= max_mel_len. The model must be in eval mode."""
        encoded = self.encode(phonemes[None], phonemes.new_full((1,), speaker))
        durations = durations_in_frames(encoded.log_durations)
        total = min(int(durations.sum()), max_mel_len)
        steps = math.ceil(total / self.frames_per_step)
        condition = self.regulate(encoded.memory, durations, steps)
        groups = condition.new_zeros(1, 1, self.mel_dim * self.frames_per_step)  # ahead of the first frame
        for step in range(steps):
            hidden = self.decode(groups, condition[:, : step + 1], encoded)
            groups = torch.cat([groups, self.mel_out(hidden[:, -1:])], dim=1)
        return groups[0, 1:].reshape(-1, self.mel_dim)[:total]

    def get_model_info(self) -> dict[str, Any]:
        parts = {name: sum(p.numel() for p in child.parameters()) for name, child in self.named_children()}
        return {
            "config": dict(self.config),
            "parameters": sum(parts.values()),
            "parameters_by_part": parts,
            "gradient_checkpointing": self.gradient_checkpointing,
            "checkpoint_segments": CHECKPOINT_SEGMENTS,
            "max_positions": MAX_POSITIONS,
        }


def durations_in_frames(log_durations: Tensor) -> Tensor:
    """Predicted log(1 + frames) to whole frames; rounding errors are carried on so that rhythm does not drift."""
    ends = log_durations.expm1().clamp(min=0).cumsum(-1).round().long()  # [B, P]
    return torch.diff(ends, prepend=ends.new_zeros(len(ends), 1))


def _run(layers: nn.ModuleList, x: Tensor, *context: Tensor) -> Tensor:
    for layer in layers:
        x = layer(x, *context)
    return x


def small(*, gradient_checkpointing: bool = False) -> KokoroModel:
    """The size that ships: 5.7 M parameters."""
    return KokoroModel(
        hidden_dim=192, n_encoder_layers=4, n_decoder_layers=4, n_heads=4, ff_dim=960,
        gradient_checkpointing=gradient_checkpointing,
    )  # fmt: skip
