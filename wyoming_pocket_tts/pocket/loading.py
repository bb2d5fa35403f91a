"""Choose engine and precision, load model."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from wyoming_pocket_tts.core.errors import ConfigError, ModelError
from wyoming_pocket_tts.pocket import registry
from wyoming_pocket_tts.pocket.backend import Backend
from wyoming_pocket_tts.pocket.hub import fetch
from wyoming_pocket_tts.pocket.model_spec import is_config
from wyoming_pocket_tts.pocket.onnx.backend import OnnxBackend
from wyoming_pocket_tts.pocket.onnx.bundle import ModelBundle, Precision
from wyoming_pocket_tts.pocket.onnx.install import ensure_converted
from wyoming_pocket_tts.pocket.schema import ModelConfig
from wyoming_pocket_tts.pocket.text import Tokenizer, load_tokenizer
from wyoming_pocket_tts.pocket.weights import load_weights

DEFAULT_LANGUAGE = "english"
_ENGINES = ("auto", "torch", "onnx")


@dataclass(frozen=True, slots=True)
class LoadedModel:
    name: str | None
    """The released model, or None for a custom one."""
    config: ModelConfig
    backend: Backend
    tokenizer: Tokenizer
    has_voice_cloning: bool


def find_model(
    language: str | None, config: str | Path | None, checkpoint: str | Path | None = None
) -> tuple[str | None, ModelConfig]:
    """Find a released model, or read a custom config, downloaded if need be; return name, if released, and config.

    With a ``checkpoint`` (.safetensors) the model has its weights, and is custom. Raises ConfigError, DownloadError.
    """
    if config is not None and language is not None:
        raise ConfigError("language and config exclude each other: choose one")
    name: str | None = None
    if config is None:
        name = language or DEFAULT_LANGUAGE
        found = registry.released_model(name)
    else:
        source = str(config)
        if not is_config(source):
            raise ConfigError(f"{source}: a model's config is a YAML file with a name that ends with .yaml")
        found = registry.load_config(fetch(source))
    if checkpoint is None:
        return name, found
    if Path(checkpoint).suffix != ".safetensors":
        raise ConfigError(
            f"{checkpoint}: training checkpoints are pickles, which can run any program and are not read here: "
            "export the weights as .safetensors"
        )
    paths = {"weights_path": str(checkpoint), "weights_path_without_voice_cloning": None}
    return None, found.model_copy(update=paths)


def choose_precision(
    engine: str, *, precision: str | None, quantize: bool, data_dir: str | Path | None
) -> Precision | None:
    """The precision of ONNX Runtime, or None for PyTorch; a ConfigError for options that contradict each other.

    ``auto`` is PyTorch where it is installed, as results are its tensors, unless an option of ONNX Runtime is given.
    """
    if engine not in _ENGINES:
        raise ConfigError(f"there is no engine '{engine}'; there are: {', '.join(_ENGINES)}")
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
    """Load a model into PyTorch, downloaded if need be. Raises ModelError, also if PyTorch is not installed."""
    try:
        from wyoming_pocket_tts.pocket.torch.backend import load_backend  # noqa: PLC0415  (PyTorch)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ModelError(
            "this needs PyTorch: pip install 'wyoming-pocket-tts[torch]', or choose engine='onnx'"
        ) from error
    tokenizer = _load_tokenizer(config, config.flow_lm.lookup_table.tokenizer_path)
    # read, not mapped: memory of its own has large pages, through which a step runs a tenth faster
    weights = load_weights(config, on_demand=True)
    backend = load_backend(config, weights.tensors, fingerprint=weights.fingerprint, quantize=quantize, threads=threads)
    return LoadedModel(name, config, backend, tokenizer, weights.has_voice_cloning)


def load_for_onnx(
    name: str | None, config: ModelConfig, *, precision: Precision, steps: int, data_dir: Path, threads: int
) -> LoadedModel:
    bundle = ensure_converted(name, config, data_dir=data_dir, precision=precision, steps=steps)
    return open_for_onnx(bundle, flow_threads=threads)


def open_for_onnx(bundle: ModelBundle, *, flow_threads: int = 1, codec_threads: int = 1) -> LoadedModel:
    tokenizer = _load_tokenizer(bundle.config, bundle.tokenizer)
    backend = OnnxBackend(bundle, flow_threads=flow_threads, codec_threads=codec_threads)
    return LoadedModel(bundle.name, bundle.config, backend, tokenizer, bundle.has_voice_cloning)


def _load_tokenizer(config: ModelConfig, source: str | Path) -> Tokenizer:
    table = config.flow_lm.lookup_table
    return load_tokenizer(fetch(source), kind=table.tokenizer, entries=table.n_bins)
