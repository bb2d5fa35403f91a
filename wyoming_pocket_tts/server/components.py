"""Builds the parts: catalog, engines, installer, library. Imports what models need only where there are models."""

import logging
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from wyoming_pocket_tts.core.system import cpu_count
from wyoming_pocket_tts.kokoro.synthesizer import described_voices, load_kokoro

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from wyoming_pocket_tts.config.schema import Settings
    from wyoming_pocket_tts.core.events import Observer
    from wyoming_pocket_tts.engine.installer import ModelInstaller
    from wyoming_pocket_tts.engine.model_manager import ModelManager
    from wyoming_pocket_tts.engine.pipeline import ModelRouter, SynthesisPipeline
    from wyoming_pocket_tts.pocket.model_spec import ModelSpec
    from wyoming_pocket_tts.voices.catalog import VoiceCatalog, VoiceSource
    from wyoming_pocket_tts.voices.library import VoiceLibrary
    from wyoming_pocket_tts.voices.resolver import ResolvedVoices


_LOGGER = logging.getLogger(__name__)

_MOST_THREADS = 4
"""The language model waits for memory: more cores than this do not make it faster."""
_EMBEDDED = "embedded voice"
"""What observers hear."""
_EMBEDDED_BYTES = 45 << 20
"""What leaves memory with the embedded voice."""
_MEBIBYTE = 1 << 20


class BackgroundService(Protocol):
    """Works beside the service, on threads of its own."""

    def start(self) -> None: ...

    def stop(self) -> None:
        """Give up what is under way; returns at once."""

    def close(self) -> None: ...


def _ignore(_: "Observer") -> None:
    """There is nothing to hear of."""


@dataclass(frozen=True, slots=True)
class Components:
    """The parts of a running service: synthesis, catalog, background services."""

    synthesizer: "SynthesisPipeline"
    cast: "VoiceCatalog"
    helpers: tuple[BackgroundService, ...] = ()
    models: "Callable[[], Mapping[str, str]]" = dict
    """Tells of the models that the settings name: ``ready``, ``unloaded`` until it is asked for, or ``coming``."""
    observe: "Callable[[Observer], None]" = _ignore
    """Takes an observer of the models; before the helpers are started."""
    embedded: tuple[str, ...] = ()
    """The names of the embedded voices in the cast, the default one first."""


def build_components(
    settings: "Settings",
    *,
    file: Path | None = None,
    flags: "Mapping[str, object] | None" = None,
) -> Components:
    """Build the parts of the service; models and custom voices arrive when the helpers are started. Takes seconds.

    The embedded voices are loaded, unless a model that will be ready in a second is here: then on demand only. ``file``
    and ``flags`` are the sources of the settings, for messages. Raises ``ConfigError``, ``ModelError``.
    """
    from wyoming_pocket_tts.engine.pipeline import ModelRouter, SynthesisPipeline  # noqa: PLC0415  (slow, like all that follow)
    from wyoming_pocket_tts.pocket.model_spec import model_specs  # noqa: PLC0415

    embedded = described_voices()
    names = tuple(voice.name for voice in embedded)
    wanted = model_specs(settings.models.names, languages=settings.models.languages)
    casting = _casting(settings, names, wanted, file, flags)
    residency = _residency(settings)
    is_needed = settings.server.limits.on_overload == "fallback" or not casting.needed().isdisjoint(names)
    managed = residency.add(
        _EMBEDDED,
        load_kokoro,
        title="the embedded voice",
        size_bytes=_EMBEDDED_BYTES,
        voices=partial(tuple, embedded),
        speaker=load_kokoro() if is_needed or not _is_here(wanted, settings) else None,
        stays=lambda: is_needed or not repertoire.has_models(),
    )
    repertoire = ModelRouter(managed, {model.label: model.listed() for model in wanted})
    cast = casting.cast(repertoire.voices)
    narrator = SynthesisPipeline(repertoire, cast)
    if not wanted:
        return Components(narrator, cast, (residency,), observe=residency.observe, embedded=names)
    installer, library = _helpers(wanted, repertoire, residency, casting, settings, embedded=names)

    def observe(observer: "Observer") -> None:
        installer.observe(observer)
        residency.observe(observer)

    helpers = (installer, library, residency)
    return Components(narrator, cast, helpers, lambda: _models(repertoire, residency), observe, names)


