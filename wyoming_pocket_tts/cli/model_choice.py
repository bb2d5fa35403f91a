"""Which model a command means; sizes; loading."""

import importlib.util
import math
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from wyoming_pocket_tts.core.errors import ConfigError, MissingFile
from wyoming_pocket_tts.pocket import registry as configs
from wyoming_pocket_tts.pocket.registry import load_config, model_names, released_model, voice_audio_source, voice_names

if TYPE_CHECKING:
    from wyoming_pocket_tts.pocket.model import TTSModel


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSelection:
    """What was said about the model; None where nothing was.

    Attributes:
        language: a released model.
        config: instead, the config of one's own: a path or an address.
        checkpoint: safetensors file with weights in place of those of language or config.
        sampler_decode_steps: steps of the sampler.
        lsd_decode_steps: its older name.
        temperature: variance of the noise.
        noise_clamp: bound of the noise.
        eos_threshold: speech ends above it.
        quantize: 8 bits for the large matrices.
        device: where PyTorch computes.
    """

    language: str | None = None
    config: str | None = None
    checkpoint: str | None = None
    sampler_decode_steps: int | None = None
    lsd_decode_steps: int | None = None
    temperature: float | None = None
    noise_clamp: float | None = None
    eos_threshold: float | None = None
    quantize: bool = False
    device: str | None = None

    def __post_init__(self) -> None:
        if self.language is not None and self.config is not None:
            raise ConfigError("--language and --config exclude each other: choose one")
        numbers = {
            "--temperature": self.temperature,
            "--noise-clamp": self.noise_clamp,
            "--eos-threshold": self.eos_threshold,  # no logit is above nan: each chunk would go on to its limit
        }
        for option, value in numbers.items():
            if value is not None and not math.isfinite(value):
                raise ConfigError(f"{option} is {value}: it must be a number")
        if self.noise_clamp == 0:
            raise ConfigError("--noise-clamp is 0: it must be more; --temperature 0 speaks without noise")

    @property
    def released(self) -> str | None:
        """The released model whose weights are meant; None for one's own, which have no ready-made voices."""
        if self.config is not None or self.checkpoint is not None:
            return None
        return self.language or model_names()[0]

    def language_code(self) -> str:
        """The language it most likely speaks, as two letters.

        Raises:
            ConfigError: there is no such model.
        """
        return configs.language(self.language or model_names()[0])

    def default_voice(self) -> str:
        """A voice that suits the model: a ready-made one, or a recording for weights of one's own.

        Raises:
            ConfigError: there is no such model.
        """
        if self.released is None:
            return voice_audio_source(configs.default_voice(model_names()[0]))
        return configs.default_voice(self.released)


def names_pocket_voice(voice: str) -> bool:
    """Tell whether this can only be a voice of Pocket TTS: a ready-made one, a file or an address."""
    return voice.lower() in voice_names() or _is_place(voice)


def checked_voice(voice: str) -> str:
    """Give the voice as ``TTSModel`` takes it.

    Raises:
        MissingFile: it can only be a file, which is not there.
        VoiceError: it is neither a file, nor an address, nor the name of a ready-made voice.
    """
    if _is_place(voice):
        if "://" not in voice and not Path(voice).exists():
            raise MissingFile(f"{voice}: there is no such file")
        return voice
    voice_audio_source(voice.lower())
    return voice.lower()


def load(choice: ModelSelection, *, quiet: bool, exact: bool = False) -> "TTSModel":
    """Load the model, downloading first what is not on this machine; ``quiet`` shows no progress of that.

    Where PyTorch is not installed, ONNX Runtime computes: in 8 bits, or with ``exact`` in 32.

    Raises:
        ConfigError: an option does not fit the model or the machine.
        ModelError: weights cannot be had or used.
    """
    from huggingface_hub.utils.tqdm import disable_progress_bars  # noqa: PLC0415  (slow)

    from wyoming_pocket_tts.pocket.model import TTSModel  # noqa: PLC0415  (numpy and what downloads)

    if quiet:
        disable_progress_bars()
    device = _checked_device(choice.device or "cpu")
    model = TTSModel.load_model(
        language=choice.language,
        config=choice.config,
        checkpoint=choice.checkpoint,
        temp=choice.temperature,
        sampler_decode_steps=choice.sampler_decode_steps or _recommended_steps(choice),
        lsd_decode_steps=choice.lsd_decode_steps,
        noise_clamp=choice.noise_clamp,
        eos_threshold=choice.eos_threshold,
        quantize=choice.quantize,
        precision="fp32" if exact and not _has_torch() else None,  # PyTorch is exact by itself, and takes none
    )
    return model.to(device)


def _checked_device(name: str) -> Any:  # noqa: ANN401  (PyTorch's, if that is there)
    """The device, before anything is downloaded for it."""
    if not _has_torch():
        if name != "cpu":
            raise ConfigError(f"--device {name} needs PyTorch: pip install 'wyoming-pocket-tts[torch]'")
        return name
    from wyoming_pocket_tts.pocket.torch.backend import usable_device  # noqa: PLC0415  (PyTorch)

    return usable_device(name)


def _has_torch() -> bool:
    return importlib.util.find_spec("torch") is not None


def _recommended_steps(choice: ModelSelection) -> int:
    """What the model needs to be understood; its Python interface keeps to one step, as upstream's does."""
    from wyoming_pocket_tts.pocket.hub import fetch  # noqa: PLC0415  (what downloads)

    if choice.config is None:
        config = released_model(choice.language or model_names()[0])
    else:
        config = load_config(fetch(choice.config))
    return config.flow_lm.flow.fewest_steps


def _is_place(voice: str) -> bool:
    return "/" in voice or "\\" in voice or bool(PurePath(voice).suffix)
