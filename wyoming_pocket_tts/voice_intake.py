"""Takes files of voices in, one after the other, and remembers what became of each.

Owns a thread. Knows nothing about which voices are wanted, nor what they are called.
"""

import logging
import math
import os
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from wyoming_pocket_tts.errors import Cancelled, SpeechError, VoiceError, VoiceOutOfReach
from wyoming_pocket_tts.pocket.shelf import Shelf
from wyoming_pocket_tts.voices.styles import is_exported

logger = logging.getLogger(__name__)

_AGAIN_SECONDS = 60.0
"""When to try again what failed for another reason than the file."""

Identity = tuple[int, ...]
"""What changes when a file does."""
_Job = tuple[str, Path, Identity]
"""A model's label, and a file as it was when it was looked at."""


@dataclass(frozen=True, slots=True)
class Bad:
    """A file that cannot be a voice, and why."""

    reason: str
    until_seconds: float = math.inf
    """The time of the monotonic clock at which it is worth another look."""


Verdict = Path | Bad


class Intake:
    """What is known about files, so that none is looked into twice. For one thread alone, but for its own.

    Args:
        ready: is called on the intake's thread when a file has been looked into.
    """

    def __init__(self, ready: Callable[[], None]) -> None:
        self._ready = ready
        self._verdicts: dict[_Job, Verdict] = {}
        self._jobs: dict[_Job, Future[Verdict]] = {}
        self._kept: dict[tuple[str, Path], Path] = {}
        """The last voice of each file, by model, for as long as the file is there."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="voice-intake")

    def close(self) -> None:
        """Join the thread, once what it does now is done or given up by the shelf's event."""
        self._thread.shutdown(cancel_futures=True)

    def forget(self, now: Mapping[Path, Identity]) -> None:
        """Drop what is about files that have gone, or are others now."""
        self._verdicts = {job: verdict for job, verdict in self._verdicts.items() if now.get(job[1]) == job[2]}
        for job in [job for job in self._jobs if now.get(job[1]) != job[2]]:
            self._jobs.pop(job).cancel()
        self._kept = {key: voice for key, voice in self._kept.items() if key[1] in now}

    def reconsider(self, labels: Collection[str]) -> None:
        """Look once more into what these models could not take in: they are others now."""
        self._verdicts = {
            job: verdict
            for job, verdict in self._verdicts.items()
            if job[0] not in labels or not isinstance(verdict, Bad)
        }

    def voice_of(self, label: str, shelf: Shelf, file: Path, identity: Identity | None) -> Verdict | None:
        """The voice of a file, or why there is none; None while nobody knows.

        While a file changes, and until its new voice is ready, the voice that it had is its voice.

        Args:
            label: the model's.
            shelf: keeps the model's voices.
            file: a recording, or an exported voice.
            identity: of the file as it is; None while it changes.
        """
        key = (label, file)
        verdict = None if identity is None else self._verdict((label, file, identity), shelf)
        if verdict is None:
            return self._kept.get(key)
        if isinstance(verdict, Path):
            self._kept[key] = verdict
        else:
            self._kept.pop(key, None)
        return verdict

    def _verdict(self, job: _Job, shelf: Shelf) -> Verdict | None:
        """What became of a file; None while that is not over."""
        verdict = self._verdicts.get(job)
        if verdict is not None and _is_over(verdict):
            del self._verdicts[job]
            self._kept.pop(job[:2], None)
        if job not in self._verdicts:
            if job not in self._jobs:
                self._jobs[job] = self._thread.submit(self._take_in, job, shelf)
            elif self._jobs[job].done():
                self._verdicts[job] = self._jobs.pop(job).result()
        return self._verdicts.get(job)

    def _take_in(self, job: _Job, shelf: Shelf) -> Verdict:
        """Runs on the thread."""
        label, file, _ = job
        try:
            if not is_exported(file):
                logger.info("%s: the model %s hears it", file, label)
            return shelf.take_in(file)
        except Cancelled:
            return Bad("the service is stopping")
        except SpeechError as error:
            is_final = isinstance(error, VoiceError) and not isinstance(error, VoiceOutOfReach)
            return Bad(str(error), until_seconds=math.inf if is_final else time.monotonic() + _AGAIN_SECONDS)
        except Exception as error:  # one file must not end the service of others
            logger.exception("%s: cannot be taken in", file)
            return Bad(type(error).__name__)
        finally:
            self._ready()


def _is_over(verdict: Verdict) -> bool:
    """Whether a verdict does not hold any more: time has passed, or somebody cleared up."""
    if isinstance(verdict, Bad):
        return verdict.until_seconds < time.monotonic()
    return not os.path.isfile(verdict)  # noqa: PTH113  (it never raises)
