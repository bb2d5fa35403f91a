"""Train the acoustic model."""

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  (PyTorch's own convention)
from tqdm import tqdm

from wyoming_pocket_tts.core.system import atomic_path
from wyoming_pocket_tts.core.types import Floats
from wyoming_pocket_tts.kokoro.model import KokoroModel, durations_in_frames
from wyoming_pocket_tts.kokoro.training.dataset import Dataset, Example, batches

DURATION_WEIGHT = 0.2
STOP_WEIGHT = 0.2
STOP_POSITIVE = 5.0  # a sentence has one stopping step among some fifty

Durations = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class AcousticTrainingOptions:
    """How to train."""

    steps: int = 12_000
    batch_size: int = 16
    learning_rate: float = 1e-3
    warmup_steps: int = 300
    averaging: float = 0.999
    save_every: int = 250
    seed: int = 7


@dataclass(frozen=True, slots=True)
class Batch:
    """Padded tensors of some examples."""

    phonemes: Tensor  # [B, P]
    durations: Tensor  # [B, P]
    mels: Tensor  # [B, T, M]
    frames: Tensor  # [B, T] 1 where there is speech
    stops: Tensor  # [B, S]
    speakers: Tensor  # [B]

    def to(self, device: torch.device) -> "Batch":
        return Batch(*(getattr(self, name).to(device) for name in self.__slots__))


def collate(data: Dataset, examples: Sequence[Example], frames_per_step: int) -> Batch:
    """Pad ``examples`` to one length, a whole number of decoder steps."""
    n_phonemes = max(len(e.phonemes) for e in examples)
    steps = max(math.ceil(e.n_frames / frames_per_step) for e in examples)
    size, total = len(examples), steps * frames_per_step
    phonemes, durations = np.zeros((size, n_phonemes), np.int64), np.zeros((size, n_phonemes), np.int64)
    mels = np.zeros((size, total, data.frames.shape[1]), np.float32)
    frames, stops = np.zeros((size, total), np.float32), np.zeros((size, steps), np.float32)
    for row, example in enumerate(examples):
        phonemes[row, : len(example.phonemes)] = example.phonemes
        durations[row, : len(example.phonemes)] = example.durations
        mels[row, : example.n_frames] = data.mel(example)
        frames[row, : example.n_frames] = 1
        stops[row, math.ceil(example.n_frames / frames_per_step) - 1 :] = 1
    speakers = np.array([e.speaker for e in examples])
    return Batch(*map(torch.from_numpy, (phonemes, durations, mels, frames, stops, speakers)))


def losses(model: KokoroModel, batch: Batch) -> dict[str, Tensor]:
    """Mean absolute mel error ``mel``, ``duration`` and ``stop`` errors, and ``total``, which is trained on."""
    mel, log_durations, stops = model(batch.phonemes, batch.mels, batch.durations, batch.stops, speakers=batch.speakers)
    weight = batch.frames.unsqueeze(-1)
    count = weight.sum() * mel.shape[-1]
    error = (mel - batch.mels) * weight
    l1, l2 = error.abs().sum() / count, error.square().sum() / count
    spoken = (batch.phonemes != 0).float()
    duration = ((log_durations - batch.durations.float().log1p()).square() * spoken).sum() / spoken.sum()
    until_end = (batch.stops.cumsum(1) <= 1).float()
    stop = F.binary_cross_entropy_with_logits(
        stops, batch.stops, until_end, reduction="sum", pos_weight=torch.tensor(STOP_POSITIVE, device=stops.device)
    )
    stop = stop / until_end.sum()
    total = l1 + 0.5 * l2 + DURATION_WEIGHT * duration + STOP_WEIGHT * stop
    return {"total": total, "mel": l1, "duration": duration, "stop": stop}


class AcousticTrainer:
    """Owns the model, its optimiser and its running average; everything it knows survives in ``checkpoint.pt``."""

    def __init__(
        self, model: KokoroModel, data: Dataset, folder: Path, options: AcousticTrainingOptions, device: str = "cpu"
    ) -> None:
        self.options, self.data, self.folder, self.device = options, data, folder, torch.device(device)
        self.model = model.to(self.device)
        self.model.mel_mean.copy_(torch.from_numpy(data.mean))
        self.model.mel_deviation.copy_(torch.from_numpy(data.deviation))
        self.average = torch.optim.swa_utils.AveragedModel(
            self.model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(options.averaging), use_buffers=False
        )
        self.optimizer = torch.optim.AdamW(
            model.parameters(), options.learning_rate, betas=(0.9, 0.98), weight_decay=0.01
        )
        self.step, self.epoch = 0, 0
        folder.mkdir(parents=True, exist_ok=True)
        if self._checkpoint.exists():
            self._resume()

    @property
    def _checkpoint(self) -> Path:
        return self.folder / "checkpoint.pt"

    def run(self) -> None:
        """Train up to ``options.steps``, saving and evaluating on the way."""
        torch.manual_seed(self.options.seed + self.step)
        running: dict[str, float] = {}
        with tqdm(total=self.options.steps, initial=self.step, desc="acoustic model") as bar:
            while self.step < self.options.steps:
                for batch in self._epoch():
                    for name, value in self._train(batch).items():
                        running[name] = 0.98 * running.get(name, value) + 0.02 * value
                    bar.update()
                    bar.set_postfix({name: f"{value:.3f}" for name, value in running.items()}, refresh=False)
                    if self.step % self.options.save_every == 0 or self.step >= self.options.steps:
                        self._save(running)
                    if self.step >= self.options.steps:
                        break
                self.epoch += 1

    def _epoch(self) -> Iterator[Batch]:
        rng = np.random.default_rng([self.options.seed, self.epoch, self.step])
        for examples in batches(self.data.train, self.options.batch_size, rng):
            yield collate(self.data, examples, self.model.frames_per_step).to(self.device)

    def _train(self, batch: Batch) -> dict[str, float]:
        rate = min((self.step + 1) / self.options.warmup_steps, 1 - self.step / (self.options.steps + 1))
        for group in self.optimizer.param_groups:
            group["lr"] = self.options.learning_rate * rate
        self.model.train()
        values = losses(self.model, batch)
        self.optimizer.zero_grad(set_to_none=True)
        values["total"].backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.average.update_parameters(self.model)
        self.step += 1
        return {name: value.item() for name, value in values.items()}

    def _save(self, running: dict[str, float]) -> None:
        state = {
            "config": self.model.config, "model": self.model.state_dict(), "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(), "step": self.step, "epoch": self.epoch,
        }  # fmt: skip
        metrics = {"step": self.step, "time": time.time(), **running, **self.evaluate()}
        save(self._checkpoint, state, metrics)

    def _resume(self) -> None:
        state = torch.load(self._checkpoint, map_location=self.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.epoch = state["step"], state["epoch"]

    @torch.no_grad()
    def evaluate(self, n_batches: int = 4) -> dict[str, float]:
        """Errors of the averaged weights on held-out sentences; draws the first one."""
        averaged = cast("KokoroModel", self.average.module)
        averaged.eval()
        size = self.options.batch_size
        by_length = sorted(self.data.held_out, key=lambda e: e.n_frames)
        held_out = by_length[:: max(1, len(by_length) // (size * n_batches))]
        rows = [
            losses(averaged, collate(self.data, held_out[at : at + size], averaged.frames_per_step).to(self.device))
            for at in range(0, len(held_out), size)
        ]
        example = held_out[len(held_out) // 2]
        predicted = averaged.inference(torch.from_numpy(example.phonemes).to(self.device), speaker=example.speaker)
        target = AlignmentPlot("target", self.data.mel(example), example.durations)
        free_running = AlignmentPlot("predicted", predicted.cpu().numpy(), self._durations(averaged, example))
        draw(target, free_running, self.folder / "mel.png")
        return {f"held_out_{name}": float(np.mean([row[name].item() for row in rows])) for name in rows[0]}

    def _durations(self, model: KokoroModel, example: Example) -> Durations:
        phonemes = torch.from_numpy(example.phonemes).to(self.device)[None]
        encoded = model.encode(phonemes, torch.tensor([example.speaker], device=self.device))
        durations: Durations = durations_in_frames(encoded.log_durations)[0].cpu().numpy()
        return durations


@dataclass(frozen=True, slots=True)
class AlignmentPlot:
    """A row of the picture."""

    title: str
    mel: Floats  # [T, M], normalised
    durations: Durations  # [P], frames


def draw(target: AlignmentPlot, predicted: AlignmentPlot, path: Path) -> None:
    """A PNG: target and free-running predicted mel above one another, each with its alignment."""
    import matplotlib as mpl  # noqa: PLC0415  (slow to import, and only pictures need it)

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415  (only after the choice of a back end without a screen)

    figure, axes = plt.subplots(2, 1, figsize=(12, 6), sharex=True, layout="constrained")
    for axis, row in zip(axes, (target, predicted), strict=True):
        if not len(row.mel):  # an untrained model may have nothing to say
            continue
        axis.imshow(row.mel.T, origin="lower", aspect="auto", vmin=-2, vmax=2.5)
        axis.vlines(np.cumsum(row.durations), 0, row.mel.shape[1] - 1, colors="white", linewidth=0.4, alpha=0.7)
        axis.set(title=row.title, ylabel="mel bin")
    axes[1].set(xlabel="frame (12.5 ms); white: phoneme boundaries")
    figure.savefig(path, dpi=80)
    plt.close(figure)


def save(checkpoint: Path, state: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
    """Replace ``checkpoint`` at once, so that a run always finds a whole one, and add a row to ``metrics.jsonl``."""
    with atomic_path(checkpoint, durable=False) as aside:
        torch.save(dict(state), aside)
    with checkpoint.with_name("metrics.jsonl").open("a", encoding="utf-8") as rows:
        rows.write(json.dumps(dict(metrics)) + "\n")
