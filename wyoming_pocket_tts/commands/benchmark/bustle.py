"""Says what keeps the machine busy while it is to be measured. Knows nothing about models or figures."""

import os
from collections.abc import Iterator
from dataclasses import dataclass

from wyoming_pocket_tts.commands.doctor.asking import ask
from wyoming_pocket_tts.commands.doctor.subject import is_ours
from wyoming_pocket_tts.errors import Overloaded, SpeechError

_ASKING_SECONDS = 1.0
_BUSY_SHARE = 0.4
"""Of the cores. Less leaves enough of them alone to measure with."""
_TOO_LOW = "the speeds will be too low"


@dataclass(frozen=True, slots=True)
class Load:
    """How much there is to do: processes that computed or wanted to, on average over the last minute, and cores."""

    processes: float
    cores: int


def load_of_this_machine() -> Load | None:
    """The load; None where the system does not tell."""
    try:
        return Load(os.getloadavg()[0], os.cpu_count() or 1)  # in a container, too, both are those of the machine
    except OSError:
        return None


def doubts(uri: str, load: Load | None) -> Iterator[str]:
    """Sentences on why the figures will not be those of an idle machine.

    Args:
        uri: where the settings let the service listen.
        load: of the machine.
    """
    if _is_served(uri):
        yield (
            f"a service answers at {uri}, and speaks with the same cores: {_TOO_LOW} whenever it does; stop it"
            " meanwhile ('systemctl stop wyoming-pocket-tts', 'docker compose stop')"
        )
    if load is not None and load.processes > _BUSY_SHARE * load.cores:
        cores = f"{load.cores} core{'' if load.cores == 1 else 's'}"
        yield (
            f"the machine is busy, with a load of {load.processes:.1f} on {cores} in the last minute: {_TOO_LOW}; look"
            " what keeps it busy ('top'), and measure again when that has ended"
        )


def _is_served(uri: str) -> bool:
    try:
        return is_ours(ask(uri, seconds=_ASKING_SECONDS).program)
    except Overloaded:
        return True
    except SpeechError:  # nobody there, or somebody else; nobody can ask at stdio://
        return False
