"""The package pocket-tts, loaded from the same files as ours, and what it says on the way."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from wyoming_pocket_tts.pocket.model import TTSModel
from wyoming_pocket_tts.pocket.torch.backend import TorchBackend

Floats = NDArray[np.float32]


def load_peer(config: Path, **options: Any) -> Any:  # noqa: ANN401  (the peer's TTSModel)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pocket_tts import TTSModel as Peer  # noqa: PLC0415  (sets PyTorch's threads when it is imported)

        return Peer.load_model(config=str(config), **options)


@dataclass(frozen=True, slots=True)
class Spoken:
    """What a model said: latents as the codec gets them, ``[frames, latent_dim]``, and samples."""

    latents: Floats
    audio: Floats


def peer_speaks(peer: Any, state: Any, text: str, **options: Any) -> Spoken:  # noqa: ANN401
    latents: list[Floats] = []
    decode = peer.mimi.decode_from_latent

    def recorded(latent: torch.Tensor, mimi_state: Any) -> torch.Tensor:  # noqa: ANN401
        latents.append(latent[0].numpy().copy())
        return decode(latent, mimi_state)  # type: ignore[no-any-return]

    peer.mimi.decode_from_latent = recorded
    try:
        audio = peer.generate_audio(state, text, **options)
    finally:
        del peer.mimi.decode_from_latent
    return Spoken(np.concatenate(latents), audio.numpy())


def ours_speaks(model: TTSModel, state: Any, text: str, **options: Any) -> Spoken:  # noqa: ANN401
    with _recorded(model) as latents:
        audio = model.generate_audio(state, text, **options)
    flow_lm = torch_backend(model).network.flow_lm
    normalised = np.concatenate(latents)
    return Spoken(normalised * flow_lm.emb_std.numpy() + flow_lm.emb_mean.numpy(), audio.numpy())


def torch_backend(model: TTSModel) -> TorchBackend:
    backend = model._backend
    assert isinstance(backend, TorchBackend)
    return backend


@contextmanager
def _recorded(model: TTSModel) -> Iterator[list[Floats]]:
    latents: list[Floats] = []
    backend = model._backend
    open_decoder = backend.open_decoder

    class Recorder:
        def __init__(self) -> None:
            self.decoder = open_decoder()

        def decode(self, frames: Floats) -> Floats:
            latents.append(frames)
            return self.decoder.decode(frames)

    backend.open_decoder = Recorder  # type: ignore[method-assign]
    try:
        yield latents
    finally:
        del backend.open_decoder
