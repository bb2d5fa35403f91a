"""The worker process: convert, verify, download voices, encode a voice."""

import errno
import os
import shutil

from wyoming_pocket_tts.core.errors import ModelError, TtsError, Unreachable, VoiceError
from wyoming_pocket_tts.core.subprocess import WarningMessage, peak_bytes, receive_task
from wyoming_pocket_tts.core.system import atomic_path, sync
from wyoming_pocket_tts.pocket.hub import fetch
from wyoming_pocket_tts.pocket.onnx.bundle import open_bundle
from wyoming_pocket_tts.pocket.onnx.convert import convert, verify_again
from wyoming_pocket_tts.pocket.registry import voice_state_source
from wyoming_pocket_tts.pocket.voice_state import check_voice_matches_model, read_state, write_state
from wyoming_pocket_tts.pocket.voice_store import VOICE_SUFFIX
from wyoming_pocket_tts.pocket.worker_client import DoneMessage, ErrorMessage, Progress, Tell, WorkerTask

_NICENESS = 5
"""Synthesis that runs meanwhile goes first."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def download_voices_task(order: WorkerTask, tell: Tell) -> None:
    """Download predefined voices; a ModelError at the end names those that failed. Full disks raise OSError."""
    failed: list[str] = []
    reason: TtsError | None = None
    for index, voice in enumerate(order.voices):
        tell(Progress(stage="voices", done=index / len(order.voices)))
        try:
            path = fetch(voice_state_source(str(order.name), voice), local_files_only=order.local_files_only)
            check_voice_matches_model(read_state(path), order.config, fingerprint=None, label=str(path))
            with atomic_path(order.directory / f"{voice}{VOICE_SUFFIX}") as aside:
                shutil.copyfile(path, aside)
        except TtsError as error:
            failed.append(voice)
            reason = error
            if not isinstance(error, Unreachable):
                tell(WarningMessage(text=f"the voice {voice} of {order.name}: {error}"))
            elif not order.local_files_only:  # each of the others would take as long to fail
                failed += order.voices[index + 1 :]
                break
    tell(Progress(stage="voices", done=1.0))
    if reason is not None:
        raise ModelError(f"voices of {order.name} that could not be had: {', '.join(failed)} ({reason})")


def encode_voice_task(order: WorkerTask, tell: Tell) -> None:
    """Make a voice state from a recording and write it to the disk."""
    from wyoming_pocket_tts.audio.recordings import QualityIssueKind, assess, read_audio  # noqa: PLC0415  (4 MB)
    from wyoming_pocket_tts.pocket.loading import open_for_onnx  # noqa: PLC0415
    from wyoming_pocket_tts.pocket.model import TTSModel  # noqa: PLC0415

    assert order.target is not None  # noqa: S101  (set for this task)
    tell(Progress(stage="hear"))
    recording = fetch(order.recording, local_files_only=order.local_files_only)
    if any(finding.kind is QualityIssueKind.SILENT for finding in assess(*read_audio(recording, truncate=True))):
        raise VoiceError(f"{recording}: is silent; check the microphone and record again")
    model = TTSModel(open_for_onnx(open_bundle(order.directory)))
    write_state(model.get_state_for_audio_prompt(recording, truncate=True), order.target)
    sync(order.target)
    sync(order.target.parent)


_TASKS = {"convert": convert, "prove": verify_again, "voices": download_voices_task, "hear": encode_voice_task}


def main() -> None:
    os.nice(_NICENESS)
    line, writer = receive_task()
    order = WorkerTask.model_validate_json(line)
    try:
        _TASKS[order.task](order, writer.tell)
    except TtsError as error:
        writer.tell(ErrorMessage.of(error))
    except OSError as error:
        models = order.directory.parent
        text = f"{error.filename or models}: {error.strerror or error}"
        if error.errno in _FULL:
            text = f"{models}: {error.strerror}: free some space, or choose another place with --data-dir"
        writer.tell(ErrorMessage.of(ModelError(text)))
    else:
        writer.tell(DoneMessage(peak_bytes=peak_bytes()))


if __name__ == "__main__":
    main()
