"""Train the vocoder."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (PyTorch's own convention)

from wyoming_pocket_tts.core.types import Floats
from wyoming_pocket_tts.kokoro.synthesizer import FFT_SIZE, FLOOR, HOP, WINDOW, mel_filters
from wyoming_pocket_tts.kokoro.training.acoustic import Trainer
from wyoming_pocket_tts.kokoro.training.dataset import SPEAKERS, Dataset, Example, audio
from wyoming_pocket_tts.kokoro.vocoder import Vocoder

FFT_SIZES = (128, 256, 512, 1024, 2048)
DISCRIMINATOR_FFT_SIZES = (256, 512, 1024)
EDGE_FRAMES = 4  # left out of the loss: their neighbours are missing
LOUDEST, QUIETEST = 1.4, 0.3  # random gain
AVERAGING = 0.999
BETAS = (0.8, 0.99)  # of AdamW: a short memory, since the judges change all the time
WARMUP_STEPS = 200
LAST_RATE = 0.05  # of the learning rate is left at the end
CLIPPED_NORM = 5.0
FULL_SCALE = 32768  # of recordings
TINY = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class VocoderTrainingOptions:
    """Steps: from ``adversarial_from`` on against discriminators, from ``mel_from`` on with the mel error too."""

    steps: int = 10_750
    adversarial_from: int = 5_000
    mel_from: int = 7_500
    batch_size: int = 12
    frames: int = 48
    learning_rate: float = 5e-4
    adversarial_weight: float = 0.5
    feature_weight: float = 1.0
    mel_weight: float = 15.0
    save_every: int = 250
    seed: int = 7


def spectral_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Log-magnitude and relative magnitude error over five resolutions, of samples [B, N]."""
    total = predicted.new_zeros(())
    for size in FFT_SIZES:
        window = torch.hann_window(size, device=predicted.device)
        p, t = (
            torch.stft(x, size, size // 4, window=window, return_complex=True).abs().clamp(min=1e-4)
            for x in (predicted, target)
        )
        total = total + (p.log() - t.log()).abs().mean() + (p - t).norm() / t.norm()
    return total / len(FFT_SIZES)


def mel_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean absolute log-mel error of samples [B, N]: what the acoustic model asked for must come out."""
    window = torch.hann_window(WINDOW, device=predicted.device)
    filters = torch.from_numpy(mel_filters()).to(predicted.device)
    logs = []
    for samples in (predicted, target):
        spectrum = torch.stft(samples, FFT_SIZE, HOP, WINDOW, window=window, return_complex=True)
        magnitude = (torch.view_as_real(spectrum).square().sum(-1) + TINY).sqrt()  # abs() has no gradient at zero
        logs.append((filters @ magnitude).clamp(min=FLOOR).log())
    return (logs[0] - logs[1]).abs().mean()


class SpectrogramDiscriminator(nn.Module):
    """Complex spectrograms of one resolution to a verdict and inner features."""

    window: Tensor  # [fft_size]

    def __init__(self, fft_size: int, channels: int = 8) -> None:
        super().__init__()
        self.fft_size = fft_size
        widths = (2, channels, channels, 2 * channels, 2 * channels)
        self.convs = nn.ModuleList(
            nn.utils.parametrizations.weight_norm(nn.Conv2d(narrow, wide, (5, 3), stride=(2, 1), padding=(2, 1)))
            for narrow, wide in pairwise(widths)
        )
        self.verdict = nn.utils.parametrizations.weight_norm(nn.Conv2d(2 * channels, 1, 3, padding=1))
        self.register_buffer("window", torch.hann_window(fft_size), persistent=False)

    def forward(self, samples: Tensor) -> tuple[Tensor, list[Tensor]]:
        """samples [B, N] -> verdict, features."""
        spectrum = torch.stft(samples, self.fft_size, self.fft_size // 4, window=self.window, return_complex=True)
        x = torch.view_as_real(spectrum).permute(0, 3, 1, 2)  # [B, 2, F, T]
        x = x * (x.square().sum(1, keepdim=True) + 1e-4).pow(-0.25)  # square root of the loudness, phase kept
        features = []
        for conv in self.convs:
            x = F.leaky_relu(conv(x), 0.1)
            features.append(x)
        return self.verdict(x), features


class VocoderTrainer(Trainer):
    title = "vocoder"

    def __init__(
        self, vocoder: Vocoder, data: Dataset, *, recordings: Path, folder: Path, options: VocoderTrainingOptions,
        device: str = "cpu", speakers: Sequence[str] = SPEAKERS,
    ) -> None:  # fmt: skip
        super().__init__(data, folder, device, vocoder.config)
        self.options: VocoderTrainingOptions = options
        self.audio = [audio(recordings / name) for name in speakers]
        self.vocoder = vocoder.to(self.device)
        self.average = torch.optim.swa_utils.AveragedModel(
            self.vocoder, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(AVERAGING)
        )
        self.judges = nn.ModuleList(SpectrogramDiscriminator(size) for size in DISCRIMINATOR_FFT_SIZES).to(self.device)
        self.optimizer = torch.optim.AdamW(self.vocoder.parameters(), options.learning_rate, betas=BETAS)
        self.judge_optimizer = torch.optim.AdamW(self.judges.parameters(), options.learning_rate, betas=BETAS)
        self.resume(
            vocoder=self.vocoder, average=self.average, judges=self.judges,
            optimizer=self.optimizer, judge_optimizer=self.judge_optimizer,
        )  # fmt: skip

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        rng = np.random.default_rng([self.options.seed, self.step])
        while True:
            yield self._batch(rng)

    def _batch(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Random pieces with random gain: mels [B, T, M], samples [B, T * HOP]."""
        length = self.options.frames
        mels: list[Floats] = []
        samples: list[Floats] = []
        while len(mels) < self.options.batch_size:
            example = self.data.train[rng.integers(len(self.data.train))]
            if example.n_frames <= length + 1:
                continue
            first = int(rng.integers(example.n_frames - length))
            gain = float(np.exp(rng.uniform(np.log(QUIETEST), np.log(LOUDEST))))
            mel, piece = self.piece(example, first, length, gain)
            mels.append(mel)
            samples.append(piece)
        return torch.from_numpy(np.stack(mels)).to(self.device), torch.from_numpy(np.stack(samples)).to(self.device)

    def piece(self, example: Example, first: int, length: int, gain: float = 1.0) -> tuple[Floats, Floats]:
        """Frames [length, M] (normalised) of ``example`` from ``first`` on and their samples [length * HOP]."""
        at = example.start_frame + first
        raw = self.data.frames[at : at + length].astype(np.float32) + np.float32(np.log(gain))
        mel = (np.maximum(raw, np.log(FLOOR)) - self.data.mean) / self.data.deviation
        start = example.start_sample + first * HOP
        recorded = self.audio[example.speaker][start : start + length * HOP].astype(np.float32) * (gain / FULL_SCALE)
        return mel.astype(np.float32), np.pad(recorded, (0, length * HOP - len(recorded))).astype(np.float32)

    def train(self, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        mels, samples = batch
        rate = min((self.step + 1) / WARMUP_STEPS, 1.0 - (1 - LAST_RATE) * self.step / self.options.steps)
        for optimizer in (self.optimizer, self.judge_optimizer):
            for group in optimizer.param_groups:
                group["lr"] = self.options.learning_rate * rate
        edge = EDGE_FRAMES * HOP
        predicted, target = self.vocoder(mels)[:, edge:-edge], samples[:, edge:-edge]
        values = {"spectral": spectral_loss(predicted, target)}
        total = values["spectral"]
        if self.step >= self.options.adversarial_from:
            values["judge"] = self._train_judges(predicted.detach(), target)
            values["fooled"], values["features"] = self._judged(predicted, target)
            total = total + self.options.adversarial_weight * values["fooled"]
            total = total + self.options.feature_weight * values["features"]
        if self.step >= self.options.mel_from:
            values["mel"] = mel_loss(predicted, target)
            total = total + self.options.mel_weight * values["mel"]
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(self.vocoder.parameters(), CLIPPED_NORM)
        self.optimizer.step()
        self.average.update_parameters(self.vocoder)
        return values

    def _train_judges(self, predicted: Tensor, target: Tensor) -> Tensor:
        loss = predicted.new_zeros(())
        for judge in self.judges:
            loss = loss + F.relu(1 - judge(target)[0]).mean() + F.relu(1 + judge(predicted)[0]).mean()
        self.judge_optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.judge_optimizer.step()
        return loss.detach() / len(self.judges)

    def _judged(self, predicted: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """How badly the judges were fooled, and how far their features of both lie apart."""
        fooled, distance = predicted.new_zeros(()), predicted.new_zeros(())
        self.judges.requires_grad_(requires_grad=False)
        for judge in self.judges:
            verdict, features = judge(predicted)
            with torch.no_grad():
                _, true_features = judge(target)
            fooled = fooled - verdict.mean()
            for ours, true in zip(features, true_features, strict=True):
                distance = distance + (ours - true).abs().mean() / true.abs().mean().clamp(min=1e-3)
        self.judges.requires_grad_(requires_grad=True)
        return fooled / len(self.judges), distance / len(self.judges)

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        errors = []
        for example in self.data.held_out[:: max(1, len(self.data.held_out) // 24)]:
            mel, samples = self.piece(example, 0, example.n_frames)
            predicted = self.average(torch.from_numpy(mel)[None].to(self.device))
            errors.append(spectral_loss(predicted.cpu(), torch.from_numpy(samples)[None]).item())
        return {"held_out_spectral": float(np.mean(errors))}