def _casting(
    settings: "Settings",
    embedded: "Sequence[str]",
    wanted: "Sequence[ModelSpec]",
    file: Path | None,
    flags: "Mapping[str, object] | None",
) -> "ResolvedVoices":
    from wyoming_pocket_tts.config.loader import SourceMap  # noqa: PLC0415
    from wyoming_pocket_tts.voices.library import (  # noqa: PLC0415
        dropped_folder,
        user_voices,
    )
    from wyoming_pocket_tts.voices.resolver import resolve_voices  # noqa: PLC0415  (slow, like all that follow)

    dropped = [voice.name for voice in user_voices(settings.data_dir, [model.label for model in wanted])]
    casting = resolve_voices(settings, embedded=embedded, dropped=dropped)
    for warning in casting.admit(SourceMap(file, os.environ, flags)):
        _LOGGER.warning("%s", warning)
    if dropped and not wanted:
        folder = dropped_folder(settings.data_dir)
        _LOGGER.warning("%s: no model can speak the voices there: models.names is 'none'", folder)
    return casting


def _residency(settings: "Settings") -> "ModelManager":
    from wyoming_pocket_tts.engine.model_manager import ModelManager  # noqa: PLC0415  (slow, like all that follow)

    budget_mb = settings.models.memory_budget_mb
    return ModelManager() if budget_mb is None else ModelManager(budget_bytes=budget_mb * _MEBIBYTE)


def _is_here(wanted: "Sequence[ModelSpec]", settings: "Settings") -> bool:
    """Whether the most important model is converted, so that it is only to be loaded."""
    from wyoming_pocket_tts.pocket.onnx.bundle import Precision  # noqa: PLC0415
    from wyoming_pocket_tts.pocket.onnx.install import find_converted  # noqa: PLC0415  (slow)

    precision = Precision(settings.models.precision)
    return any(
        find_converted(model.name, model.config, data_dir=settings.data_dir, precision=precision)
        for model in wanted[:1]
    )


def _models(repertoire: "ModelRouter", residency: "ModelManager") -> dict[str, str]:
    return {
        name: "unloaded" if state == "ready" and not residency.is_loaded(name) else state
        for name, state in repertoire.models().items()
    }


def _helpers(
    wanted: "Sequence[ModelSpec]",
    repertoire: "ModelRouter",
    residency: "ModelManager",
    casting: "ResolvedVoices",
    settings: "Settings",
    *,
    embedded: "Collection[str]",
) -> "tuple[ModelInstaller, VoiceLibrary]":
    from wyoming_pocket_tts.engine.installer import InstallOptions, ModelInstaller  # noqa: PLC0415  (the models)
    from wyoming_pocket_tts.pocket.onnx.bundle import Precision  # noqa: PLC0415
    from wyoming_pocket_tts.voices.library import VoiceLibrary  # noqa: PLC0415

    sources = casting.sources()
    models = [*wanted, *_variants(wanted, sources)]
    ready_made = {voice.name for model in wanted for voice in model.listed()}
    library = VoiceLibrary(
        settings.data_dir, models=models, sources=sources, taken=casting.names() | ready_made | set(embedded)
    )
    options = InstallOptions(
        data_dir=settings.data_dir,
        precision=Precision(settings.models.precision),
        threads=settings.models.threads or default_thread_count(),
        local_files_only=settings.models.local_files_only,
        all_voices=settings.models.voices == "all",
        needed=casting.needed(),
    )
    return ModelInstaller(models, repertoire, residency, options, on_installed=library.add_model), library


def _variants(wanted: "Sequence[ModelSpec]", sources: "Sequence[VoiceSource]") -> "list[ModelSpec]":
    """Conversions of the models with other numbers of steps, for voices that have one of their own."""
    pairs = dict.fromkeys((source.model, source.steps) for source in sources if source.steps is not None)
    return [model.in_steps(steps) for model in wanted for label, steps in pairs if label == model.label and steps]


def default_thread_count() -> int:
    """All cores of a small machine; one fewer of a larger one, for the codec."""
    cores = cpu_count()
    return cores if cores <= 2 else min(cores - 1, _MOST_THREADS)  # noqa: PLR2004
