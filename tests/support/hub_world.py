"""A released model with random weights on a hub of our own, and a service's answers, for tests. Knows no test."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tests.pocket.tokenizers import tokenizer_files
from tests.server.client import Client
from tests.support.shared import shared
from wyoming_pocket_tts.pocket.hub import HubFile
from wyoming_pocket_tts.pocket.model import TTSModel, export_model_state
from wyoming_pocket_tts.pocket.random_model import write_random_model
from wyoming_pocket_tts.pocket.registry import released_model, voice_audio_source, voice_names, voice_state_source

MODEL = "english_2m_2026-10"
RATE_HZ = 24_000
EMBEDDED_VOICE = "kokoro-ray"
PATIENCE_SECONDS = 120.0
"""Downloads, a conversion and a warm-up on a busy machine."""
SPEAKS = f"the model {MODEL} speaks now (int8), by default as alba"


@dataclass(frozen=True)
class World:
    """All files of a released model, with random weights, by their places on the hub."""

    files: Mapping[str, bytes]
    commits: frozenset[str]
    config: Path


def place(source: str) -> str:
    path = HubFile.parse(source)
    return f"{path.repository}/{path.path}"


def shared_world(factory: pytest.TempPathFactory) -> World:
    """The files, written once for a run of tests."""
    directory, config = shared(factory, "world", _write_world), released_model(MODEL)
    assert config.weights_path is not None
    sources = {
        config.weights_path: directory / "model.safetensors",
        config.flow_lm.lookup_table.tokenizer_path: directory / "tokenizer.model",
        voice_audio_source("alba"): directory / "voice.wav",
        **{voice_state_source(MODEL, voice): directory / "voice.st" for voice in voice_names()},
    }
    commits = {HubFile.parse(source).revision for source in sources}
    return World(
        {place(source): file.read_bytes() for source, file in sources.items()},
        frozenset(commit for commit in commits if commit),
        directory / "model.yaml",
    )


def _write_world(directory: Path) -> None:
    tokenizer = Path(shutil.copy(tokenizer_files().sentencepiece, directory))
    path = write_random_model(directory, released_model(MODEL), seed=2, tokenizer=tokenizer)
    model = TTSModel.load_model(config=path, engine="torch")
    times = np.arange(3 * RATE_HZ) / RATE_HZ
    recording = 0.1 * sum(np.sin(2 * np.pi * 140 * k * times) / k for k in range(1, 8)) * np.abs(np.sin(4 * times))
    soundfile.write(directory / "voice.wav", recording, RATE_HZ)
    export_model_state(
        model.get_state_for_audio_prompt(torch.from_numpy(recording.astype(np.float32))), directory / "voice.st"
    )


def environment(hub_url: str, home: Path, names: str = MODEL) -> dict[str, str]:
    return {
        "WYOMING_POCKET_TTS_MODELS_NAMES": names,
        "HF_ENDPOINT": hub_url,
        "HF_HOME": str(home / "hub"),
        "HF_HUB_DISABLE_XET": "1",
    }


async def installed_voices(address: str) -> dict[str, bool]:
    async with await Client.connect(address) as client:
        await client.send("describe")
        info = await client.receive()
    assert info is not None
    return {voice["name"]: voice["installed"] for voice in info.data["tts"][0]["voices"]}


async def rate_spoken(address: str, voice: str | None = None) -> int:
    """Speak, and return the sample rate: the embedded voices have another one than Pocket TTS."""
    async with await Client.connect(address) as client:
        await client.send("synthesize", text="Good evening.", **({"voice": {"name": voice}} if voice else {}))
        samples, rate_hz = 0, 0
        while (event := await client.receive()) is not None and event.type != "audio-stop":
            assert event.type != "error", event.data
            if event.type == "audio-chunk":
                samples += len(event.payload or b"") // 2
                rate_hz = event.data["rate"]
    assert samples > rate_hz / 10
    return rate_hz
