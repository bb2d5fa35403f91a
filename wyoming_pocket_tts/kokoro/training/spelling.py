"""Trains letter to sound on the dictionary and tells how many unseen words it reads right."""

import hashlib
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812  (PyTorch's own convention)
from tqdm import tqdm

from wyoming_pocket_tts.kokoro.letters import SLOTS, LetterToSound
from wyoming_pocket_tts.kokoro.phonemes import ALPHABET, INDEX, LONGEST_WORD, Lexicon, read_symbols, without_stress

SHORTEST = 2  # letters; single ones are spelled
HELD_OUT_SHARE = 32  # one word in so many is kept back
TESTED_AT_ONCE = 512

Entry = tuple[str, list[str]]
"""A word and its symbols."""


def examples(lexicon: Lexicon) -> tuple[list[Entry], list[Entry]]:
    """Words with symbols to train on and, chosen by hash, to test on."""
    learned: list[Entry] = []
    held_out: list[Entry] = []
    for word in lexicon.words():
        symbols = lexicon.get(word) or []
        if SHORTEST <= len(word) <= LONGEST_WORD and len(symbols) <= SLOTS * len(word) - _repeats(symbols):
            chosen = hashlib.sha256(word.encode()).digest()[0] % HELD_OUT_SHARE == 0
            (held_out if chosen else learned).append((word, symbols))
    return learned, held_out


def _repeats(symbols: Sequence[str]) -> int:
    """Equal neighbours: CTC needs a blank between them, and so one more output."""
    return sum(a == b for a, b in pairwise(symbols))


def encode(words: Sequence[str]) -> torch.Tensor:
    """Letters [B, N] of ``words``, padded with 0."""
    letters = torch.zeros(len(words), max(map(len, words)), dtype=torch.long)
    for row, word in enumerate(words):
        letters[row, : len(word)] = torch.tensor([ALPHABET.index(c) for c in word])
    return letters


def train(
    lexicon: Lexicon, checkpoint: Path, steps: int = 4000, batch_size: int = 128, learning_rate: float = 2e-3
) -> float:
    """Train and save; the share of held-out words read without any error (stress aside)."""
    learned, held_out = examples(lexicon)
    torch.manual_seed(7)
    rng = np.random.default_rng(7)
    model = LetterToSound()
    optimizer = torch.optim.AdamW(model.parameters(), learning_rate, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=steps, pct_start=0.1)
    for _ in (bar := tqdm(range(steps), desc="letter to sound")):
        batch = [learned[i] for i in rng.integers(len(learned), size=batch_size)]
        words, targets = zip(*batch, strict=True)
        scores = model(encode(words)).log_softmax(-1).transpose(0, 1)
        lengths = torch.tensor([len(t) for t in targets])
        flat = torch.tensor([INDEX[s] for target in targets for s in target])
        loss = F.ctc_loss(scores, flat, torch.tensor([SLOTS * len(w) for w in words]), lengths, zero_infinity=True)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
    model.eval()
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"config": model.config, "model": model.state_dict()}, checkpoint)
    return accuracy(model, held_out)


@torch.no_grad()
def accuracy(model: LetterToSound, words: Sequence[Entry]) -> float:
    """The share of ``words`` that the model reads without any error, stress aside."""
    right = 0
    for at in range(0, len(words), TESTED_AT_ONCE):
        part = words[at : at + TESTED_AT_ONCE]
        best = model(encode([w for w, _ in part])).argmax(-1).numpy()
        for row, (word, symbols) in zip(best, part, strict=True):
            said = read_symbols(row[: SLOTS * len(word)].tolist())
            right += [without_stress(symbol) for symbol in said] == [without_stress(symbol) for symbol in symbols]
    return right / max(len(words), 1)
