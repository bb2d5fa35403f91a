"""Writes what a converted model looks up outside its graphs: embeddings and projections. Knows no graph."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_NAMES = {
    "text_table": "conditioner.embed.weight",
    "text_proj": "conditioner.proj.weight",
    "speaker_proj_weight": "speaker_proj_weight",
    "bos_emb": "bos_emb",
    "bos_before_voice": "bos_before_voice",
    "emb_mean": "emb_mean",
    "emb_std": "emb_std",
}
"""What the tables are called in a bundle, and in the weights; not every model has all of them."""


def write_tables(path: Path, weights: Mapping[str, Floats]) -> None:
    """Write the tables of a model as float32.

    Raises:
        OSError: the file cannot be written.
    """
    tables = {ours: weights[f"flow_lm.{theirs}"] for ours, theirs in _NAMES.items() if f"flow_lm.{theirs}" in weights}
    write_tensors(path, tables)


def write_tensors(path: Path, tensors: Mapping[str, Floats]) -> None:
    """Write a safetensors file; the library's own way would hide what the system said about the disk.

    Raises:
        OSError: the file cannot be written.
    """
    path.write_bytes(safetensors.numpy.save({name: np.ascontiguousarray(array) for name, array in tensors.items()}))
