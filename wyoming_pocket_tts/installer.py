"""Brings Pocket TTS models to a running service: downloads, converts, opens and warms them up, one after the other.

Owns one thread. Knows nothing about clients. What speaks meanwhile goes on; nothing that fails here ends the service.
"""

import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

from wyoming_pocket_tts.errors import Cancelled, ConfigError, SpeechError, VoiceError
from wyoming_pocket_tts.pocket import config as configs
from wyoming_pocket_tts.pocket.loading import DEFAULT_LANGUAGE, find_model, open_for_onnx
from wyoming_pocket_tts.pocket.onnx.install import install
from wyoming_pocket_tts.pocket.onnx.precision import Precision
from wyoming_pocket_tts.pocket.onnx.protocol import Progress
from wyoming_pocket_tts.pocket.onnx.ready_made import (
    SUFFIX,
    bring_voices,
    missing_voices,
    ordered_voices,
    ready_made_directory,
)
from wyoming_pocket_tts.pocket.schema import ModelConfig
from wyoming_pocket_tts.pocket.synthesizer import PocketSynthesizer, listed_voices
from wyoming_pocket_tts.pocket.tts_model import TTSModel
from wyoming_pocket_tts.repertoire import Repertoire
from wyoming_pocket_tts.speech import Request, Voice
from wyoming_pocket_tts.voices.state import write_state

logger = logging.getLogger(__name__)

_FIRST_RETRY_SECONDS = 30.0
_LAST_RETRY_SECONDS = 3600.0
_WARM_UP = "Good morning."
_STAGES = {
    "wait": "another process is converting it",
    "download": "downloading",
    "convert": "converting",
    "verify": "comparing with the exact model",
    "voices": "downloading voices",
}


@dataclass(frozen=True, slots=True)
class WantedModel:
    """A model that the service is to speak with.

    Attributes:
        label: what it is called in the names of its voices.
        name: the released model; None for one of the user's own.
        config: what it is.
        language: what it speaks, as a tag.
        voices: names of its voices, the default one first.
    """

    label: str
    name: str | None
    config: ModelConfig
    language: str
    voices: tuple[str, ...]

    @classmethod
    def of(cls, wanted: str) -> "WantedModel":
        """Find a released model by its name, or read the config of one's own from a YAML file.

        Raises:
            ConfigError: there is no such model, or the file is wrong.
        """
        if not wanted.lower().endswith((".yaml", ".yml")):
            config = configs.released_model(wanted)
            return cls(wanted, wanted, config, configs.language(wanted), tuple(ordered_voices(wanted)))
        _, config = find_model(None, wanted)
        voice = configs.default_voice(DEFAULT_LANGUAGE)
        return cls(Path(wanted).stem, None, config, configs.language(DEFAULT_LANGUAGE), (voice,))

    def listed(self) -> list[Voice]:
        """Its voices, none of which can be spoken with yet."""
        return listed_voices(
            self.label, self.voices, language=self.language, rate_hz=self.config.mimi.sample_rate, there=set()
        )


@dataclass(frozen=True, slots=True)
class InstallOptions:
    """How models are brought.

    Attributes:
        data_dir: where they are kept.
        precision: what they compute in.
        threads: threads of the language model; the codec has one of its own.
        local_files_only: download nothing.
        all_voices: bring every ready-made voice, not only the default one.
    """

    data_dir: Path
    precision: Precision
    threads: int
    local_files_only: bool = False
    all_voices: bool = True


def wanted_models(names: Sequence[str]) -> list[WantedModel]:
    """Look the models up; ``none`` is none.

    Raises:
        ConfigError: there is no such model, one is named twice, or ``none`` stands among others.
    """
    if [name.lower() for name in names] == ["none"]:
        return []
    if "none" in names:
        raise ConfigError("models.names: 'none' excludes other models")
    wanted = [WantedModel.of(name) for name in names]
    labels = [model.label for model in wanted]
    for label in labels:
        if labels.count(label) > 1:
            raise ConfigError(f"models.names: two models would be called '{label}'")
    return wanted


