"""Find or convert a bundle; lock, staging directory."""

import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event

from wyoming_pocket_tts.core.errors import ModelError, TtsError
from wyoming_pocket_tts.core.system import atomic_path, cpu_flags, cpu_name, has_integer_products, locked, set_aside
from wyoming_pocket_tts.pocket.hub import is_here
from wyoming_pocket_tts.pocket.onnx.bundle import (
    ModelBundle,
    Precision,
    bundle_directory,
    bundle_key,
    looks_like_ours,
    open_bundle,
    read_manifest,
    sampler_steps,
    write_manifest,
)
from wyoming_pocket_tts.pocket.schema import ModelConfig
from wyoming_pocket_tts.pocket.worker_client import Progress, Report, UnsupportedPrecision, WorkerTask, run_task

_LOGGER = logging.getLogger(__name__)

_MAX_VERIFIED = 8
_INSTEAD = {Precision.INT4: Precision.INT8, Precision.INT8: Precision.FP32, Precision.MIXED: Precision.FP32}
"""The next precision to try on a processor that does not support one."""
_IN_8_BITS = (Precision.INT8, Precision.MIXED)

Run = Callable[..., None]


def ensure_converted(
    name: str | None,
    config: ModelConfig,
    *,
    data_dir: Path,
    precision: Precision = Precision.INT8,
    steps: int | None = None,
    local_files_only: bool = False,
    anew: bool = False,
    hearing: bool = False,
    report: Report = lambda _: None,
    stop: Event | None = None,
    run: Run = run_task,
) -> ModelBundle:
    """Return the converted model; download and convert it first unless it is there and whole.

    Blocks for seconds, or for as long as downloads take. Several processes may do it at the same time: one converts,
    the others wait and use its bundle.

    Args:
        name: the released model, None for a custom one.
        config: its networks and sources.
        data_dir: bundles lie below it, in ``models``.
        precision: where this machine cannot compute in it, another one is used, with a warning.
        steps: of the sampler; None for the model's own.
        local_files_only: download nothing.
        anew: convert even if there is a bundle.
        hearing: refuse weights without voice cloning; only with ``anew``.
        report: called with the progress, on this thread.
        stop: when it is set, raises ``Cancelled`` and leaves nothing broken.
        run: runs the tasks, in a worker process by default.

    Raises a ConfigError for ``steps`` out of range, a DownloadError for files that cannot be had, and a ModelError for
    files that cannot be used or a data directory that cannot be written to.
    """
    steps = sampler_steps(config, steps)
    target = bundle_directory(data_dir, name, config, precision=precision, steps=steps)
    job = _Job(
        target=target,
        task=WorkerTask(
            task="convert",
            directory=target,
            key=bundle_key(config, precision=precision, steps=steps),
            name=name,
            config=config,
            precision=precision,
            steps=steps,
            local_files_only=local_files_only,
            hearing=hearing,
        ),
        report=report,
        stop=stop or Event(),
        run=run,
    )
    with _readable_errors(target.parent):
        found = _identity(target)
        bundle = (None if anew else job.usable()) or job.convert_once(instead_of=found)
    if bundle.precision is not precision:
        _LOGGER.warning("%s: this machine computes it in %s instead of %s", target.name, bundle.precision, precision)
    return replace(bundle, config=config)


def find_converted(
    name: str | None, config: ModelConfig, *, data_dir: Path, precision: Precision, steps: int | None = None
) -> ModelBundle | None:
    """The bundle if there is one that looks whole: a quick check, without reading its files and without a warning."""
    steps = sampler_steps(config, steps)
    try:
        bundle = open_bundle(bundle_directory(data_dir, name, config, precision=precision, steps=steps))
    except ModelError:
        return None
    return bundle if bundle.key == bundle_key(config, precision=precision, steps=steps) else None


