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

_LOOK_SECONDS = 0.25


@dataclass(slots=True)
class _Speaker:
    """A model that has come, loaded or not."""

    model: ModelSpec
    shelf: EncodedVoiceStore
    voices: ModelVoices
    published: tuple[CustomVoice, ...] = ()


Identity = tuple[int, ...]
"""What changes when a file does."""


@dataclass(frozen=True, slots=True)
class UserVoice:
    """A voice by its name, and its files."""

    name: str
    model: str | None
    """The label of the model that is to speak it; None for whichever can."""
    styles: Mapping[str, Path]
    """A file for each style, the default one first; a lone file's style has no name: ``""``."""
    origin: Path
    """The file or folder."""


class VoiceLibrary:
    """Gives models the voices of the user's own, for as long as it runs.

    Args:
        data_dir: holds the folder that is watched, and the voices that were taken in.
        models: all that are to come, the most important first.
        sources: voices of the settings.
        taken: names that dropped voices cannot have.
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
        self._models = tuple(models)
        self._labels = [model.label for model in models if not model.is_hidden]
        self._sources = tuple(sources)
        self._shown = {source.voice_name: source.name for source in sources}
        self._taken = frozenset(taken)
        self._speakers: dict[str, _Speaker] = {}
        self._renewed: set[str] = set()
        self._lock = Lock()  # guards the speakers, and whose are new
        self._stop = Event()
        self._wake = Event()
        self._intake = VoiceEncodingQueue(self._wake.set)
        self._seen: dict[Path, Identity] = {}
        self._told: set[tuple[Path, str]] = set()
        self._complaints: dict[Path, tuple[Identity, str]] = {}
        """Of files whose model has not come: what is wrong with them by themselves."""
        self._thread = Thread(target=self._run, name="library", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def model_came(self, model: ModelSpec, bundle: ModelBundle, voices: ModelVoices) -> None:
        """Take note of a model that can speak now, or hear better than before. From any thread."""
        directory = encoded_voice_directory(self._data_dir, model.speaks_for, bundle) / "own"
        speaker = _Speaker(model, EncodedVoiceStore(bundle, directory, stop=self._stop), voices)
        with self._lock:
            before = self._speakers.get(model.label)
            speaker.published = before.published if before is not None else ()
            self._speakers[model.label] = speaker
            self._renewed.add(model.label)
        self._wake.set()

    def stop(self) -> None:
        """Give up what is under way; returns at once."""
        self._stop.set()
        self._wake.set()

    def close(self) -> None:
        """Stop, and join the threads."""
        self.stop()
        if self._thread.ident is not None:
            self._thread.join()
        self._intake.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._look()
            except Exception as error:  # noqa: BLE001  (it is told; the next look may find something better)
                self._tell(
                    dropped_folder(self._data_dir), f"cannot be looked through ({type(error).__name__}: {error})"
                )
            self._wake.wait(_LOOK_SECONDS)
            self._wake.clear()

    def _look(self) -> None:
        """Compare what is wanted with what is spoken, and change that."""
        with self._lock:
            speakers = [self._speakers[model.label] for model in self._models if model.label in self._speakers]
            renewed, self._renewed = self._renewed, set()
        self._intake.reconsider(renewed)
        wishes = [*self._configured(), *self._admitted(self._dropped())]
        before = self._seen
        now = self._seen = _identities(file for wish in wishes for file in wish.styles.values())
        self._intake.forget(now)
        self._complaints = {file: told for file, told in self._complaints.items() if file in now}
        self._told = {(origin, reason) for origin, reason in self._told if os.path.lexists(origin)}
        settled = {file: identity for file, identity in now.items() if before.get(file) == identity}
        owns: dict[str, list[CustomVoice]] = {speaker.model.label: [] for speaker in speakers}
        for wish in wishes:
            if self._stop.is_set():
                return
            found = self._own_voice(wish, speakers, settled)
            if found is not None:
                label, own = found
                owns[label].append(own)
        for speaker in speakers:
            self._publish(speaker, tuple(owns[speaker.model.label]))

    # What is wanted

    def _configured(self) -> Iterator[UserVoice]:
        for source in self._sources:
            model = next((each for each in self._models if _speaks(each, source)), None)
            if model is None:
                continue
            if source.path is not None:
                yield UserVoice(source.voice_name, model.label, style_files(source.path), source.path)
            elif source.ready_made is not None and model.name is not None:
                path = ready_made_directory(self._data_dir, model.name) / f"{source.ready_made}{VOICE_SUFFIX}"
                yield UserVoice(source.voice_name, model.label, style_files(path), path)

    def _dropped(self) -> Iterator[UserVoice]:
        return user_voices(self._data_dir, self._labels)

    def _admitted(self, wishes: Iterable[UserVoice]) -> Iterator[UserVoice]:
        """Those whose name is nobody else's, and whose model there is."""
        elsewhere = [source.path for source in self._sources if source.path is not None]
        for wish in accepted(wishes, labels=self._labels, taken=self._taken, elsewhere=elsewhere):
            if isinstance(wish, RejectedVoice):
                self._tell(wish.origin, wish.reason)
            else:
                yield wish

    # What can be spoken

    def _own_voice(
        self, wish: UserVoice, speakers: Sequence[_Speaker], settled: Mapping[Path, Identity]
    ) -> tuple[str, CustomVoice] | None:
        """The voice as far as its styles are ready, and whose it is; None while none is."""
        may_speak = speakers_of(wish, self._labels)
        candidates = [speaker for speaker in speakers if speaker.model.label in may_speak]
        if not candidates:
            self._note_waiting(wish, may_speak[0], settled)
        for speaker in candidates:
            is_last = speaker.model.label == may_speak[-1]
            styles: dict[str, Path] = {}
            for style, file in wish.styles.items():
                voice = self._intake.voice_of(speaker.model.label, speaker.shelf, file, settled.get(file))
                if isinstance(voice, Path):
                    styles[style] = voice
                elif voice is not None and is_last:
                    self._tell(file, voice.reason)
            if styles:
                description = f"{wish.name} ({speaker.model.label})"
                return speaker.model.label, CustomVoice(name=wish.name, description=description, styles=styles)
        return None

    # What is said about it

    def _publish(self, speaker: _Speaker, voices: tuple[CustomVoice, ...]) -> None:
        if voices == speaker.published:
            return
        before, now = ({voice.name for voice in some} for some in (speaker.published, voices))
        speaker.voices.set_custom_voices(voices)
        speaker.published = voices
        for names, what in ((now - before, "is there"), (before - now, "is gone")):
            for name in sorted(names):
                _LOGGER.info("the voice %s %s (%s)", self._shown.get(name, name), what, speaker.model.label)

    def _note_waiting(self, wish: UserVoice, model: str, settled: Mapping[Path, Identity]) -> None:
        """Tell of each file what is wrong with it by itself, or else once that the voice waits."""
        files = [file for file in wish.styles.values() if file in settled]
        good = [file for file in files if not self._complaint(file, settled[file])]
        key = (wish.origin, "waits")
        if (good or not wish.styles) and key not in self._told:
            self._told.add(key)
            _LOGGER.info("the voice %s waits for the model %s", self._shown.get(wish.name, wish.name), model)

    def _complaint(self, file: Path, identity: Identity) -> str:
        if file not in self._complaints or self._complaints[file][0] != identity:
            self._complaints[file] = (identity, "")  # also if it cannot even be looked into
            self._complaints[file] = (identity, complaint_about(file))
            if self._complaints[file][1]:
                self._tell(file, self._complaints[file][1])
        return self._complaints[file][1]

    def _tell(self, origin: Path, reason: str) -> None:
        """Say once what is wrong with a file."""
        if (origin, reason) not in self._told:
            self._told.add((origin, reason))
            _LOGGER.warning("a voice that cannot be used: %s", about(origin, reason))


