"""The ensemble that a service speaks with: who is told what, and what becomes of an embedded voice that breaks."""

from pathlib import Path

import pytest

from tests.engine.speakers import PATIENCE_SECONDS, Noting
from wyoming_pocket_tts.config.schema import Settings
from wyoming_pocket_tts.core.types import SynthesisRequest
from wyoming_pocket_tts.engine.tone import ToneSynthesizer
from wyoming_pocket_tts.server import components as engines


@pytest.mark.parametrize("models", ["none", "english"])
def test_an_embedded_voice_that_fails_is_opened_anew_and_observers_hear_of_it(
    models: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tones = [ToneSynthesizer(failure=lambda *_: RuntimeError("broken")), ToneSynthesizer()]
    monkeypatch.setattr(engines, "load_engine", lambda _: tones.pop(0))
    settings = Settings.model_validate(
        {"models": {"names": models, "local_files_only": True, "memory_mb": 100}, "data_dir": tmp_path}
    )
    ensemble, hears = engines.build_components(engines.EmbeddedEngine.TONE, settings), Noting()
    ensemble.observe(hears)
    for helper in ensemble.helpers:
        helper.start()
    try:
        voices = [voice for voice in ensemble.synthesizer.voices() if voice.installed]
        request = SynthesisRequest(text="Hello.", voice=voices[0])
        for _ in range(3):
            with pytest.raises(RuntimeError, match="broken"):
                list(ensemble.synthesizer.synthesize(request))
        assert hears.has_rebuilt.wait(PATIENCE_SECONDS)
        assert hears.rebuilds == ["embedded voice"]
        assert list(ensemble.synthesizer.synthesize(request))
        assert ensemble.models() == ({} if models == "none" else {"english": "coming"})
    finally:
        for helper in ensemble.helpers:
            helper.stop()
        for helper in ensemble.helpers:
            helper.close()
