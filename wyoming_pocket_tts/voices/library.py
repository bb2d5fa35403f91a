"""User voices: watch files, encode, publish."""

import logging
import math
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock, Thread

from wyoming_pocket_tts.core.errors import Cancelled, TtsError, VoiceError, VoiceUnavailable
from wyoming_pocket_tts.pocket.model_spec import ModelSpec
from wyoming_pocket_tts.pocket.onnx.bundle import ModelBundle
from wyoming_pocket_tts.pocket.registry import model_names
from wyoming_pocket_tts.pocket.voice_store import (
    VOICE_SUFFIX,
    CustomVoice,
    EncodedVoiceStore,
    ModelVoices,
    about,
    can_be_name,
    complaint_about,
    encoded_voice_directory,
    is_exported,
    is_voice_file,
    ready_made_directory,
    style_files,
)
from wyoming_pocket_tts.voices.catalog import VoiceSource
from wyoming_pocket_tts.voices.matching import same_name

_LOGGER = logging.getLogger(__name__)

_POLL_SECONDS = 0.25
_RETRY_SECONDS = 60.0
"""After a failure that is not the file's."""
_MAX_VOICES = 200
"""In a folder: more files are something else."""

Identity = tuple[int, ...]
"""Changes whenever a file does."""


@dataclass(frozen=True, slots=True)
class UserVoice:
    """Name and files of a custom voice."""

    name: str
    model: str | None
    """The label of its model; None for any that fits."""
    styles: Mapping[str, Path]
    """A file for each style, the default one first; a single file has the style ``""``."""
    origin: Path
    """The file or folder."""


@dataclass(frozen=True, slots=True)
class RejectedVoice:
    """A file or folder that is not the voice it could be."""

    origin: Path
    reason: str


@dataclass(slots=True)
class _Model:
    """An installed model, loaded or not."""

    spec: ModelSpec
    store: EncodedVoiceStore
    voices: ModelVoices
    published: tuple[CustomVoice, ...] = ()


