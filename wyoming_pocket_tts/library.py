"""Voices of the user's own in a running service: watches files, has them taken in, lets models speak with them.

Owns one thread that watches; ``voice_intake`` has another. Knows nothing about clients or how models work.

Two kinds of files: what the settings name, and whatever lies in the folder ``voices`` of the data directory
(``voices.dropped``). A file counts when it has stayed the same from one look to the next. What is spoken with is a copy
of ours (``pocket.shelf``): while a file is being changed, its voice speaks as before.
"""

import logging
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock, Thread

from wyoming_pocket_tts.pocket.onnx.bundle import Bundle
from wyoming_pocket_tts.pocket.onnx.heard import heard_directory
from wyoming_pocket_tts.pocket.onnx.ready_made import ready_made_directory
from wyoming_pocket_tts.pocket.shelf import Shelf
from wyoming_pocket_tts.pocket.voice_files import OwnVoice, VoiceFiles
from wyoming_pocket_tts.voice_intake import Identity, Intake
from wyoming_pocket_tts.voices.admission import Refused, admitted, speakers_of
from wyoming_pocket_tts.voices.contents import about, complaint_about
from wyoming_pocket_tts.voices.dropped import DroppedVoice, dropped_folder
from wyoming_pocket_tts.voices.parts import VoiceSource
from wyoming_pocket_tts.voices.styles import VOICE_SUFFIX, style_files
from wyoming_pocket_tts.wanted import WantedModel, voices_dropped_in

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 0.25


@dataclass(slots=True)
class _Speaker:
    """A model that has come, loaded or not."""

    model: WantedModel
    shelf: Shelf
    voices: VoiceFiles
    published: tuple[OwnVoice, ...] = ()


class Library:
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
        models: Sequence[WantedModel],
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
        self._intake = Intake(self._wake.set)
        self._seen: dict[Path, Identity] = {}
        self._told: set[tuple[Path, str]] = set()
        self._complaints: dict[Path, tuple[Identity, str]] = {}
        """Of files whose model has not come: what is wrong with them by themselves."""
        self._thread = Thread(target=self._run, name="library", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def model_came(self, model: WantedModel, bundle: Bundle, voices: VoiceFiles) -> None:
        """Take note of a model that can speak now, or hear better than before. From any thread."""
        directory = heard_directory(self._data_dir, model.speaks_for, bundle) / "own"
        speaker = _Speaker(model, Shelf(bundle, directory, stop=self._stop), voices)
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
        owns: dict[str, list[OwnVoice]] = {speaker.model.label: [] for speaker in speakers}
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

    def _configured(self) -> Iterator[DroppedVoice]:
        for source in self._sources:
            model = next((each for each in self._models if _speaks(each, source)), None)
            if model is None:
                continue
            if source.path is not None:
                yield DroppedVoice(source.voice_name, model.label, style_files(source.path), source.path)
            elif source.ready_made is not None and model.name is not None:
                path = ready_made_directory(self._data_dir, model.name) / f"{source.ready_made}{VOICE_SUFFIX}"
                yield DroppedVoice(source.voice_name, model.label, style_files(path), path)

    def _dropped(self) -> Iterator[DroppedVoice]:
        return voices_dropped_in(self._data_dir, self._labels)

    def _admitted(self, wishes: Iterable[DroppedVoice]) -> Iterator[DroppedVoice]:
        """Those whose name is nobody else's, and whose model there is."""
        elsewhere = [source.path for source in self._sources if source.path is not None]
        for wish in admitted(wishes, labels=self._labels, taken=self._taken, elsewhere=elsewhere):
            if isinstance(wish, Refused):
                self._tell(wish.origin, wish.reason)
            else:
                yield wish

    # What can be spoken

    def _own_voice(
        self, wish: DroppedVoice, speakers: Sequence[_Speaker], settled: Mapping[Path, Identity]
    ) -> tuple[str, OwnVoice] | None:
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
                return speaker.model.label, OwnVoice(name=wish.name, description=description, styles=styles)
        return None

    # What is said about it

    def _publish(self, speaker: _Speaker, voices: tuple[OwnVoice, ...]) -> None:
        if voices == speaker.published:
            return
        before, now = ({voice.name for voice in some} for some in (speaker.published, voices))
        speaker.voices.speak_also_as(voices)
        speaker.published = voices
        for names, what in ((now - before, "is there"), (before - now, "is gone")):
            for name in sorted(names):
                logger.info("the voice %s %s (%s)", self._shown.get(name, name), what, speaker.model.label)

    def _note_waiting(self, wish: DroppedVoice, model: str, settled: Mapping[Path, Identity]) -> None:
        """Tell of each file what is wrong with it by itself, or else once that the voice waits."""
        files = [file for file in wish.styles.values() if file in settled]
        good = [file for file in files if not self._complaint(file, settled[file])]
        key = (wish.origin, "waits")
        if (good or not wish.styles) and key not in self._told:
            self._told.add(key)
            logger.info("the voice %s waits for the model %s", self._shown.get(wish.name, wish.name), model)

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
            logger.warning("a voice that cannot be used: %s", about(origin, reason))


def _speaks(model: WantedModel, source: VoiceSource) -> bool:
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
