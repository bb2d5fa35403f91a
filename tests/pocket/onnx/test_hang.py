"""A served model that hangs: who listens is told, the next request is spoken, and nobody else notices."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import pytest

from tests.engine.speakers import PATIENCE_SECONDS, Noting
from tests.pocket.onnx.bundles import write_small_model
from tests.server.client import Service, errors, kinds, service
from wyoming_pocket_tts.engine.eviction import ManagerTimeouts
from wyoming_pocket_tts.engine.model_manager import ManagedSynthesizer, ModelManager
from wyoming_pocket_tts.engine.pipeline import ModelRouter
from wyoming_pocket_tts.pocket.loading import open_for_onnx
from wyoming_pocket_tts.pocket.model import TTSModel, export_model_state
from wyoming_pocket_tts.pocket.onnx.backend import OnnxBackend
from wyoming_pocket_tts.pocket.onnx.bundle import ModelBundle
from wyoming_pocket_tts.pocket.onnx.install import ensure_converted
from wyoming_pocket_tts.pocket.onnx.kv_cache import SlotPool
from wyoming_pocket_tts.pocket.synthesizer import PocketSynthesizer
from wyoming_pocket_tts.pocket.voice_state import VoiceState
from wyoming_pocket_tts.pocket.voice_store import ModelVoices

pytestmark = pytest.mark.timeout(120)

HUNG_SECONDS = 3.0
"""No sound call takes so long, on whatever machine."""
TEXT = "The door is open, the window is closed, and it rains."


class Hangs:
    """Lets models hang at their second step, for as long as it is set to."""

    def __init__(self) -> None:
        self.wanted = True
        self.hung = threading.Event()
        self.gate = threading.Event()

    def open_rows(self, backend: OnnxBackend) -> SlotPool:
        rows, step, steps = OnnxBackend.open_rows(backend), SlotPool.step, iter(range(1000))

        def hang(*arguments: object) -> object:
            if self.wanted and next(steps) == 1:
                self.hung.set()
                assert self.gate.wait(3 * PATIENCE_SECONDS)
            return step(rows, *arguments)  # type: ignore[arg-type]  # as they came

        rows.step = hang  # type: ignore[assignment]  # only what it does matters here
        return rows


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> ModelBundle:
    directory = tmp_path_factory.mktemp("model")
    config = write_small_model(directory)
    sizes, rng = config.flow_lm.transformer, np.random.default_rng(2)
    layers = rng.standard_normal((sizes.num_layers, 2, 20, sizes.kv_heads, sizes.head_dim), dtype=np.float32)
    export_model_state(VoiceState(layers=tuple(layers)), directory / "alba.safetensors")
    return ensure_converted(None, config, data_dir=directory)


@pytest.fixture
def hangs() -> Iterator[Hangs]:
    hangs = Hangs()
    yield hangs
    hangs.gate.set()
    for thread in threading.enumerate():
        if thread.name == "pocket-engine":
            thread.join(PATIENCE_SECONDS)


def resident(residency: ModelManager, bundle: ModelBundle, label: str, hangs: Hangs | None) -> ManagedSynthesizer:
    voices = ModelVoices(
        name=label, voices=["alba"], language="en", rate_hz=24_000, directory=bundle.directory.parents[1]
    )

    def bring() -> PocketSynthesizer:
        loaded = open_for_onnx(bundle)
        backend = loaded.backend
        assert isinstance(backend, OnnxBackend)
        if hangs is not None:
            backend.open_rows = lambda: hangs.open_rows(backend)  # type: ignore[method-assign]
        return PocketSynthesizer(TTSModel(loaded), voices)

    return residency.add(label, bring, title=f"the model {label}", size_bytes=1, voices=voices.voices, speaker=bring())


async def speaks(house: Service, voice: str) -> None:
    async with await house.connect() as client:
        await client.send("synthesize", text=TEXT, voice={"name": voice})
        assert "audio-chunk" in kinds(await client.until("audio-stop"))


async def test_who_listens_is_told_and_the_next_request_is_spoken(
    bundle: ModelBundle, hangs: Hangs, caplog: pytest.LogCaptureFixture
) -> None:
    residency, hears = ModelManager(patience=ManagerTimeouts(hung=HUNG_SECONDS)), Noting()
    residency.observe(hears)
    repertoire = ModelRouter(resident(residency, bundle, "sound", None), {})
    repertoire.add("bad", resident(residency, bundle, "bad", hangs))
    residency.start()
    try:
        async with service(cast("Any", repertoire)) as house:
            async with await house.connect() as first, await house.connect() as second:
                for client in (first, second):
                    await client.send("synthesize", text=TEXT, voice={"name": "bad-alba"})
                assert await asyncio.to_thread(hangs.hung.wait, PATIENCE_SECONDS)
                await speaks(house, "sound-alba")
                hangs.wanted = False
                for client in (first, second):
                    events = await client.rest()
                    ((code, text),) = errors(events)
                    assert (code, text) == ("model-error", "the model bad hung; it is opened anew, ask again")
                    assert kinds(events)[-2:] == ["error", "audio-stop"]
            await speaks(house, "bad-alba")
            await speaks(house, "sound-alba")
    finally:
        await asyncio.to_thread(residency.close)
    assert (hears.faults, hears.rebuilds) == (["hung"], ["bad"])
    assert "the model bad does not come to an end" in caplog.text
