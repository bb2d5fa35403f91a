"""Makes voices for one model: from recordings and samples, which it hears, or from files of voices, which it checks.

Knows nothing about how they will speak.
"""

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from wyoming_pocket_tts.errors import MissingFile, VoiceError
from wyoming_pocket_tts.pocket import config as configs
from wyoming_pocket_tts.pocket.backend import Backend, Samples, Sampling
from wyoming_pocket_tts.pocket.fit import check_voice
from wyoming_pocket_tts.pocket.hub import fetch
from wyoming_pocket_tts.pocket.loading import suffix_of
from wyoming_pocket_tts.pocket.prompt_cache import PromptCache
from wyoming_pocket_tts.pocket.schema import ModelConfig
from wyoming_pocket_tts.voices.prompt import (
    LONGEST_SECONDS,
    assess,
    end_on_pause,
    prepare_prompt,
    read_audio,
    take_samples,
)
from wyoming_pocket_tts.voices.state import VoiceState, read_state

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceLoader:
    """Makes voices.

    Attributes:
        name: the released model, or None for one of the user's own, which has no ready-made voices.
        config: what the model is.
        backend: what hears.
        has_voice_cloning: whether the weights can hear voice prompts.
        sampling: how the speeches to come are drawn; see ``Backend.listen``.
        remembered: the last voices made from recordings.
    """

    name: str | None
    config: ModelConfig
    backend: Backend
    has_voice_cloning: bool
    sampling: Sampling
    remembered: PromptCache

    def load(self, source: Any, *, truncate: bool) -> VoiceState:  # noqa: ANN401  (a tensor of any library)
        """Make a voice of what ``TTSModel.get_state_for_audio_prompt`` takes.

        Raises:
            VoiceError: there is no such voice, it cannot be used, or it belongs to another model.
            ModelError: it could not be downloaded.
        """
        if not isinstance(source, str | Path):
            return self._hear(take_samples(source))
        if suffix_of(str(source)) == ".safetensors":
            return self._read(str(source))
        if isinstance(source, str) and source in configs.voice_names():
            return self._read(self._ready_made(source))
        self.require_cloning()
        path = fetch(source)
        if isinstance(source, str) and not suffix_of(source) and not path.exists():  # a name mistyped
            raise MissingFile(f"{source}: there is no such file, and no such ready-made voice; there are: {_voices()}")
        key = (str(path), truncate, *_identity(path))
        return replace(self.remembered.get(key, lambda: self._hear_file(path, truncate=truncate)))

    def check(self, voice: VoiceState, label: str) -> None:
        """Refuse a voice that was made with another model.

        Raises:
            VoiceError: it was; the message begins with the label.
        """
        check_voice(voice, self.config, fingerprint=self.backend.fingerprint, label=label)

    def require_cloning(self) -> None:
        """Refuse what needs to hear.

        Raises:
            VoiceError: the weights cannot.
        """
        if not self.has_voice_cloning:
            raise VoiceError(
                "these weights cannot clone voices: the file that can was not available. Use a ready-made voice "
                f"({_voices()}), or accept the terms on the model's page (kyutai/pocket-tts), log in with "
                "`hf auth login`, and load the model again"
            )

    def _ready_made(self, voice: str) -> str:
        if self.name is None:
            raise VoiceError(
                f"the ready-made voice '{voice}' was made with a released model's weights and would not suit these: "
                "use a recording, for example " + configs.voice_audio_source(voice)
            )
        return configs.voice_state_source(self.name, voice)

    def _read(self, source: str) -> VoiceState:
        voice = replace(read_state(fetch(source)), wrap=self.backend.public)
        self.check(voice, source)
        return voice

    def _hear_file(self, path: Path, *, truncate: bool) -> VoiceState:
        samples, rate_hz = read_audio(path, truncate=truncate)
        for finding in assess(samples, rate_hz):
            logger.warning("%s: %s", path.name, finding.message)
        prompt = prepare_prompt(samples, rate_hz, target_rate_hz=self.config.mimi.sample_rate, truncate=truncate)
        return self.backend.listen(prompt, sampling=self.sampling)

    def _hear(self, samples: Samples) -> VoiceState:
        self.require_cloning()
        rate_hz = self.config.mimi.sample_rate
        if len(samples) > LONGEST_SECONDS * rate_hz:
            raise VoiceError(f"the voice prompt: is longer than {LONGEST_SECONDS} s; 10 to 30 s make a voice: cut it")
        return self.backend.listen(end_on_pause(samples, rate_hz), sampling=self.sampling)


def _voices() -> str:
    return ", ".join(configs.voice_names())


def _identity(path: Path) -> tuple[int, int]:
    """What changes when a file does."""
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_size
