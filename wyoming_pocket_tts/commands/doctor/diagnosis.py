"""All checks of the doctor, in the order in which they are told. Knows none from the inside."""

from collections.abc import Callable
from functools import lru_cache

from wyoming_pocket_tts.commands.doctor.asking import Answer, ask
from wyoming_pocket_tts.commands.doctor.clock import Clock
from wyoming_pocket_tts.commands.doctor.data_directory import DataDirectory
from wyoming_pocket_tts.commands.doctor.discovery import Discovery
from wyoming_pocket_tts.commands.doctor.families import AddressFamilies
from wyoming_pocket_tts.commands.doctor.finding import Check
from wyoming_pocket_tts.commands.doctor.home_assistant import HomeAssistant
from wyoming_pocket_tts.commands.doctor.hub import Hub, downloads
from wyoming_pocket_tts.commands.doctor.memory import Memory
from wyoming_pocket_tts.commands.doctor.models import Models
from wyoming_pocket_tts.commands.doctor.ports import Ports
from wyoming_pocket_tts.commands.doctor.processor import Processor
from wyoming_pocket_tts.commands.doctor.service import Service
from wyoming_pocket_tts.commands.doctor.settings import SettingsCheck
from wyoming_pocket_tts.commands.doctor.speech import Speech
from wyoming_pocket_tts.commands.doctor.subject import Subject, models_of
from wyoming_pocket_tts.commands.doctor.voices import Voices
from wyoming_pocket_tts.commands.voices import Listing, listing
from wyoming_pocket_tts.pocket.onnx.precision import Precision
from wyoming_pocket_tts.serving.info import info_event
from wyoming_pocket_tts.serving.wire import encode

_ASKING_SECONDS = 10.0


def checks_for(subject: Subject) -> list[Check]:
    """Make the checks. Asks whether the service runs, which takes two seconds at most."""
    settings = subject.settings()
    models = models_of(settings)
    running = subject.running(settings)
    is_here = subject.uri is None and running is not None
    precision = Precision(settings.models.precision)

    @lru_cache(maxsize=1)
    def listed() -> Listing:
        return listing(settings, embedded=subject.embedded)

    return [
        SettingsCheck(subject),
        Processor(precision),
        Clock(),
        Memory([model.size for model in models], settings.models.memory_mb, is_running=is_here),
        DataDirectory(settings.data_dir, [model.size for model in models if not model.is_installed], downloads()),
        Models(models, settings.data_dir, precision),
        Voices(listed),
        Hub(models, local_files_only=settings.models.local_files_only),
        *([] if subject.uri is not None else [Service(settings.server.uri)]),
        Ports(settings),
        AddressFamilies(settings.server.uri),
        Discovery(settings, is_running=is_here),
        Speech(running, subject.load_embedded),
        HomeAssistant(_description(running, listed)),
    ]


def _description(running: str | None, listed: Callable[[], Listing]) -> Callable[[], Answer]:
    """What gives the description of the running service, or else the one that it would have."""

    def would_say() -> Answer:
        event = info_event(listed().voices)
        header = encode(event).partition(b"\n")[0]
        return Answer(event.data, len(header), seconds=0.0)

    if running is None:
        return would_say
    return lambda: ask(running, seconds=_ASKING_SECONDS)
