"""One line of the log for each request that is over. Knows no text: only how much of it there was."""

import logging
from dataclasses import asdict
from typing import Final

from wyoming_pocket_tts.engine.observer import SPOKEN, Ended, Silent
from wyoming_pocket_tts.logs import about

_LOGGER = logging.getLogger(__name__)
_MILLISECONDS: Final = 1_000


class RequestLog(Silent):
    """Writes what became of requests."""

    def request_ended(self, ended: Ended) -> None:
        """Write the line; as JSON it has the numbers as ``fields`` too."""
        with about(ended.request):
            _LOGGER.info("%s", _described(ended), extra={"fields": _fields(ended)})


def _described(ended: Ended) -> str:
    parts = [f"{ended.characters} characters", f"{ended.audio_seconds:.2f} s of audio"]
    if ended.first_audio_seconds is not None:
        parts.append(f"the first after {ended.first_audio_seconds * _MILLISECONDS:.0f} ms")
    if ended.real_time_factor is not None:
        parts.append(f"real-time factor {ended.real_time_factor:.3f}")
    by = f" by {ended.voice}" if ended.voice is not None else ""
    outcome = ended.outcome if ended.outcome == SPOKEN else f"ended with {ended.outcome}"
    return f"[{ended.peer}] {outcome}{by}: {', '.join(parts)}"


def _fields(ended: Ended) -> dict[str, object]:
    first, factor = ended.first_audio_seconds, ended.real_time_factor
    fields = asdict(ended)
    del fields["request"], fields["first_audio_seconds"], fields["waited_seconds"]
    return {
        **fields,
        "audio_seconds": round(ended.audio_seconds, 3),
        "first_audio_ms": None if first is None else round(first * _MILLISECONDS, 1),
        "real_time_factor": None if factor is None else round(factor, 4),
    }
