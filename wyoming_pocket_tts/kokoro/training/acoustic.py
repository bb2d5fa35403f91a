"""Train the acoustic model; the loop and checkpoints of both trainings."""

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
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


@dataclass(frozen=True, kw_only=True)
class AcousticTrainingOptions:
    steps: int = 12_000
    batch_size: int = 16
    learning_rate: float = 1e-3
    save_every: int = 250
    seed: int = 7
    warmup_steps: int = 300
    averaging: float = 0.999


@dataclass(frozen=True, slots=True)
class Batch:
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


class Trainer:
    """Runs steps up to ``options.steps``. ``parts``, step and epoch survive in ``checkpoint.pt``."""

    title: ClassVar[str]
    options: Any

    def __init__(self, data: Dataset, folder: Path, device: str, config: Mapping[str, int]) -> None:
        self.data, self.folder, self.device, self.config = data, folder, torch.device(device), dict(config)
        self.parts: dict[str, Any] = {}
        self.step, self.epoch = 0, 0
        self._checkpoint = folder / "checkpoint.pt"

    def resume(self, **parts: nn.Module | torch.optim.Optimizer) -> None:
        """Take the parts of the training, and their states from the checkpoint if there is one."""
        self.parts = parts
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._checkpoint.exists():
            state = torch.load(self._checkpoint, map_location=self.device, weights_only=True)
            for name, part in self.parts.items():
                part.load_state_dict(state[name])
            self.step, self.epoch = state["step"], state.get("epoch", 0)

    def run(self) -> None:
        running: dict[str, float] = {}
        steps = self.options.steps
        with tqdm(total=steps, initial=self.step, desc=self.title) as bar:
            for batch in self.batches() if self.step < steps else ():
                for name, value in self.train(batch).items():
                    running[name] = 0.98 * running.get(name, value.item()) + 0.02 * value.item()
                self.step += 1
                bar.update()
                bar.set_postfix({name: f"{value:.3f}" for name, value in running.items()}, refresh=False)
                if self.step % self.options.save_every == 0 or self.step >= steps:
                    self._save(running)
                if self.step >= steps:
                    break

    def _save(self, running: dict[str, float]) -> None:
        """Replace the checkpoint at once, so that a run always finds a whole one; add a row to ``metrics.jsonl``."""
        states = {name: part.state_dict() for name, part in self.parts.items()}
        metrics = {"step": self.step, "time": time.time(), **running, **self.evaluate()}
        with atomic_path(self._checkpoint, durable=False) as aside:
            torch.save({"config": self.config, **states, "step": self.step, "epoch": self.epoch}, aside)
        with (self.folder / "metrics.jsonl").open("a", encoding="utf-8") as rows:
            rows.write(json.dumps(metrics) + "\n")

    def batches(self) -> Iterator[Any]:
        raise NotImplementedError

    def train(self, batch: Any) -> dict[str, Tensor]:  # noqa: ANN401  (each training has its own)
        """One step; errors by name."""
        raise NotImplementedError

    def evaluate(self) -> dict[str, float]:
        raise NotImplementedError


class AcousticTrainer(Trainer):
    title = "acoustic model"

    def __init__(
        self, model: KokoroModel, data: Dataset, folder: Path, options: AcousticTrainingOptions, device: str = "cpu"
    ) -> None:
        super().__init__(data, folder, device, model.config)
        self.options: AcousticTrainingOptions = options
        self.model = model.to(self.device)
        self.model.mel_mean.copy_(torch.from_numpy(data.mean))
        self.model.mel_deviation.copy_(torch.from_numpy(data.deviation))
        self.average = torch.optim.swa_utils.AveragedModel(
            self.model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(options.averaging), use_buffers=False
        )
        self.optimizer = torch.optim.AdamW(
            model.parameters(), options.learning_rate, betas=(0.9, 0.98), weight_decay=0.01
        )
        self.resume(model=self.model, average=self.average, optimizer=self.optimizer)

    def batches(self) -> Iterator[Batch]:
        torch.manual_seed(self.options.seed + self.step)
        while True:
            rng = np.random.default_rng([self.options.seed, self.epoch, self.step])
            for examples in batches(self.data.train, self.options.batch_size, rng):
                yield collate(self.data, examples, self.model.frames_per_step).to(self.device)
            self.epoch += 1

    def train(self, batch: Batch) -> dict[str, Tensor]:
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
        return values

    @torch.no_grad()
    def evaluate(self, n_batches: int = 4) -> dict[str, float]:
        """Errors of the averaged weights on held-out sentences; draws one of medium length."""
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
        phonemes = torch.from_numpy(example.phonemes).to(self.device)
        predicted = averaged.inference(phonemes, speaker=example.speaker)
        target = AlignmentPlot("target", self.data.mel(example), example.durations)
        encoded = averaged.encode(phonemes[None], torch.tensor([example.speaker], device=self.device))
        durations = durations_in_frames(encoded.log_durations)[0].cpu().numpy()
        draw(target, AlignmentPlot("predicted", predicted.cpu().numpy(), durations), self.folder / "mel.png")
        return {f"held_out_{name}": float(np.mean([row[name].item() for row in rows])) for name in rows[0]}


@dataclass(frozen=True, slots=True)
class AlignmentPlot:
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
        if not len(row.mel):  # an untrained model may predict no frame
            continue
        axis.imshow(row.mel.T, origin="lower", aspect="auto", vmin=-2, vmax=2.5)
        axis.vlines(np.cumsum(row.durations), 0, row.mel.shape[1] - 1, colors="white", linewidth=0.4, alpha=0.7)
        axis.set(title=row.title, ylabel="mel bin")
    axes[1].set(xlabel="frame (12.5 ms); white: phoneme boundaries")
    figure.savefig(path, dpi=80)
    plt.close(figure)
