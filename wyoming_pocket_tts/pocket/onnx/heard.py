"""Voices that a converted model hears from recordings, in the child of ``child.py``: both ends of that work.

Knows nothing about who wants them. The encoder is needed for a second or two in a model's life; in a process of its own
its memory is gone afterwards, and the process that serves neither waits nor downloads.
"""

import re
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event

from wyoming_pocket_tts.errors import Cancelled, ModelError, VoiceError
from wyoming_pocket_tts.pocket import hub
from wyoming_pocket_tts.pocket.onnx.bundle import Bundle, open_bundle
from wyoming_pocket_tts.pocket.onnx.child import Report, run_child
from wyoming_pocket_tts.pocket.onnx.disk import sync
from wyoming_pocket_tts.pocket.onnx.protocol import Message, Order, Progress

_LONGEST_SECONDS = 300.0
"""For half a minute of speech on the slowest of machines, or for a download."""

Tell = Callable[[Message], None]


def heard_directory(data_dir: Path, label: str, bundle: Bundle) -> Path:
    """Where the voices lie that a model heard. Named by its weights as well: no others can speak with them."""
    return data_dir / "heard" / f"{re.sub(r'[^A-Za-z0-9_.-]', '_', label)}-{bundle.fingerprint[:12]}"


def hear(
    bundle: Bundle,
    recording: str,
    target: Path,
    *,
    local_files_only: bool = False,
    report: Report = lambda _: None,
    stop: Event | None = None,
) -> None:
    """Have a recording heard; its voice is at ``target`` when it is complete.

    Args:
        bundle: the model.
        recording: a path, or an address that it is downloaded from.
        target: the voice's file, a safetensors file.
        local_files_only: download nothing.
        report: is told how far it is.
        stop: gives up when it is set.

    Raises:
        Cancelled: ``stop`` was set.
        VoiceError: the recording cannot be used, or the model cannot hear.
        ModelError: it cannot be downloaded, or the voice cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ModelError(f"{target.parent}: {error.strerror or error}: choose another place with --data-dir") from error
    if not bundle.has_voice_cloning:
        raise VoiceError(
            f"the weights of {bundle.name or 'this model'} cannot hear a recording: accept the terms on the model's "
            "page, log in with `hf auth login` or set HF_TOKEN, and start the service again"
        )
    order = Order(
        task="hear",
        directory=bundle.directory,
        key=bundle.key,
        name=bundle.name,
        config=bundle.config,
        precision=bundle.precision,
        steps=bundle.steps,
        recording=recording,
        target=target,
        local_files_only=local_files_only,
    )
    limit = _Limit(stop or Event(), time.monotonic() + _LONGEST_SECONDS)
    try:
        run_child(order, report=report, stop=limit)
    except Cancelled:
        if limit.stop.is_set():
            raise
        raise ModelError(f"{recording}: was not heard within {_LONGEST_SECONDS:g} s") from None


class _Limit(Event):
    """Is set when another event is, or when time has run out."""

    def __init__(self, stop: Event, until_seconds: float) -> None:
        super().__init__()
        self.stop = stop
        self._until_seconds = until_seconds

    def is_set(self) -> bool:
        return self.stop.is_set() or time.monotonic() > self._until_seconds


def carry_out(order: Order, tell: Tell) -> None:
    """Hear what an order names, in the child.

    Raises:
        SpeechError: see ``hear``.
        OSError: the voice cannot be brought to the disk.
    """
    from wyoming_pocket_tts.pocket.loading import open_for_onnx  # noqa: PLC0415  (it imports what orders this)
    from wyoming_pocket_tts.pocket.tts_model import TTSModel  # noqa: PLC0415
    from wyoming_pocket_tts.voices.prompt import FindingKind, assess, read_audio  # noqa: PLC0415
    from wyoming_pocket_tts.voices.state import write_state  # noqa: PLC0415

    assert order.target is not None, "hear comes with a target"  # noqa: S101  (our own invariant)
    tell(Progress(stage="hear"))
    recording = hub.fetch(order.recording, local_files_only=order.local_files_only)
    if any(finding.kind is FindingKind.SILENT for finding in assess(*read_audio(recording, truncate=True))):
        raise VoiceError(f"{recording}: is silent; check the microphone and record again")
    model = TTSModel(open_for_onnx(open_bundle(order.directory)))
    write_state(model.get_state_for_audio_prompt(recording, truncate=True), order.target)
    sync(order.target)
    sync(order.target.parent)
