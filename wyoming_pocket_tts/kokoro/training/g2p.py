"""Train letter-to-sound; build the lexicon."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812  (PyTorch's own convention)
from tqdm import tqdm

from wyoming_pocket_tts.kokoro.phonemes import ALPHABET, INDEX, LONGEST_WORD, Lexicon, read_symbols, without_stress
from wyoming_pocket_tts.kokoro.vocoder import SLOTS, LetterToSound

SHORTEST = 2  # letters; single ones are spelled
HELD_OUT_SHARE = 32  # one word in so many is kept back
TESTED_AT_ONCE = 512
_EXTRA = {
    "alexa": "ax l eh1 k s ax", "covid": "k ow1 v ih d", "extractor": "ih k s t r ae1 k t er",
    "hectopascal": "hh eh1 k t ax p ae s k ax l", "hectopascals": "hh eh1 k t ax p ae s k ax l z",
    "kilopascals": "k ih1 l ax p ae s k ax l z", "kwh": "k ey1 d ah1 b ax l y uw ey1 ch", "lux": "l ah1 k s",
    "megabits": "m eh1 g ax b ih t s", "millibars": "m ih1 l ax b aa r z", "o'clock": "ax k l aa1 k",
    "thundery": "th ah1 n d er iy", "wi": "w ay1", "wifi": "w ay1 f ay", "yaml": "y ae1 m ax l",
    "zigbee": "z ih1 g b iy",
}  # fmt: skip
"""Words of a house that the dictionary lacks, or has otherwise."""

Entry = tuple[str, list[str]]  # a word and its symbols


def examples(lexicon: Lexicon) -> tuple[list[Entry], list[Entry]]:
    """Words with symbols to train on and, chosen by hash, to test on."""
    learned: list[Entry] = []
    held_out: list[Entry] = []
    for word in lexicon.words():
        symbols = lexicon.get(word) or []
        repeats = sum(a == b for a, b in pairwise(symbols))  # CTC needs a blank between equal neighbours
        if SHORTEST <= len(word) <= LONGEST_WORD and len(symbols) <= SLOTS * len(word) - repeats:
            chosen = hashlib.sha256(word.encode()).digest()[0] % HELD_OUT_SHARE == 0
            (held_out if chosen else learned).append((word, symbols))
    return learned, held_out


def encode(words: Sequence[str]) -> torch.Tensor:
    """Letters [B, N] of ``words``, padded with 0."""
    letters = torch.zeros(len(words), max(map(len, words)), dtype=torch.long)
    for row, word in enumerate(words):
        letters[row, : len(word)] = torch.tensor([ALPHABET.index(c) for c in word])
    return letters


def train(
    lexicon: Lexicon, checkpoint: Path, steps: int = 4000, batch_size: int = 128, learning_rate: float = 2e-3
) -> float:
    """Train and save; the ``accuracy`` on held-out words."""
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
    """The share of ``words`` without any error, stress aside."""
    right = 0
    for at in range(0, len(words), TESTED_AT_ONCE):
        part = words[at : at + TESTED_AT_ONCE]
        best = model(encode([w for w, _ in part])).argmax(-1).numpy()
        for row, (word, symbols) in zip(best, part, strict=True):
            said = read_symbols(row[: SLOTS * len(word)].tolist())
            right += [without_stress(symbol) for symbol in said] == [without_stress(symbol) for symbol in symbols]
    return right / max(len(words), 1)


def symbols(arpabet: Iterable[str]) -> Iterator[str]:
    """The teacher's phones with our stress marks: AH0 is ``ax``; stress 1 is kept, 2 counts as none."""
    for phone in arpabet:
        name, stress = phone.rstrip("012").lower(), phone[-1]
        if name == "ah" and stress == "0":
            yield "ax"
        else:
            yield name + ("1" if stress == "1" else "")


def build(text: str) -> bytes:
    """The lexicon file from the dictionary's ``text``: first pronunciations of words made of letters."""
    entries = {word: tuple(phones.split()) for word, phones in _EXTRA.items()}
    for line in text.splitlines():
        word, *phones = line.partition("#")[0].split()
        if re.fullmatch(r"[a-z]+('[a-z]+)*", word):
            entries.setdefault(word, tuple(symbols(phones)))
    return Lexicon.encode(entries)