@dataclass(frozen=True)
class _Job:
    """One call of ``ensure_converted``."""

    target: Path
    task: WorkerTask
    report: Report
    stop: Event
    run: Run

    def usable(self) -> ModelBundle | None:
        """The bundle that is there, if it is whole, ours, and verified on this machine; otherwise log why not."""
        if not os.path.lexists(self.target):
            return None
        try:
            if self.target.is_symlink():
                raise ModelError(f"{self.target}: is a link")  # noqa: TRY301  (logged below)
            bundle = open_bundle(self.target)
            if bundle.key != self.task.key:
                raise ModelError(f"{self.target}: was made from something else")  # noqa: TRY301
            bundle.verify()
            if cpu_name() not in bundle.proved_on:
                self._verify(bundle)
        except ModelError as error:
            _LOGGER.warning("%s; the model is converted anew", error)
            return None
        weights = self.task.config.weights_path
        if not bundle.has_voice_cloning and weights is not None and is_here(weights):
            _LOGGER.info("%s: weights that can clone voices are here now; the model is converted anew", self.target)
            return None
        return bundle

    def convert_once(self, *, instead_of: object) -> ModelBundle:
        """Convert under a lock, unless another process did so since ``instead_of`` was looked at."""
        models = self.target.parent
        models.mkdir(parents=True, exist_ok=True)
        lock_path = models / f".{self.target.name}.lock"
        with locked(lock_path, stop=self.stop, waits=lambda: self.report(Progress(stage="wait"))) as lock:
            if _identity(self.target) != instead_of and (bundle := self.usable()):
                return bundle
            self._clear_leftovers()
            precision: Precision | None = _supported(self.task.precision)
            while precision is not None:
                try:
                    return self._convert(precision, lock)
                except UnsupportedPrecision as error:
                    precision, refused = _INSTEAD.get(precision), precision
                    if precision is None:
                        raise
                    _LOGGER.warning("%s; %s is used instead of %s", error, precision, refused)
        raise AssertionError("a precision was tried")

    def _convert(self, precision: Precision, lock: int) -> ModelBundle:
        with atomic_path(self.target) as aside:
            aside.mkdir()
            task = self.task.model_copy(update={"directory": aside, "precision": precision})
            self.run(task, report=self.report, stop=self.stop, inherited=(lock,))
            open_bundle(aside)
            self._keep_foreign_files()
        return open_bundle(self.target)

    def _keep_foreign_files(self) -> None:
        """Rename a target that is not a bundle, so that it is not deleted."""
        if os.path.lexists(self.target) and not looks_like_ours(self.target):
            kept = set_aside(self.target)
            _LOGGER.warning("%s: holds files that are not this program's; it is now called %s", self.target, kept)

    def _clear_leftovers(self) -> None:
        """Delete the staging directories of killed conversions: we hold the lock, so none of them is alive."""
        folder, name = self.target.parent, self.target.name
        for path in [*folder.glob(f".{name}.*.partial"), *folder.glob(f".{name}.*.old")]:
            if looks_like_ours(path):
                _LOGGER.info("%s: is left of a conversion that was killed; it is deleted", path)
                shutil.rmtree(path, ignore_errors=True)
            else:
                _LOGGER.warning("%s: holds files that are not this program's; delete it if you do not need them", path)

    def _verify(self, bundle: ModelBundle) -> None:
        update = {"task": "prove", "directory": bundle.directory, "precision": bundle.precision}
        self.run(self.task.model_copy(update=update), report=self.report, stop=self.stop)
        manifest = read_manifest(bundle.directory)
        proved_on = (*manifest.proved_on, cpu_name())[-_MAX_VERIFIED:]
        try:
            write_manifest(bundle.directory, manifest.model_copy(update={"proved_on": proved_on}))
        except OSError as error:
            _LOGGER.info("%s: cannot be written to; it is compared at every start (%s)", bundle.directory, error)


def _supported(precision: Precision) -> Precision:
    """The precision itself, or float32 where 8 bits would be many times slower."""
    if precision not in _IN_8_BITS or has_integer_products(cpu_flags()):
        return precision
    _LOGGER.warning(
        "this processor does not multiply 8-bit numbers (on ARM it lacks the dot product, on x86 AVX2): a model in %s "
        "would be many times as slow as in fp32, which is used instead; 'wyoming-pocket-tts benchmark' shows which "
        "models are fast enough here",
        precision,
    )
    return Precision.FP32


@contextmanager
def _readable_errors(models: Path) -> Iterator[None]:
    try:
        yield
    except TtsError:  # some are OSErrors as well
        raise
    except OSError as error:
        raise ModelError(
            f"{error.filename or models}: {error.strerror or error}; converted models are kept in {models}: choose"
            " another place with --data-dir, or make it writable"
        ) from error


def _identity(path: Path) -> object:
    """Differs for another or a newer directory; None if there is none."""
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns
