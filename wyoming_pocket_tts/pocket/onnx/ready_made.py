"""Brings the ready-made voices of a released model into a directory where they are found without the hub's library.

Knows nothing about the model itself. The work is done in the child of ``child.py``: what downloads is not loaded into a
process that serves, and can be ended at any moment.
"""

import hashlib
import secrets
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Event

from wyoming_pocket_tts.errors import ModelError, SpeechError, Unreachable
from wyoming_pocket_tts.pocket import config as configs
from wyoming_pocket_tts.pocket import hub
from wyoming_pocket_tts.pocket.fit import check_voice
from wyoming_pocket_tts.pocket.onnx.child import Report, run_child
from wyoming_pocket_tts.pocket.onnx.disk import sync
from wyoming_pocket_tts.pocket.onnx.precision import Precision
from wyoming_pocket_tts.pocket.onnx.protocol import Message, Order, Progress, Warned
from wyoming_pocket_tts.pocket.schema import ModelConfig
from wyoming_pocket_tts.voices.state import read_state
from wyoming_pocket_tts.voices.styles import VOICE_SUFFIX
from wyoming_pocket_tts.voices.tensor_file import looks_whole

_ABANDONED_SECONDS = 3600.0

Tell = Callable[[Message], None]


def ready_made_directory(data_dir: Path, model: str) -> Path:
    """Where the ready-made voices of a released model lie, ``NAME.safetensors`` each.

    Named by where they come from as well, so that those of another revision are others.

    Raises:
        ConfigError: there is no such model.
    """
    sources = [configs.voice_state_source(model, voice) for voice in configs.voice_names()]
    revision = hashlib.sha256("\n".join(sources).encode()).hexdigest()[:12]
    return data_dir / "ready-made" / f"{model}-{revision}"


def ordered_voices(model: str) -> list[str]:
    """The names of the ready-made voices, the model's default one first.

    Raises:
        ConfigError: there is no such model.
    """
    default = configs.default_voice(model)
    return [default, *(name for name in configs.voice_names() if name != default)]


def missing_voices(directory: Path, voices: Sequence[str]) -> list[str]:
    """Those that are not there yet, or not whole."""
    return [voice for voice in voices if not looks_whole(directory / f"{voice}{VOICE_SUFFIX}")]


def bring_voices(
    model: str,
    voices: Sequence[str],
    *,
    data_dir: Path,
    local_files_only: bool = False,
    report: Report = lambda _: None,
    stop: Event | None = None,
) -> None:
    """Download those of the voices that are not there; each appears when it is complete.

    Raises:
        Cancelled: ``stop`` was set.
        ConfigError: there is no such model.
        ModelError: some of them could not be had; says which. The others are there.
    """
    config = configs.released_model(model)
    directory = ready_made_directory(data_dir, model)
    missing = missing_voices(directory, voices)
    if not missing:
        return
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _clear_leftovers(directory)
    except OSError as error:
        raise ModelError(f"{directory}: {error.strerror or error}: choose another place with --data-dir") from error
    order = _order(model, config, directory, missing, local_files_only=local_files_only)
    run_child(order, report=report, stop=stop or Event())


def fetch_voices(order: Order, tell: Tell) -> None:
    """Carry an order out, in the child.

    Raises:
        ModelError: some voices could not be had.
        OSError: the directory cannot be written to.
    """
    failed: list[str] = []
    reason: SpeechError | None = None
    for index, voice in enumerate(order.voices):
        tell(Progress(stage="voices", done=index / len(order.voices)))
        try:
            _fetch_voice(str(order.name), voice, order)
        except Unreachable as error:
            failed.append(voice)
            reason = error
            if not order.local_files_only:  # the others would only make us wait
                failed += order.voices[index + 1 :]
                break
        except SpeechError as error:
            failed.append(voice)
            reason = error
            tell(Warned(text=f"the voice {voice} of {order.name}: {error}"))
    tell(Progress(stage="voices", done=1.0))
    if reason is not None:
        raise ModelError(f"voices of {order.name} that could not be had: {', '.join(failed)} ({reason})")


def _fetch_voice(model: str, voice: str, order: Order) -> None:
    path = hub.fetch(configs.voice_state_source(model, voice), local_files_only=order.local_files_only)
    check_voice(read_state(path), order.config, fingerprint=None, label=str(path))
    aside = order.directory / f".{voice}.{secrets.token_hex(4)}"
    try:
        shutil.copyfile(path, aside)
        sync(aside)
        aside.replace(order.directory / f"{voice}{VOICE_SUFFIX}")
        sync(order.directory)
    finally:
        aside.unlink(missing_ok=True)


def _clear_leftovers(directory: Path) -> None:
    """Delete what was left aside by downloads that were killed, which no process still writes to."""
    for path in directory.glob(".*"):
        with suppress(FileNotFoundError):  # somebody else was faster
            if time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
                path.unlink()


def _order(model: str, config: ModelConfig, directory: Path, voices: Sequence[str], *, local_files_only: bool) -> Order:
    return Order(
        task="voices",
        directory=directory,
        key="",
        name=model,
        config=config,
        precision=Precision.FP32,
        steps=1,
        voices=tuple(voices),
        local_files_only=local_files_only,
    )
