"""Writes the files that serve, ``kokoro/voice``, from the checkpoints. Knows nothing about how they were trained."""

import json
from pathlib import Path
from typing import Any

import onnx
import torch

from wyoming_pocket_tts.kokoro import graphs, runtime
from wyoming_pocket_tts.kokoro.features import Floats
from wyoming_pocket_tts.kokoro.phonemes import LONGEST_WORD

# The gains bring both to -17.5 dB below full scale, measured over the frames in which they speak.
SPEAKERS = (
    {
        "index": 0,
        "gain": 1.45,
        "name": "kokoro-ray",
        "description": "Kokoro Ray (built in, English, male)",
        "languages": ["en-US"],
    },
    {
        "index": 1,
        "gain": 0.67,
        "name": "kokoro-selma",
        "description": "Kokoro Selma (built in, English, female)",
        "languages": ["en-US"],
    },
)


def _numpy(state: dict[str, torch.Tensor], prefix: str = "") -> dict[str, Floats]:
    """The weights under ``prefix``, named without it; counters and the like are left out."""
    return {
        key.removeprefix(prefix): value.float().numpy()
        for key, value in state.items()
        if key.startswith(prefix) and value.dim() > 0
    }


def _load(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise SystemExit(f"{path} is missing: train first")
    checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return checkpoint


def export(data: Path, voice: Path) -> None:
    """Write encoder, decoder, vocoder, letters and ``voice.json`` to ``voice``."""
    voice.mkdir(parents=True, exist_ok=True)
    acoustic, vocoder, letters = (
        _load(data / name) for name in ("acoustic/checkpoint.pt", "vocoder/checkpoint.pt", "letters.pt")
    )
    weights = _numpy(acoustic["average"], "module.")
    n_heads = acoustic["config"]["n_heads"]
    onnx.save(graphs.encoder(weights, n_heads, runtime.LONGEST_ENCODER), voice / "encoder.onnx")
    onnx.save(graphs.decoder(weights, n_heads, runtime.LONGEST_DECODER), voice / "decoder.onnx")
    onnx.save(graphs.vocoder(_numpy(vocoder["average"], "module.")), voice / "vocoder.onnx")
    onnx.save(
        graphs.letters(_numpy(letters["model"]), letters["config"]["n_heads"], LONGEST_WORD),
        voice / "letters.onnx",
    )
    description = {
        "version": "1.0", "attribution_name": "wyoming-pocket-tts; teacher: CMU Flite (rms, slt)",
        "attribution_url": "http://cmuflite.org", "frames_per_step": acoustic["config"]["frames_per_step"],
        "mel_dim": acoustic["config"]["mel_dim"], "speakers": SPEAKERS,
        "trained": {"acoustic_steps": acoustic["step"], "vocoder_steps": vocoder["step"]},
    }  # fmt: skip
    (voice / "voice.json").write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
