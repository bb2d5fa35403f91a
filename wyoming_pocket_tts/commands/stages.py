"""Shows how far a model's installation is: a person a bar, a log a line now and then. Knows no model."""

from collections.abc import Callable

from wyoming_pocket_tts.commands.progress import StatusLine
from wyoming_pocket_tts.pocket.onnx.install import Progress

Tell = Callable[[str], None]

_STAGES = {
    "wait": "waiting for another process that converts it",
    "download": "downloading",
    "convert": "converting",
    "verify": "comparing with the exact model",
    "voices": "fetching voices",
    "hear": "hearing the recording of its voice",
}
_BAR_WIDTH = 24
_LINES_PER_STAGE = 4


class StageDisplay:
    """Is told of progress, and shows it."""

    def __init__(self, label: str, status: StatusLine, tell: Tell) -> None:
        self._label = label
        self._status = status
        self._tell = tell
        self._told: tuple[str, int] | None = None

    def __call__(self, progress: Progress) -> None:
        text = f"{self._label}: {_STAGES[progress.stage]}"
        if self._status.watched:
            self._status.show(f"{text} {_bar(progress.done)}")
            return
        now = (progress.stage, int((progress.done or 0) * _LINES_PER_STAGE))
        is_slow = progress.stage == "download"  # the others take a second or two
        if self._told is None or now[0] != self._told[0] or (is_slow and now != self._told):
            self._told = now
            self._tell(f"{text} {progress.done:.0%}" if is_slow and progress.done else text)


def _bar(done: float | None) -> str:
    if done is None:
        return "..."
    filled = round(done * _BAR_WIDTH)
    return f"[{'#' * filled}{'-' * (_BAR_WIDTH - filled)}] {done:4.0%}"