class VoiceLibrary:
    """Watches the user's voices on a thread of its own, and publishes them to the models.

    ``models`` are all that are to be installed, the most important first, ``sources`` the voices of the settings;
    ``taken`` names are refused for voices of the folder.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        models: Sequence[ModelSpec],
        sources: Sequence[VoiceSource] = (),
        taken: Collection[str] = (),
    ) -> None:
        self._data_dir = data_dir
        self._specs = tuple(models)
        self._labels = [model.label for model in models if not model.is_hidden]
        self._sources = tuple(sources)
        self._shown = {source.voice_name: source.name for source in sources}
        self._taken = frozenset(taken)
        self._models: dict[str, _Model] = {}
        self._renewed: set[str] = set()
        self._lock = Lock()  # guards the models, and which are new
        self._stop = Event()
        self._wake = Event()
        self._queue = VoiceEncodingQueue(self._wake.set)
        self._seen: dict[Path, Identity] = {}
        self._logged: set[tuple[Path, str]] = set()
        self._errors: dict[tuple[Path, Identity], str] = {}
        """What is wrong with files for a model that is not installed; empty if nothing is."""
        self._thread = Thread(target=self._run, name="library", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def add_model(self, spec: ModelSpec, bundle: ModelBundle, voices: ModelVoices) -> None:
        """Add an installed model, or replace it by one with an encoder. From any thread."""
        directory = encoded_voice_directory(self._data_dir, spec.speaks_for, bundle) / "own"
        model = _Model(spec, EncodedVoiceStore(bundle, directory, stop=self._stop), voices)
        with self._lock:
            before = self._models.get(spec.label)
            model.published = before.published if before is not None else ()
            self._models[spec.label] = model
            self._renewed.add(spec.label)
        self._wake.set()

    def stop(self) -> None:
        self._stop.set()
        self._wake.set()

    def close(self) -> None:
        self.stop()
        if self._thread.ident is not None:
            self._thread.join()
        self._queue.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._update()
            except Exception as error:  # noqa: BLE001  (it is logged; the next update may succeed)
                reason = f"cannot be looked through ({type(error).__name__}: {error})"
                self._log_once(dropped_folder(self._data_dir), reason)
            self._wake.wait(_POLL_SECONDS)
            self._wake.clear()

    def _update(self) -> None:
        with self._lock:
            models = [self._models[spec.label] for spec in self._specs if spec.label in self._models]
            renewed, self._renewed = self._renewed, set()
        self._queue.retry_rejected(renewed)
        wanted = [*self._configured(), *self._dropped()]
        before = self._seen
        now = self._seen = _identities(file for voice in wanted for file in voice.styles.values())
        self._queue.forget(now)
        self._errors = {key: error for key, error in self._errors.items() if now.get(key[0]) == key[1]}
        self._logged = {(origin, reason) for origin, reason in self._logged if os.path.lexists(origin)}
        settled = {file: identity for file, identity in now.items() if before.get(file) == identity}
        custom: dict[str, list[CustomVoice]] = {model.spec.label: [] for model in models}
        for voice in wanted:
            if self._stop.is_set():
                return
            if (ready := self._encode(voice, models, settled)) is not None:
                custom[ready[0]].append(ready[1])
        for model in models:
            self._publish(model, tuple(custom[model.spec.label]))

    def _configured(self) -> Iterator[UserVoice]:
        for source in self._sources:
            variant = (source.model, source.steps)
            spec = next(
                (each for each in self._specs if (each.speaks_for, each.steps if each.is_hidden else None) == variant),
                None,
            )
            if spec is None:
                continue
            path = source.path
            if path is None and source.ready_made is not None and spec.name is not None:
                path = ready_made_directory(self._data_dir, spec.name) / f"{source.ready_made}{VOICE_SUFFIX}"
            if path is not None:
                yield UserVoice(source.voice_name, spec.label, style_files(path), path)

    def _dropped(self) -> Iterator[UserVoice]:
        """Voices of the folder that have a free name and a configured model."""
        elsewhere = [source.path for source in self._sources if source.path is not None]
        found = user_voices(self._data_dir, self._labels)
        for voice in accepted(found, labels=self._labels, taken=self._taken, elsewhere=elsewhere):
            if isinstance(voice, RejectedVoice):
                self._log_once(voice.origin, voice.reason)
            else:
                yield voice

    def _encode(
        self, voice: UserVoice, models: Sequence[_Model], settled: Mapping[Path, Identity]
    ) -> tuple[str, CustomVoice] | None:
        """The label of the model, and the voice with the styles that are encoded; None while there are none."""
        labels = models_for(voice, self._labels)
        candidates = [model for model in models if model.spec.label in labels]
        if not candidates:
            self._log_waiting(voice, labels[0], settled)
        for model in candidates:
            label = model.spec.label
            styles: dict[str, Path] = {}
            for style, file in voice.styles.items():
                encoded = self._queue.voice_of(label, model.store, file, settled.get(file))
                if isinstance(encoded, Path):
                    styles[style] = encoded
                elif encoded is not None and label == labels[-1]:
                    self._log_once(file, encoded.reason)
            if styles:
                return label, CustomVoice(name=voice.name, description=f"{voice.name} ({label})", styles=styles)
        return None

    def _publish(self, model: _Model, voices: tuple[CustomVoice, ...]) -> None:
        if voices == model.published:
            return
        before, now = ({voice.name for voice in some} for some in (model.published, voices))
        model.voices.set_custom_voices(voices)
        model.published = voices
        for names, what in ((now - before, "is there"), (before - now, "is gone")):
            for name in sorted(names):
                _LOGGER.info("the voice %s %s (%s)", self._shown.get(name, name), what, model.spec.label)

    def _log_waiting(self, voice: UserVoice, model: str, settled: Mapping[Path, Identity]) -> None:
        """Log what is wrong with the files themselves, or else once that the voice waits for its model."""
        is_usable = not voice.styles
        for file in voice.styles.values():
            if file not in settled:
                continue
            key = (file, settled[file])
            if key not in self._errors:
                self._errors[key] = ""  # also if reading it raises
                self._errors[key] = complaint_about(file)
            if self._errors[key]:
                self._log_once(file, self._errors[key])
            else:
                is_usable = True
        if is_usable and (voice.origin, "waits") not in self._logged:
            self._logged.add((voice.origin, "waits"))
            _LOGGER.info("the voice %s waits for the model %s", self._shown.get(voice.name, voice.name), model)

    def _log_once(self, origin: Path, reason: str) -> None:
        if (origin, reason) not in self._logged:
            self._logged.add((origin, reason))
            _LOGGER.warning("a voice that cannot be used: %s", about(origin, reason))


def _identities(files: Iterable[Path]) -> dict[Path, Identity]:
    found: dict[Path, Identity] = {}
    for file in files:
        try:
            status = file.stat()
        except OSError:
            continue
        found[file] = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return found


_Job = tuple[str, Path, Identity]
"""A model's label, and a file with its identity at the time."""


@dataclass(frozen=True, slots=True)
class RejectedFile:
    """A file that is no voice."""

    reason: str
    until_seconds: float = math.inf
    """The time of the monotonic clock at which to try again."""


Verdict = Path | RejectedFile


