"""Teaches the hub's library to keep quiet: no bar and no log lines of its own. Downloads nothing.

Imports the library when it is asked to: that is slow, and local files do not need it.
"""

import inspect
import io
import logging
from collections.abc import Callable
from typing import Any

Progress = Callable[[float], None]
"""Is told which share of a download has come, 0 to 1."""


def hush() -> None:
    """What it logs is told by our errors; only who debugs wants it, and once: it has a handler of its own besides."""
    from huggingface_hub.utils import logging as _  # noqa: F401, PLC0415  (slow; sets its log up, before we do)

    library = logging.getLogger("huggingface_hub")
    library.handlers.clear()
    library.setLevel(logging.NOTSET if logging.getLogger().isEnabledFor(logging.DEBUG) else logging.CRITICAL)


def bar_options(progress: Progress | None) -> dict[str, Any]:
    """What makes the library tell, where its version can."""
    from huggingface_hub import hf_hub_download  # noqa: PLC0415  (slow; local files do not need it)

    if progress is None or "tqdm_class" not in inspect.signature(hf_hub_download).parameters:
        return {}
    return {"tqdm_class": _silent_bar(progress)}


def _silent_bar(progress: Progress) -> type:
    """Make a class that counts as the library's own does, and shows nothing."""
    from huggingface_hub.utils import tqdm  # type: ignore[attr-defined]  # noqa: PLC0415

    class Bar(tqdm):
        monitor_interval = 0  # no thread

        def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401  (as the library calls it)
            super().__init__(*args, **{**options, "disable": False, "file": io.StringIO()})  # type: ignore[no-untyped-call]

        def display(self, *_: Any, **__: Any) -> None:  # noqa: ANN401
            if self.total:
                progress(min(1.0, self.n / self.total))

    return Bar
