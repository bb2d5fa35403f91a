"""Bring models in the background, with retries."""

import logging
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event, Thread

from wyoming_pocket_tts.core.errors import AccessDenied, Cancelled, ConfigError, TtsError, VoiceError, VoiceUnavailable
from wyoming_pocket_tts.core.events import Observer
from wyoming_pocket_tts.core.system import Backoff
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
    """How models are installed."""

    data_dir: Path
    precision: Precision
    threads: int
    """Threads of the language model; the codec has one more."""
    local_files_only: bool = False
    all_voices: bool = True
    """Download every predefined voice, not only the default one and those needed."""
    needed: frozenset[str] = frozenset()
    """Voices that the settings use, by the names for clients: downloaded before the others."""


_Step = tuple[str, Callable[[], None]]
"""A model's label, and what to do for it until that succeeds."""
OnInstalled = Callable[[ModelSpec, ModelBundle, ModelVoices], None]

_STAGES = {
    "wait": "another process is converting it",
    "download": "downloading",
    "convert": "converting",
    "verify": "comparing with the exact model",
    "voices": "downloading voices",
    "hear": "hearing the recording of its voice",
}


class InstallProgressLog:
    """Logs each stage, and each quarter of it once; calls ``then`` after each report."""

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
    """Installs models on a thread of its own, until all are ready or it is closed.

    ``models`` has the most important first; with a memory budget only that one is loaded before it is requested.
    ``on_installed`` is called on the installer's thread.
    """

    def __init__(
        self,
        models: Sequence[ModelSpec],
        router: ModelRouter,
        manager: ModelManager,
        options: InstallOptions,
        *,
        on_installed: OnInstalled = lambda *_: None,
    ) -> None:
        self._models = tuple(models)
        self._router = router
        self._manager = manager
        self._options = options
        self._on_installed = on_installed
        self._listener: Observer | None = None
        self._bundles: dict[str, ModelBundle] = {}  # by label
        # What is left to do: the models first, then what only some lack.
        self._install_steps: list[_Step] = [(model.label, partial(self._install, model)) for model in models]
        self._voice_steps: list[_Step] = []
        self._encoder_steps: list[_Step] = []
        self._stop = Event()
        self._download = partial(
            download_voices, data_dir=options.data_dir, local_files_only=options.local_files_only, stop=self._stop
        )
        self._thread = Thread(target=self._run, name="installer", daemon=True)

    def observe(self, listener: Observer) -> None:
        """Set the listener of models that are loaded later. Before ``start``."""
        self._listener = listener

    def start(self) -> None:
        if self._models:
            self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    def close(self) -> None:
        self.stop()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        backoff = Backoff(_FIRST_RETRY_SECONDS, _LAST_RETRY_SECONDS)
        stages = (
            (self._install_steps, "cannot speak yet"),
            (self._voice_steps, "lacks voices"),
            (self._encoder_steps, "cannot encode recordings yet"),
        )
        while not self._stop.is_set():
            for steps, otherwise in stages:
                steps[:] = [step for step in steps if not self._try(step, otherwise)]
            if not any(steps for steps, _ in stages):
                return
            delay_seconds = backoff.delay()
            if not self._stop.is_set():
                _LOGGER.info("trying again in %.0f s", delay_seconds)
            self._stop.wait(delay_seconds)

    def _try(self, step: _Step, otherwise: str) -> bool:
        """Take a step; return whether it is done, or no other attempt could end otherwise."""
        label, run = step
        if self._stop.is_set():
            return True
        try:
            run()
        except Cancelled:
            return True
        except TtsError as error:
            if isinstance(error, ConfigError | VoiceError) and not isinstance(error, VoiceUnavailable):
                _LOGGER.error("the model %s is given up: %s", label, error)  # noqa: TRY400  (no traceback for people)
                return True
            _LOGGER.warning("the model %s %s: %s", label, otherwise, error)
            return False
        except Exception:
            _LOGGER.exception("the model %s cannot be brought", label)
            return False
        return True

    def _install(self, model: ModelSpec) -> None:
        report = InstallProgressLog(model.label)
        bundle = self._bundles.get(model.label) or self._convert(model, report)
        directory = (
            encoded_voice_directory(self._options.data_dir, model.speaks_for, bundle)
            if model.name is None
            else ready_made_directory(self._options.data_dir, model.name)
        )
        self._install_needed_voices(model, bundle, directory, report)
        voice = self._read_voice(bundle, directory / f"{model.voices[0]}{VOICE_SUFFIX}")
        voices = ModelVoices(
            name=model.label,
            voices=() if model.is_hidden else model.voices,
            language=model.language,
            rate_hz=model.config.mimi.sample_rate,
            directory=directory,
            on_change=self._router.refresh,
        )
        load_now = not self._manager.is_limited or model is self._models[0]
        managed = self._manager.add(
            model.label,
            partial(self._load, model, voices),
            title=f"the model {model.label}",
            size_bytes=memory_bytes(bundle),
            voices=voices.voices,
            speaker=self._load(model, voices, warm_up_with=voice) if load_now else None,
        )
        self._router.add(model.label, managed)
        when = "now" if load_now else "when it is asked for"
        _LOGGER.info(
            "the model %s speaks %s (%s), by default as %s", model.label, when, bundle.precision, model.voices[0]
        )
        self._on_installed(model, bundle, voices)
        if model.name is not None and self._options.all_voices and not model.is_hidden:
            self._voice_steps.append((model.label, partial(self._install_voices, model, voices)))
        # Weights with an encoder may be available since the conversion: a token for the hub was stored.
        lacks_encoder = not bundle.has_voice_cloning and model.config.weights_path is not None
        if lacks_encoder and not self._options.local_files_only and has_token():
            self._encoder_steps.append((model.label, partial(self._install_encoder, model, voices)))

    def _convert(self, model: ModelSpec, report: InstallProgressLog, *, with_encoder: bool = False) -> ModelBundle:
        """Convert a model if that was not done before; ``with_encoder`` converts anew, from weights with an encoder."""
        bundle = self._bundles[model.label] = ensure_converted(
            model.name,
            model.config,
            data_dir=self._options.data_dir,
            precision=self._options.precision,
            steps=model.steps,
            local_files_only=self._options.local_files_only,
            anew=with_encoder,
            hearing=with_encoder,
            report=report,
            stop=self._stop,
        )
        return bundle

    def _load(
        self, spec: ModelSpec, voices: ModelVoices, *, warm_up_with: VoiceState | None = None
    ) -> PocketSynthesizer:
        """Load a model into memory; without ``warm_up_with`` its first request warms it up."""
        model = TTSModel(open_for_onnx(self._bundles[spec.label], flow_threads=self._options.threads))
        if warm_up_with is not None:
            with closing(model.generate_audio_stream(warm_up_with, _WARM_UP)) as blocks:
                for _ in blocks:
                    if self._stop.is_set():
                        raise Cancelled("the service is stopping")
        return PocketSynthesizer(model, voices, listener=self._listener)

    def _install_needed_voices(
        self, model: ModelSpec, bundle: ModelBundle, directory: Path, report: InstallProgressLog
    ) -> None:
        default, *others = model.voices
        if model.name is not None:
            needed = [voice for voice in others if voice_name(model.label, voice) in self._options.needed]
            self._download(model.name, [default, *needed], report=report)
        elif missing_voices(directory, [default]):  # custom weights need a voice state of their own, from its recording
            encode_voice(
                bundle,
                voice_audio_source(default),
                directory / f"{default}{VOICE_SUFFIX}",
                local_files_only=self._options.local_files_only,
                report=report,
                stop=self._stop,
            )

    @staticmethod
    def _read_voice(bundle: ModelBundle, path: Path) -> VoiceState:
        """Read the default voice; an unusable file is deleted, so that the next attempt downloads it again."""
        try:
            voice = read_state(path)
            check_voice_matches_model(voice, bundle.config, fingerprint=bundle.fingerprint, label=str(path))
        except VoiceUnavailable:
            raise
        except VoiceError as error:
            path.unlink(missing_ok=True)
            raise TtsError(f"{error}; it was deleted, to be brought again") from error
        return voice

    def _install_voices(self, model: ModelSpec, voices: ModelVoices) -> None:
        if not missing_voices(ready_made_directory(self._options.data_dir, str(model.name)), model.voices):
            return
        try:
            report = InstallProgressLog(model.label, then=voices.refresh)
            self._download(str(model.name), model.voices, report=report)
        finally:
            voices.refresh()
        _LOGGER.info("%s: all %d voices are there", model.label, len(model.voices))

    def _install_encoder(self, model: ModelSpec, voices: ModelVoices) -> None:
        try:
            bundle = self._convert(model, InstallProgressLog(model.label), with_encoder=True)
        except AccessDenied as error:
            _LOGGER.warning("the model %s cannot encode recordings: %s", model.label, error)
            return
        _LOGGER.info("the model %s can encode recordings now", model.label)
        self._on_installed(model, bundle, voices)