def _speaks(model: ModelSpec, source: VoiceSource) -> bool:
    steps = model.steps if model.is_hidden else None
    return source.model == model.speaks_for and source.steps == steps


def _identities(files: Iterable[Path]) -> dict[Path, Identity]:
    """Those of the files that are there."""
    found: dict[Path, Identity] = {}
    for file in files:
        try:
            status = file.stat()
        except OSError:
            continue
        found[file] = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return found


_AGAIN_SECONDS = 60.0
"""When to try again what failed for another reason than the file."""
_Job = tuple[str, Path, Identity]
"""A model's label, and a file as it was when it was looked at."""


@dataclass(frozen=True, slots=True)
class RejectedFile:
    """A file that cannot be a voice, and why."""

    reason: str
    until_seconds: float = math.inf
    """The time of the monotonic clock at which it is worth another look."""


Verdict = Path | RejectedFile


class VoiceEncodingQueue:
    """What is known about files, so that none is looked into twice. For one thread alone, but for its own.

    Args:
        ready: is called on the intake's thread when a file has been looked into.
    """

    def __init__(self, ready: Callable[[], None]) -> None:
        self._ready = ready
        self._verdicts: dict[_Job, Verdict] = {}
        self._jobs: dict[_Job, Future[Verdict]] = {}
        self._kept: dict[tuple[str, Path], Path] = {}
        """The last voice of each file, by model, for as long as the file is there."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="voice-intake")

    def close(self) -> None:
        """Join the thread, once what it does now is done or given up by the shelf's event."""
        self._thread.shutdown(cancel_futures=True)

    def forget(self, now: Mapping[Path, Identity]) -> None:
        """Drop what is about files that have gone, or are others now."""
        self._verdicts = {job: verdict for job, verdict in self._verdicts.items() if now.get(job[1]) == job[2]}
        for job in [job for job in self._jobs if now.get(job[1]) != job[2]]:
            self._jobs.pop(job).cancel()
        self._kept = {key: voice for key, voice in self._kept.items() if key[1] in now}

    def reconsider(self, labels: Collection[str]) -> None:
        """Look once more into what these models could not take in: they are others now."""
        self._verdicts = {
            job: verdict
            for job, verdict in self._verdicts.items()
            if job[0] not in labels or not isinstance(verdict, RejectedFile)
        }

    def voice_of(self, label: str, shelf: EncodedVoiceStore, file: Path, identity: Identity | None) -> Verdict | None:
        """The voice of a file, or why there is none; None while nobody knows.

        While a file changes, and until its new voice is ready, the voice that it had is its voice.

        Args:
            label: the model's.
            shelf: keeps the model's voices.
            file: a recording, or an exported voice.
            identity: of the file as it is; None while it changes.
        """
        key = (label, file)
        verdict = None if identity is None else self._verdict((label, file, identity), shelf)
        if verdict is None:
            return self._kept.get(key)
        if isinstance(verdict, Path):
            self._kept[key] = verdict
        else:
            self._kept.pop(key, None)
        return verdict

    def _verdict(self, job: _Job, shelf: EncodedVoiceStore) -> Verdict | None:
        """What became of a file; None while that is not over."""
        verdict = self._verdicts.get(job)
        if verdict is not None and _is_over(verdict):
            del self._verdicts[job]
            self._kept.pop(job[:2], None)
        if job not in self._verdicts:
            if job not in self._jobs:
                self._jobs[job] = self._thread.submit(self._take_in, job, shelf)
            elif self._jobs[job].done():
                self._verdicts[job] = self._jobs.pop(job).result()
        return self._verdicts.get(job)

    def _take_in(self, job: _Job, shelf: EncodedVoiceStore) -> Verdict:
        """Runs on the thread."""
        label, file, _ = job
        try:
            if not is_exported(file):
                _LOGGER.info("%s: the model %s hears it", file, label)
            return shelf.take_in(file)
        except Cancelled:
            return RejectedFile("the service is stopping")
        except TtsError as error:
            is_final = isinstance(error, VoiceError) and not isinstance(error, VoiceUnavailable)
            return RejectedFile(str(error), until_seconds=math.inf if is_final else time.monotonic() + _AGAIN_SECONDS)
        except Exception as error:  # one file must not end the service of others
            _LOGGER.exception("%s: cannot be taken in", file)
            return RejectedFile(type(error).__name__)
        finally:
            self._ready()