class Installer:
    """Brings models to a repertoire until all are there or it is closed.

    Args:
        wanted: the models, the most important first.
        repertoire: where they are to speak.
        options: how they are brought.
    """

    def __init__(self, wanted: Sequence[WantedModel], repertoire: Repertoire, options: InstallOptions) -> None:
        self._wanted = tuple(wanted)
        self._repertoire = repertoire
        self._options = options
        self._stop = Event()
        self._thread = Thread(target=self._run, name="installer", daemon=True)

    def start(self) -> None:
        """Begin."""
        if self._wanted:
            self._thread.start()

    def close(self) -> None:
        """Give up what is not done, and join the thread. What was being made leaves nothing behind."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        waiting = deque(self._wanted)
        speaking: dict[str, PocketSynthesizer] = {}
        delay_seconds = _FIRST_RETRY_SECONDS
        while not self._stop.is_set():
            failed = [model for model in waiting if not self._tried(model, speaking)]
            waiting = deque(failed)
            incomplete = not waiting and not all(self._voices_tried(model, speaking) for model in self._wanted)
            if not waiting and not incomplete:
                return
            logger.info("trying again in %.0f s", delay_seconds)
            self._stop.wait(delay_seconds)
            delay_seconds = min(2 * delay_seconds, _LAST_RETRY_SECONDS)

    def _tried(self, model: WantedModel, speaking: dict[str, PocketSynthesizer]) -> bool:
        """Bring a model; return whether it speaks, or will never."""
        try:
            speaking[model.label] = self._bring(model)
        except Cancelled:
            return True
        except SpeechError as error:
            logger.warning("the model %s cannot speak yet: %s", model.label, error)
            return False
        except Exception:
            logger.exception("the model %s cannot be brought", model.label)
            return False
        return True

    def _bring(self, model: WantedModel) -> PocketSynthesizer:
        options = self._options
        report = _Reporter(model.label)
        bundle = install(
            model.name,
            model.config,
            data_dir=options.data_dir,
            precision=options.precision,
            local_files_only=options.local_files_only,
            report=report,
            stop=self._stop,
        )
        speaker = TTSModel(open_for_onnx(bundle, flow_threads=options.threads))
        directory = ready_made_directory(options.data_dir, model.label)
        if model.name is None:
            _hear_voice(speaker, model.voices[0], directory)
        else:
            self._bring_voices(model, model.voices[:1], report)
        synthesizer = PocketSynthesizer(
            speaker, name=model.label, voices=model.voices, language=model.language, directory=directory
        )
        for _ in synthesizer.synthesize(Request(text=_WARM_UP, voice=synthesizer.voices()[0])):
            pass
        self._repertoire.add(model.label, synthesizer)
        logger.info("the model %s speaks now (%s), by default as %s", model.label, bundle.precision, model.voices[0])
        return synthesizer

    def _voices_tried(self, model: WantedModel, speaking: dict[str, PocketSynthesizer]) -> bool:
        """Bring the other voices; return whether none is missing, or none will come."""
        directory = ready_made_directory(self._options.data_dir, model.label)
        if model.name is None or not self._options.all_voices or not missing_voices(directory, model.voices):
            return True
        try:
            self._bring_voices(model, model.voices, _Reporter(model.label))
        except Cancelled:
            return True
        except SpeechError as error:
            logger.warning("%s", error)
            return False
        finally:
            if model.label in speaking:
                speaking[model.label].look_for_voices()
        logger.info("%s: all %d voices are there", model.label, len(model.voices))
        return True

    def _bring_voices(self, model: WantedModel, voices: Sequence[str], report: "_Reporter") -> None:
        bring_voices(
            str(model.name),
            voices,
            data_dir=self._options.data_dir,
            local_files_only=self._options.local_files_only,
            report=report,
            stop=self._stop,
        )


def _hear_voice(speaker: TTSModel, voice: str, directory: Path) -> None:
    """Give a model of the user's own a voice: no ready-made one suits its weights, so it hears the recording of one.

    Raises:
        SpeechError: it cannot be had, or the weights cannot clone voices.
    """
    path = directory / f"{voice}{SUFFIX}"
    try:
        speaker.get_state_for_audio_prompt(path)
    except VoiceError:  # it is not there, or was made with other weights
        state = speaker.get_state_for_audio_prompt(configs.voice_audio_source(voice), truncate=True)
        directory.mkdir(parents=True, exist_ok=True)
        write_state(state, path)


class _Reporter:
    """Writes a line to the log when a stage begins, and at each quarter of it."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._stage = ""
        self._quarter = 0

    def __call__(self, progress: Progress) -> None:
        quarter = int(4 * (progress.done or 0))
        if progress.stage != self._stage:
            logger.info("%s: %s", self._label, _STAGES[progress.stage])
        elif quarter > self._quarter:
            logger.info("%s: %s, %d %%", self._label, _STAGES[progress.stage], 25 * quarter)
        self._stage, self._quarter = progress.stage, quarter
