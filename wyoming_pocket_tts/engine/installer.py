"""Bring models in the background, with retries."""

import logging
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

from wyoming_pocket_tts.core.errors import AccessDenied, Cancelled, ConfigError, TtsError, VoiceError, VoiceUnavailable
from wyoming_pocket_tts.core.events import Observer
from wyoming_pocket_tts.engine.model_manager import ModelManager
from wyoming_pocket_tts.engine.pipeline import ModelRouter
from wyoming_pocket_tts.pocket.hub import has_token
from wyoming_pocket_tts.pocket.loading import open_for_onnx
from wyoming_pocket_tts.pocket.model import TTSModel
from wyoming_pocket_tts.pocket.model_spec import ModelSpec
from wyoming_pocket_tts.pocket.onnx.bundle import ModelBundle, Precision, memory_bytes
from wyoming_pocket_tts.pocket.onnx.install import ensure_converted
from wyoming_pocket_tts.pocket.registry import voice_audio_source
from wyoming_pocket_tts.pocket.synthesizer import PocketSynthesizer
from wyoming_pocket_tts.pocket.voice_state import VoiceState, check_voice_matches_model, read_state
from wyoming_pocket_tts.pocket.voice_store import (
    VOICE_SUFFIX,
    ModelVoices,
    download_voices,
    encode_voice,
    encoded_voice_directory,
    missing_voices,
    ready_made_directory,
    voice_name,
)
from wyoming_pocket_tts.pocket.worker_client import Progress

_LOGGER = logging.getLogger(__name__)

_FIRST_RETRY_SECONDS = 30.0
_LAST_RETRY_SECONDS = 3600.0
_WARM_UP = "Good morning."


@dataclass(frozen=True, slots=True)
class InstallOptions:
    """How models are brought.

    Attributes:
        data_dir: where they are kept.
        precision: what they compute in.
        threads: threads of the language model; the codec has one of its own.
        local_files_only: download nothing.
        all_voices: bring every ready-made voice, not only the default one and those that are needed.
        needed: voices, by the names that clients use, that somebody is set to speak with: brought before the others.
    """

    data_dir: Path
    precision: Precision
    threads: int
    local_files_only: bool = False
    all_voices: bool = True
    needed: frozenset[str] = frozenset()


@dataclass(slots=True)
class _Arrival:
    """A model on its way, and what of it has come. Kept between attempts, so that none does anything twice."""

    model: ModelSpec
    bundle: ModelBundle | None = None
    voices: ModelVoices | None = None
    """Set once it speaks."""


Came = Callable[[ModelSpec, ModelBundle, ModelVoices], None]
"""Is told that a model speaks from now on."""


class InstallProgressLog:
    """Writes a line to the log when a stage begins, and at each quarter of it that had not been reached before."""

    def __init__(self, label: str, *, then: Callable[[], None] = lambda: None) -> None:
        self._label = label
        self._then = then
        self._stage = ""
        self._quarter = 0

    def __call__(self, progress: Progress) -> None:
        quarter = int(4 * (progress.done or 0))
        if progress.stage != self._stage:
            _LOGGER.info("%s: %s", self._label, _STAGES[progress.stage])
            self._stage, self._quarter = progress.stage, quarter
        elif quarter > self._quarter:
            _LOGGER.info("%s: %s, %d %%", self._label, _STAGES[progress.stage], 25 * quarter)
            self._quarter = quarter
        self._then()