def _is_over(verdict: Verdict) -> bool:
    """Whether a verdict does not hold any more: time has passed, or somebody cleared up."""
    if isinstance(verdict, RejectedFile):
        return verdict.until_seconds < time.monotonic()
    return not os.path.isfile(verdict)  # noqa: PTH113  (it never raises)


MOST_VOICES = 200
"""In a folder; who drops more has dropped something else."""


def dropped_folder(data_dir: Path) -> Path:
    """Where voices are dropped."""
    return data_dir / "voices"


def dropped_voices(folder: Path, labels: Collection[str], *, model: str | None = None) -> Iterator[UserVoice]:
    """Find the voices of a folder, by name; nothing if it is not there.

    Args:
        folder: where to look.
        labels: what models are called.
        model: whose voices these are; None to look into the folders of models as well.
    """
    try:
        entries = sorted(folder.iterdir(), key=_by_name)
    except OSError:
        return
    found = 0
    for entry in entries:
        if found == MOST_VOICES:
            return
        is_folder = os.path.isdir(entry)  # noqa: PTH112  (it never raises)
        label = next((label for label in labels if same_name(label, entry.name)), None)
        if model is None and label is not None and is_folder:
            yield from dropped_voices(entry, labels, model=label)
        elif is_folder and can_be_name(entry.name) and (styles := style_files(entry)):
            found += 1
            yield UserVoice(entry.name, model, styles, entry)
        elif not is_folder and is_voice_file(entry):
            found += 1
            yield UserVoice(entry.stem, model, {"": entry}, entry)


