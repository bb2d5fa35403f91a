"""The worker process: convert, verify, download voices, encode a voice."""

import errno
import os
import shutil
from pathlib import Path

from wyoming_pocket_tts.core.errors import ModelError, TtsError, Unreachable, VoiceError
from wyoming_pocket_tts.core.subprocess import WarningMessage, peak_bytes, receive_task
from wyoming_pocket_tts.core.system import atomic_path, sync
from wyoming_pocket_tts.pocket.hub import fetch
from wyoming_pocket_tts.pocket.onnx.bundle import open_bundle
from wyoming_pocket_tts.pocket.onnx.convert import convert, verify_again
from wyoming_pocket_tts.pocket.registry import voice_state_source
from wyoming_pocket_tts.pocket.voice_state import check_voice_matches_model, read_state
from wyoming_pocket_tts.pocket.voice_store import VOICE_SUFFIX, Tell
from wyoming_pocket_tts.pocket.worker_client import DoneMessage, ErrorMessage, Progress, WorkerTask

_POLITENESS = 5
"""Those who speak meanwhile go first."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def download_voices_task(order: WorkerTask, tell: Tell) -> None:
    """Carry an order out, in the child.

    Raises:
        ModelError: some voices could not be had.
        OSError: the directory cannot be written to.
    """
    failed: list[str] = []
    reason: TtsError | None = None
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
        except TtsError as error:
            failed.append(voice)
            reason = error
            tell(WarningMessage(text=f"the voice {voice} of {order.name}: {error}"))
    tell(Progress(stage="voices", done=1.0))
    if reason is not None:
        raise ModelError(f"voices of {order.name} that could not be had: {', '.join(failed)} ({reason})")


def encode_voice_task(order: WorkerTask, tell: Tell) -> None:
    """Hear what an order names, in the child.

    Raises:
        SpeechError: see ``hear``.
        OSError: the voice cannot be brought to the disk.
    """
    from wyoming_pocket_tts.audio.recordings import QualityIssueKind, assess, read_audio  # noqa: PLC0415
    from wyoming_pocket_tts.pocket.loading import open_for_onnx  # noqa: PLC0415  (it imports what orders this)
    from wyoming_pocket_tts.pocket.model import TTSModel  # noqa: PLC0415
    from wyoming_pocket_tts.pocket.voice_state import write_state  # noqa: PLC0415

    assert order.target is not None, "hear comes with a target"  # noqa: S101  (our own invariant)
    tell(Progress(stage="hear"))
    recording = fetch(order.recording, local_files_only=order.local_files_only)
    if any(finding.kind is QualityIssueKind.SILENT for finding in assess(*read_audio(recording, truncate=True))):
        raise VoiceError(f"{recording}: is silent; check the microphone and record again")
    model = TTSModel(open_for_onnx(open_bundle(order.directory)))
    write_state(model.get_state_for_audio_prompt(recording, truncate=True), order.target)
    sync(order.target)
    sync(order.target.parent)


def _fetch_voice(model: str, voice: str, order: WorkerTask) -> None:
    path = fetch(voice_state_source(model, voice), local_files_only=order.local_files_only)
    check_voice_matches_model(read_state(path), order.config, fingerprint=None, label=str(path))
    with atomic_path(order.directory / f"{voice}{VOICE_SUFFIX}") as aside:
        shutil.copyfile(path, aside)


def _unwritable(error: OSError, directory: Path) -> ModelError:
    models = directory.parent
    if error.errno in _FULL:
        return ModelError(f"{models}: {error.strerror}: free some space, or choose another place with --data-dir")
    return ModelError(f"{error.filename or models}: {error.strerror or error}")


_TASKS = {"convert": convert, "prove": verify_again, "voices": download_voices_task, "hear": encode_voice_task}


def main() -> None:
    """Do what standard input orders."""
    os.nice(_POLITENESS)
    line, teller = receive_task()
    order = WorkerTask.model_validate_json(line)
    try:
        _TASKS[order.task](order, teller.tell)
    except TtsError as error:
        teller.tell(ErrorMessage.of(error))
    except OSError as error:
        teller.tell(ErrorMessage.of(_unwritable(error, order.directory)))
    else:
        teller.tell(DoneMessage(peak_bytes=peak_bytes()))


if __name__ == "__main__":
    main()
