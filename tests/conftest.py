"""What holds for every test: the profiles of properties, signals and the width of terminals."""

import os
import signal

import pytest
from hypothesis import HealthCheck, settings

FAST_EXAMPLES = 50

# No deadline: on a busy machine an example may take any time.
settings.register_profile(
    "fast", max_examples=FAST_EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("ci", max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("fast")


def pytest_configure() -> None:
    # A shell that runs us in the background hands SIGINT down as ignored, and we would hand it down to children.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ["COLUMNS"] = "200"  # of status lines and help, however wide the terminal is and however long the paths


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In the profile ``fast``, limit properties that ask for more examples."""
    if settings.get_current_profile_name() != "fast":
        return
    for item in items:
        if not isinstance(item, pytest.Function):
            continue
        for holder, name in ((item.obj, "_hypothesis_internal_use_settings"), (item.cls, "settings")):
            wanted = getattr(holder, name, None)
            if isinstance(wanted, settings) and wanted.max_examples > FAST_EXAMPLES:
                setattr(holder, name, settings(wanted, max_examples=FAST_EXAMPLES))
