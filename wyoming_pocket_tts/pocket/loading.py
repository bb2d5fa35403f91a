"""Finds out which model is meant and loads it for one of the engines. Knows nothing about how it will speak.

PyTorch is imported when a model is loaded for it, not before.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from wyoming_pocket_tts.errors import ConfigError, ModelError
from wyoming_pocket_tts.pocket import config as configs
from wyoming_pocket_tts.pocket.backend import Backend
from wyoming_pocket_tts.pocket.hub import fetch
from wyoming_pocket_tts.pocket.onnx.backend import OnnxBackend
from wyoming_pocket_tts.pocket.onnx.bundle import Bundle
from wyoming_pocket_tts.pocket.onnx.install import install
from wyoming_pocket_tts.pocket.onnx.precision import Precision
from wyoming_pocket_tts.pocket.schema import ModelConfig
from wyoming_pocket_tts.pocket.weights import load_weights
from wyoming_pocket_tts.text.tokenizer import Tokenizer, load_tokenizer

DEFAULT_LANGUAGE = "english"
ENGINES = ("auto", "torch", "onnx")


@dataclass(frozen=True, slots=True)
class Loaded:
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
        found = configs.released_model(name)
    else:
        source = str(config)
        if suffix_of(source) not in (".yaml", ".yml"):
            raise ConfigError(f"{source}: a model's config is a YAML file, whose name ends with .yaml")
        found = configs.load_config(fetch(source))
    return (name, found) if checkpoint is None else (None, _with_checkpoint(found, Path(checkpoint)))


def suffix_of(source: str) -> str:
    """The ending of the file that a path or an address means, in lower case, with its dot."""
    path = urlsplit(source).path if source.startswith(("http://", "https://")) else source
    return PurePosixPath(path.rsplit("@", 1)[0] if source.startswith("hf://") else path).suffix.lower()


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


def load_for_torch(name: str | None, config: ModelConfig, *, quantize: bool, threads: int | None) -> Loaded:
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
    return Loaded(name, config, backend, tokenizer, weights.has_voice_cloning)


def load_for_onnx(
    name: str | None, config: ModelConfig, *, precision: Precision, steps: int, data_dir: Path, threads: int
) -> Loaded:
    """Load a model into ONNX Runtime; it is downloaded and converted first if it has not been.

    Raises:
        ModelError: a file cannot be had or used.
    """
    bundle = install(name, config, data_dir=data_dir, precision=precision, steps=steps)
    return open_for_onnx(bundle, flow_threads=threads)


def open_for_onnx(bundle: Bundle, *, flow_threads: int = 1, codec_threads: int = 1) -> Loaded:
    """Open a converted model.

    Raises:
        ModelError: it is damaged.
    """
    table = bundle.config.flow_lm.lookup_table
    tokenizer = load_tokenizer(bundle.tokenizer, kind=table.tokenizer, entries=table.n_bins)
    backend = OnnxBackend(bundle, flow_threads=flow_threads, codec_threads=codec_threads)
    return Loaded(bundle.name, bundle.config, backend, tokenizer, bundle.has_voice_cloning)


def _with_checkpoint(config: ModelConfig, path: Path) -> ModelConfig:
    if path.suffix != ".safetensors":
        raise ConfigError(
            f"{path}: training checkpoints are pickles, which can run any program and are not read here: "
            "export the weights as .safetensors"
        )
    return config.model_copy(update={"weights_path": str(path), "weights_path_without_voice_cloning": None})