class ModelInstaller:
    """Brings models to a repertoire until all are there or it is closed.

    Args:
        wanted: the models, the most important first.
        repertoire: where they are to speak.
        residency: keeps them in memory. Within a budget, only the most important is loaded before it is asked for.
        options: how they are brought.
        came: is told of each that has come, on the installer's thread.
    """

    def __init__(
        self,
        wanted: Sequence[ModelSpec],
        repertoire: ModelRouter,
        residency: ModelManager,
        options: InstallOptions,
        *,
        came: Came = lambda *_: None,
    ) -> None:
        self._wanted = tuple(wanted)
        self._repertoire = repertoire
        self._residency = residency
        self._options = options
        self._came = came
        self._listener: Observer | None = None
        self._stop = Event()
        self._thread = Thread(target=self._run, name="installer", daemon=True)

    def observe(self, listener: Observer) -> None:
        """Let somebody hear how the models fare. Before ``start``."""
        self._listener = listener

    def start(self) -> None:
        """Begin."""
        if self._wanted:
            self._thread.start()

    def stop(self) -> None:
        """Give up what is not done; returns at once."""
        self._stop.set()

    def close(self) -> None:
        """Give up what is not done, and join the thread. What was being made leaves nothing behind."""
        self.stop()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        silent = [_Arrival(model) for model in self._wanted]
        lacking: list[_Arrival] = []
        deaf: list[_Arrival] = []
        delay_seconds = _FIRST_RETRY_SECONDS
        while not self._stop.is_set():
            tried, silent = silent, [each for each in silent if not self._done(self._bring, each, "cannot speak yet")]
            lacking += [each for each in tried if each.voices and self._has_more_voices(each.model)]
            lacking = [each for each in lacking if not self._done(self._bring_other_voices, each, "lacks voices")]
            deaf += [each for each in tried if each.voices and self._may_learn_to_hear(each)]
            deaf = [each for each in deaf if not self._done(self._teach_to_hear, each, "cannot hear recordings yet")]
            if not silent and not lacking and not deaf:
                return
            if not self._stop.is_set():
                _LOGGER.info("trying again in %.0f s", delay_seconds)
            self._stop.wait(delay_seconds)
            delay_seconds = min(2 * delay_seconds, _LAST_RETRY_SECONDS)

    def _done(self, step: Callable[[_Arrival], None], arrival: _Arrival, otherwise: str) -> bool:
        """Take a step; return whether it was done, or will never be."""
        label = arrival.model.label
        if self._stop.is_set():
            return True
        try:
            step(arrival)
        except Cancelled:
            return True
        except TtsError as error:
            if isinstance(error, ConfigError | VoiceError) and not isinstance(error, VoiceUnavailable):
                _LOGGER.error("the model %s is given up: %s", label, error)  # noqa: TRY400  (no traceback for people)
                return True  # no second attempt would end otherwise
            _LOGGER.warning("the model %s %s: %s", label, otherwise, error)
            return False
        except Exception:
            _LOGGER.exception("the model %s cannot be brought", label)
            return False
        return True

    def _bring(self, arrival: _Arrival) -> None:
        """Bring a model and the voices that it cannot do without, and let it speak."""
        model, options = arrival.model, self._options
        report = InstallProgressLog(model.label)
        bundle = arrival.bundle = arrival.bundle or ensure_converted(
            model.name,
            model.config,
            data_dir=options.data_dir,
            precision=options.precision,
            steps=model.steps,
            local_files_only=options.local_files_only,
            report=report,
            stop=self._stop,
        )
        directory = self._directory(model, bundle)
        self._bring_needed_voices(model, bundle, directory, report)
        voice = self._try_voice(bundle, directory / f"{model.voices[0]}{VOICE_SUFFIX}")
        voices = ModelVoices(
            name=model.label,
            voices=() if model.is_hidden else model.voices,
            language=model.language,
            rate_hz=model.config.mimi.sample_rate,
            directory=directory,
        )
        arrives_loaded = not self._residency.is_limited or model is self._wanted[0]
        managed = self._residency.add(
            model.label,
            lambda: self._open(arrival, voices),
            title=f"the model {model.label}",
            size_bytes=memory_bytes(bundle),
            voices=voices.voices,
            speaker=self._open(arrival, voices, warm_up_with=voice) if arrives_loaded else None,
        )
        self._repertoire.add(model.label, managed)
        arrival.voices = voices
        when = "now" if arrives_loaded else "when it is asked for"
        _LOGGER.info(
            "the model %s speaks %s (%s), by default as %s", model.label, when, bundle.precision, model.voices[0]
        )
        self._came(model, bundle, voices)

    def _open(
        self, arrival: _Arrival, voices: ModelVoices, *, warm_up_with: VoiceState | None = None
    ) -> PocketSynthesizer:
        """Bring a model into memory; whoever asks for it then warms it up, unless that is done here."""
        assert arrival.bundle is not None, "it is installed"  # noqa: S101  (our own invariant)
        model = TTSModel(open_for_onnx(arrival.bundle, flow_threads=self._options.threads))
        if warm_up_with is not None:
            self._warm_up(model, warm_up_with)
        return PocketSynthesizer(model, voices, listener=self._listener)

    def _directory(self, model: ModelSpec, bundle: ModelBundle) -> Path:
        if model.name is None:
            return encoded_voice_directory(self._options.data_dir, model.speaks_for, bundle)
        return ready_made_directory(self._options.data_dir, model.name)

    def _bring_needed_voices(
        self, model: ModelSpec, bundle: ModelBundle, directory: Path, report: InstallProgressLog
    ) -> None:
        default, *others = model.voices
        if model.name is not None:
            needed = [voice for voice in others if voice_name(model.label, voice) in self._options.needed]
            self._bring_voices(model, [default, *needed], report)
        elif missing_voices(directory, [default]):
            # No ready-made voice suits weights of one's own, so they hear the recording of one.
            self._hear(bundle, default, directory, report)

    def _hear(self, bundle: ModelBundle, voice: str, directory: Path, report: InstallProgressLog) -> None:
        encode_voice(
            bundle,
            voice_audio_source(voice),
            directory / f"{voice}{VOICE_SUFFIX}",
            local_files_only=self._options.local_files_only,
            report=report,
            stop=self._stop,
        )

    @staticmethod
    def _try_voice(bundle: ModelBundle, path: Path) -> VoiceState:
        """Read the voice without which the model would be mute; if it cannot be used the next attempt brings it.

        Raises:
            SpeechError: it cannot.
        """
        try:
            voice = read_state(path)
            check_voice_matches_model(voice, bundle.config, fingerprint=bundle.fingerprint, label=str(path))
        except VoiceUnavailable:
            raise
        except VoiceError as error:
            path.unlink(missing_ok=True)
            raise TtsError(f"{error}; it was deleted, to be brought again") from error
        return voice

    def _warm_up(self, speaker: TTSModel, voice: VoiceState) -> None:
        with closing(speaker.generate_audio_stream(voice, _WARM_UP)) as pieces:
            for _ in pieces:
                if self._stop.is_set():
                    raise Cancelled("the service is stopping")

    def _has_more_voices(self, model: ModelSpec) -> bool:
        return model.name is not None and self._options.all_voices and not model.is_hidden

    def _bring_other_voices(self, arrival: _Arrival) -> None:
        model = arrival.model
        directory = ready_made_directory(self._options.data_dir, str(model.name))
        if not missing_voices(directory, model.voices):
            return
        assert arrival.voices is not None, "its model speaks"  # noqa: S101  (our own invariant)
        look = arrival.voices.refresh
        try:
            self._bring_voices(model, model.voices, InstallProgressLog(model.label, then=look))
        finally:
            look()
        _LOGGER.info("%s: all %d voices are there", model.label, len(model.voices))

    def _may_learn_to_hear(self, arrival: _Arrival) -> bool:
        """Whether weights that can hear recordings may be had since the model was converted: somebody logged in."""
        assert arrival.bundle is not None, "its model speaks"  # noqa: S101  (our own invariant)
        is_deaf = not arrival.bundle.has_voice_cloning and arrival.model.config.weights_path is not None
        return is_deaf and not self._options.local_files_only and has_token()

    def _teach_to_hear(self, arrival: _Arrival) -> None:
        model, options = arrival.model, self._options
        try:
            bundle = ensure_converted(
                model.name,
                model.config,
                data_dir=options.data_dir,
                precision=options.precision,
                steps=model.steps,
                anew=True,
                hearing=True,
                report=InstallProgressLog(model.label),
                stop=self._stop,
            )
        except AccessDenied as error:
            _LOGGER.warning("the model %s cannot hear recordings: %s", model.label, error)
            return
        assert arrival.voices is not None, "its model speaks"  # noqa: S101  (our own invariant)
        arrival.bundle = bundle
        _LOGGER.info("the model %s can hear recordings now", model.label)
        self._came(model, bundle, arrival.voices)

    def _bring_voices(self, model: ModelSpec, voices: Sequence[str], report: InstallProgressLog) -> None:
        download_voices(
            str(model.name),
            voices,
            data_dir=self._options.data_dir,
            local_files_only=self._options.local_files_only,
            report=report,
            stop=self._stop,
        )


_STAGES = {
    "wait": "another process is converting it",
    "download": "downloading",
    "convert": "converting",
    "verify": "comparing with the exact model",
    "voices": "downloading voices",
    "hear": "hearing the recording of its voice",
}
