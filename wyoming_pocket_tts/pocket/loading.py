"""Choose engine and precision, load model and voices."""

import logging
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from wyoming_pocket_tts.audio.recordings import (
    LONGEST_SECONDS,
    assess,
    end_on_pause,
    prepare_prompt,
    read_audio,
    take_samples,
)
from wyoming_pocket_tts.core.errors import ConfigError, MissingFile, ModelError, VoiceError
from wyoming_pocket_tts.pocket.backend import Backend, Samples, SamplingParams
from wyoming_pocket_tts.pocket.hub import fetch, suffix_of
from wyoming_pocket_tts.pocket.onnx.backend import OnnxBackend
from wyoming_pocket_tts.pocket.onnx.bundle import ModelBundle, Precision
from wyoming_pocket_tts.pocket.onnx.install import ensure_converted
from wyoming_pocket_tts.pocket.registry import (
    load_config,
    released_model,
    voice_audio_source,
    voice_names,
    voice_state_source,
)
from wyoming_pocket_tts.pocket.schema import ModelConfig
from wyoming_pocket_tts.pocket.text import Tokenizer, load_tokenizer
from wyoming_pocket_tts.pocket.voice_state import VoiceState, VoiceStateCache, check_voice_matches_model, read_state
from wyoming_pocket_tts.pocket.weights import load_weights