class VoiceEncodingQueue:
    """Encodes files on a thread of its own, each once. Its methods are for one thread.

    ``ready`` is called on the encoding thread after each file.
    """

    def __init__(self, ready: Callable[[], None]) -> None:
        self._ready = ready
        self._jobs: dict[_Job, Future[Verdict]] = {}
        self._kept: dict[tuple[str, Path], Path] = {}
        """The last voice of each existing file, by model."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="voice-intake")

    def close(self) -> None:
        """Join the thread, once the job under way is done or cancelled by the store's event."""
        self._thread.shutdown(cancel_futures=True)

    def forget(self, now: Mapping[Path, Identity]) -> None:
        """Drop everything about files that are deleted or changed."""
        for job in [job for job in self._jobs if now.get(job[1]) != job[2]]:
            self._jobs.pop(job).cancel()
        self._kept = {key: voice for key, voice in self._kept.items() if key[1] in now}

    def retry_rejected(self, labels: Collection[str]) -> None:
        """Try files again that these models rejected."""
        for job, future in list(self._jobs.items()):
            if job[0] in labels and future.done() and isinstance(future.result(), RejectedFile):
                del self._jobs[job]

    def voice_of(self, label: str, store: EncodedVoiceStore, file: Path, identity: Identity | None) -> Verdict | None:
        """The encoded voice of a file, or why there is none; None if not yet known.

        While a file changes (its identity is None), and until it is encoded again, its former voice is kept.
        """
        verdict = None if identity is None else self._verdict((label, file, identity), store)
        if isinstance(verdict, Path):
            self._kept[label, file] = verdict
        elif verdict is not None:
            self._kept.pop((label, file), None)
        return verdict or self._kept.get((label, file))

    def _verdict(self, job: _Job, store: EncodedVoiceStore) -> Verdict | None:
        future = self._jobs.get(job)
        verdict = future.result() if future is not None and future.done() else None
        if isinstance(verdict, RejectedFile):
            is_outdated = verdict.until_seconds < time.monotonic()
        else:  # deleted from outside
            is_outdated = verdict is not None and not os.path.isfile(verdict)  # noqa: PTH113  (it never raises)
        if is_outdated:
            self._kept.pop(job[:2], None)
        if future is None or is_outdated:
            self._jobs[job] = self._thread.submit(self._encode, job, store)
            return None
        return verdict

    def _encode(self, job: _Job, store: EncodedVoiceStore) -> Verdict:
        label, file, _ = job
        try:
            if not is_exported(file):
                _LOGGER.info("%s: is encoded by the model %s", file, label)
            return store.take_in(file)
        except Cancelled:
            return RejectedFile("the service is stopping")
        except TtsError as error:
            is_final = isinstance(error, VoiceError) and not isinstance(error, VoiceUnavailable)
            return RejectedFile(str(error), until_seconds=math.inf if is_final else time.monotonic() + _RETRY_SECONDS)
        except Exception as error:  # one file must not end the service of others
            _LOGGER.exception("%s: cannot be taken in", file)
            return RejectedFile(type(error).__name__)
        finally:
            self._ready()


def dropped_folder(data_dir: Path) -> Path:
    return data_dir / "voices"


def user_voices(data_dir: Path, labels: Collection[str]) -> Iterator[UserVoice]:
    """Find the voices in the watched folder, by name; a folder named like any model holds voices for it."""
    return _voices_in(dropped_folder(data_dir), {*labels, *model_names()})


def _voices_in(folder: Path, labels: Collection[str], *, model: str | None = None) -> Iterator[UserVoice]:
    try:
        # An exported voice before its recording.
        entries = sorted(folder.iterdir(), key=lambda entry: (entry.stem.casefold(), not is_exported(entry)))
    except OSError:
        return
    found = 0
    for entry in entries:
        if found == _MAX_VOICES:
            return
        is_folder = os.path.isdir(entry)  # noqa: PTH112  (it never raises)
        label = next((label for label in labels if same_name(label, entry.name)), None)
        if model is None and label is not None and is_folder:
            yield from _voices_in(entry, labels, model=label)
        elif is_folder and can_be_name(entry.name) and (styles := style_files(entry)):
            found += 1
            yield UserVoice(entry.name, model, styles, entry)
        elif not is_folder and is_voice_file(entry):
            found += 1
            yield UserVoice(entry.stem, model, {"": entry}, entry)


def accepted(
    voices: Iterable[UserVoice], *, labels: Collection[str], taken: Collection[str], elsewhere: Collection[Path] = ()
) -> Iterator[UserVoice | RejectedVoice]:
    """Yield each voice, or why it is none; of several with one name the first counts.

    A recording beside the voice exported from it is skipped, and so are files of the settings (``elsewhere``).
    """
    of_others = {name.casefold() for name in taken}
    of_settings = {os.path.realpath(path) for path in elsewhere}
    origins: dict[str, Path] = {}
    for voice in voices:
        name = voice.name.casefold()
        if os.path.realpath(voice.origin) in of_settings:
            continue
        if voice.model is not None and voice.model not in labels:
            reason = f"it is for the model {voice.model}, which is not among models.names"
            yield RejectedVoice(voice.origin, reason)
        elif name in of_others:
            yield RejectedVoice(voice.origin, "another voice has this name already; give the file another one")
        elif name not in origins:
            origins[name] = voice.origin
            yield voice
        elif origins[name].with_suffix("") != voice.origin.with_suffix(""):
            yield RejectedVoice(voice.origin, f"{origins[name]} is the voice of this name; give the file another one")


def models_for(voice: UserVoice, labels: Sequence[str]) -> Sequence[str]:
    """Models that can have a voice: an exported one fits one of them, a recording is for the most important."""
    if voice.model is not None:
        return [voice.model]
    return labels if all(map(is_exported, voice.styles.values())) else labels[:1]
