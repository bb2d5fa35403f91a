"""Loads what speaks, and what brings more of it. The one place that knows all engines; imports each when asked for."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from wyoming_pocket_tts.cores import usable_cores

if TYPE_CHECKING:
    from wyoming_pocket_tts.installer import Installer
    from wyoming_pocket_tts.settings import Settings
    from wyoming_pocket_tts.speech import Synthesizer

_MOST_THREADS = 4
"""The language model waits for memory: more cores than this do not make it faster."""


class Engine(StrEnum):
    """What can turn text into audio."""

    KOKORO = "kokoro"
    """The embedded voice."""
    TONE = "tone"
    """A beep, for tests of everything around the voice."""


def load_engine(engine: Engine) -> "Synthesizer":
    """Load a synthesizer, ready to speak. Takes seconds: not for an event loop's thread.

    Raises:
        ModelError: its files are missing or broken.
    """
    match engine:
        case Engine.KOKORO:
            from wyoming_pocket_tts.kokoro.runtime import load_kokoro  # noqa: PLC0415  (numpy and the model)

            return load_kokoro()
        case Engine.TONE:
            from wyoming_pocket_tts.engine.tone import ToneSynthesizer  # noqa: PLC0415  (numpy)

            return ToneSynthesizer()


@dataclass(frozen=True, slots=True)
class Ensemble:
    """What the service speaks with, and who brings the models that are not there yet."""

    synthesizer: "Synthesizer"
    installer: "Installer | None" = None


def load_ensemble(engine: Engine, settings: "Settings") -> Ensemble:
    """Load the embedded voices; models come later, when their installer is started. Takes seconds.

    Raises:
        ConfigError: a model is wanted that there is not.
        ModelError: the embedded voices are broken.
    """
    embedded = load_engine(engine)
    if list(settings.models.names) == ["none"]:
        return Ensemble(embedded)
    from wyoming_pocket_tts.installer import Installer, InstallOptions  # noqa: PLC0415  (slow)
    from wyoming_pocket_tts.pocket.onnx.precision import Precision  # noqa: PLC0415
    from wyoming_pocket_tts.repertoire import Repertoire  # noqa: PLC0415
    from wyoming_pocket_tts.wanted import wanted_models  # noqa: PLC0415

    wanted = wanted_models(settings.models.names)
    repertoire = Repertoire(embedded, {model.label: model.listed() for model in wanted})
    options = InstallOptions(
        data_dir=settings.data_dir,
        precision=Precision(settings.models.precision),
        threads=settings.models.threads or threads_of_this_machine(),
        local_files_only=settings.models.local_files_only,
        all_voices=settings.models.voices == "all",
        needed=frozenset([settings.voice.default] if settings.voice.default else []),
    )
    return Ensemble(repertoire, Installer(wanted, repertoire, options))


def threads_of_this_machine() -> int:
    """All cores of a small machine; one fewer of a larger one, for the codec."""
    cores = usable_cores()
    return cores if cores <= 2 else min(cores - 1, _MOST_THREADS)  # noqa: PLR2004