def _by_name(entry: Path) -> tuple[str, bool]:
    """An exported voice before the recording that it was made of."""
    return entry.stem.casefold(), not is_exported(entry)


@dataclass(frozen=True, slots=True)
class RejectedVoice:
    """A file or folder that is not the voice it could be."""

    origin: Path
    reason: str


def accepted(
    wishes: Iterable[UserVoice], *, labels: Collection[str], taken: Collection[str], elsewhere: Collection[Path] = ()
) -> Iterator[UserVoice | RejectedVoice]:
    """Yield each voice, or why it is none; of several with one name the first is it.

    A voice that was exported from a recording beside it is no other one; neither is a file that the settings name.

    Args:
        wishes: what was found.
        labels: what the models are called.
        taken: names of others.
        elsewhere: files and folders of voices of the settings.
    """
    of_others = {name.casefold() for name in taken}
    of_settings = {os.path.realpath(path) for path in elsewhere}
    origins: dict[str, Path] = {}
    for wish in wishes:
        name = wish.name.casefold()
        if os.path.realpath(wish.origin) in of_settings:
            continue
        if wish.model is not None and wish.model not in labels:
            reason = f"it is for the model {wish.model}, which is not among models.names"
            yield RejectedVoice(wish.origin, reason)
        elif name in of_others:
            yield RejectedVoice(wish.origin, "another voice has this name already; give the file another one")
        elif name not in origins:
            origins[name] = wish.origin
            yield wish
        elif origins[name].with_suffix("") != wish.origin.with_suffix(""):
            yield RejectedVoice(wish.origin, f"{origins[name]} is the voice of this name; give the file another one")


def speakers_of(wish: UserVoice, labels: Sequence[str]) -> Sequence[str]:
    """Which models may speak a voice: an exported one fits one of them; a recording is for the most important.

    Args:
        wish: the voice; the model that it names there is.
        labels: what the models are called, the most important first.
    """
    if wish.model is not None:
        return [wish.model]
    return labels if all(map(is_exported, wish.styles.values())) else labels[:1]


def user_voices(data_dir: Path, labels: Collection[str]) -> Iterator[UserVoice]:
    """Find the voices that somebody dropped there; a folder called like any released model holds voices for it.

    Args:
        data_dir: the data directory.
        labels: what the wanted models are called.
    """
    return dropped_voices(dropped_folder(data_dir), {*labels, *model_names()})