DEFAULT_LANGUAGE = "english"
ENGINES = ("auto", "torch", "onnx")


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model, ready to speak.

    Attributes:
        name: the released model, or None for one of the user's own.
        config: what it is.
    """

    name: str | None
    config: ModelConfig
    backend: Backend
    tokenizer: Tokenizer
    has_voice_cloning: bool


def find_model(
    language: str | None, config: str | Path | None, checkpoint: str | Path | None = None
) -> tuple[str | None, ModelConfig]:
    """Find the released model, or read the config of the user's own; return its name, if released, and what it is.

    Raises:
        ConfigError: there is no such model, the config is wrong, or the checkpoint is none that can be read.
        DownloadError: the config could not be had.
    """
    if config is not None and language is not None:
        raise ConfigError("language and config exclude each other: choose one")
    name: str | None = None
    if config is None:
        name = language or DEFAULT_LANGUAGE
        found = released_model(name)
    else:
        source = str(config)
        if suffix_of(source) not in (".yaml", ".yml"):
            raise ConfigError(f"{source}: a model's config is a YAML file, whose name ends with .yaml")
        found = load_config(fetch(source))
    return (name, found) if checkpoint is None else (None, _with_checkpoint(found, Path(checkpoint)))


def choose_precision(
    engine: str, *, precision: str | None, quantize: bool, data_dir: str | Path | None
) -> Precision | None:
    """Decide who computes: ONNX Runtime in some precision, or PyTorch (None).

    ``auto`` is PyTorch where it is installed, as results are its tensors; but whoever asks for what ONNX Runtime alone
    has, a precision or a place for converted models, gets that.

    Raises:
        ConfigError: there is no such engine or precision, or they contradict each other.
    """
    if engine not in ENGINES:
        raise ConfigError(f"there is no engine '{engine}'; there are: {', '.join(ENGINES)}")
    given = [name for name, value in (("precision", precision), ("data_dir", data_dir)) if value is not None]
    if engine == "torch" and given:
        raise ConfigError(f"{given[0]} is for ONNX Runtime, but engine is 'torch': leave one of both out")
    if engine == "torch" or (engine == "auto" and not given and find_spec("torch")):
        return None
    try:
        chosen = Precision(precision or Precision.INT8)
    except ValueError:
        raise ConfigError(f"there is no precision '{precision}'; there are: {', '.join(Precision)}") from None
    if quantize and chosen is not Precision.INT8:
        raise ConfigError(
            f"with engine 'onnx', quantize means the precision int8, but precision is '{chosen}': leave one of both out"
        )
    return chosen


def load_for_torch(name: str | None, config: ModelConfig, *, quantize: bool, threads: int | None) -> LoadedModel:
    """Load a model into PyTorch; what is not on this machine is downloaded first.

    Raises:
        ModelError: a file cannot be had or used, or PyTorch is not installed.
    """
    try:
        from wyoming_pocket_tts.pocket.torch.backend import load_backend  # noqa: PLC0415  (PyTorch)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ModelError(
            "this needs PyTorch: pip install 'wyoming-pocket-tts[torch]', or choose engine='onnx'"
        ) from error
    table = config.flow_lm.lookup_table
    tokenizer = load_tokenizer(fetch(table.tokenizer_path), kind=table.tokenizer, entries=table.n_bins)
    # read, not mapped: memory of its own has large pages, through which a step runs a tenth faster
    weights = load_weights(config, on_demand=True)
    backend = load_backend(config, weights.tensors, fingerprint=weights.fingerprint, quantize=quantize, threads=threads)
    return LoadedModel(name, config, backend, tokenizer, weights.has_voice_cloning)


def load_for_onnx(
    name: str | None, config: ModelConfig, *, precision: Precision, steps: int, data_dir: Path, threads: int
) -> LoadedModel:
    """Load a model into ONNX Runtime; it is downloaded and converted first if it has not been.

    Raises:
        ModelError: a file cannot be had or used.
    """
    bundle = ensure_converted(name, config, data_dir=data_dir, precision=precision, steps=steps)
    return open_for_onnx(bundle, flow_threads=threads)


def open_for_onnx(bundle: ModelBundle, *, flow_threads: int = 1, codec_threads: int = 1) -> LoadedModel:
    """Open a converted model.

    Raises:
        ModelError: it is damaged.
    """
    table = bundle.config.flow_lm.lookup_table
    tokenizer = load_tokenizer(bundle.tokenizer, kind=table.tokenizer, entries=table.n_bins)
    backend = OnnxBackend(bundle, flow_threads=flow_threads, codec_threads=codec_threads)
    return LoadedModel(bundle.name, bundle.config, backend, tokenizer, bundle.has_voice_cloning)


def _with_checkpoint(config: ModelConfig, path: Path) -> ModelConfig:
    if path.suffix != ".safetensors":
        raise ConfigError(
            f"{path}: training checkpoints are pickles, which can run any program and are not read here: "
            "export the weights as .safetensors"
        )
    return config.model_copy(update={"weights_path": str(path), "weights_path_without_voice_cloning": None})


_LOGGER = logging.getLogger(__name__)


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
    sampling: SamplingParams
    remembered: VoiceStateCache

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
        if isinstance(source, str) and source in voice_names():
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
        check_voice_matches_model(voice, self.config, fingerprint=self.backend.fingerprint, label=label)

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
                "use a recording, for example " + voice_audio_source(voice)
            )
        return voice_state_source(self.name, voice)

    def _read(self, source: str) -> VoiceState:
        voice = replace(read_state(fetch(source)), wrap=self.backend.public)
        self.check(voice, source)
        return voice

    def _hear_file(self, path: Path, *, truncate: bool) -> VoiceState:
        samples, rate_hz = read_audio(path, truncate=truncate)
        for finding in assess(samples, rate_hz):
            _LOGGER.warning("%s: %s", path.name, finding.message)
        prompt = prepare_prompt(samples, rate_hz, target_rate_hz=self.config.mimi.sample_rate, truncate=truncate)
        return self.backend.listen(prompt, sampling=self.sampling)

    def _hear(self, samples: Samples) -> VoiceState:
        self.require_cloning()
        rate_hz = self.config.mimi.sample_rate
        if len(samples) > LONGEST_SECONDS * rate_hz:
            raise VoiceError(f"the voice prompt: is longer than {LONGEST_SECONDS} s; 10 to 30 s make a voice: cut it")
        return self.backend.listen(end_on_pause(samples, rate_hz), sampling=self.sampling)


def _voices() -> str:
    return ", ".join(voice_names())


def _identity(path: Path) -> tuple[int, int]:
    """What changes when a file does."""
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_size
