"""Voices of the user's own in a running service: watches files, has recordings heard, lets models speak with them.

Owns one thread, and another that waits for the child which hears. Knows nothing about clients or how models work.

Two kinds of files: what the settings name, and whatever lies in the folder ``voices`` of the data directory, which is a
voice of its file's name, or of its folder's name with a style for each file. Below a folder called like a model are
voices for that model. A file counts when it has stayed the same from one look to the next.
"""

import logging
import math
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock, Thread

from wyoming_pocket_tts.errors import Cancelled, SpeechError, VoiceError
from wyoming_pocket_tts.pocket.onnx.bundle import Bundle, file_hash
from wyoming_pocket_tts.pocket.onnx.heard import hear, heard_directory
from wyoming_pocket_tts.pocket.onnx.ready_made import SUFFIX, ready_made_directory
from wyoming_pocket_tts.pocket.synthesizer import OwnVoice, PocketSynthesizer
from wyoming_pocket_tts.voices.dropped import DroppedVoice, dropped_folder, dropped_voices
from wyoming_pocket_tts.voices.parts import VoiceSource
from wyoming_pocket_tts.voices.state import check_fits, read_state
from wyoming_pocket_tts.voices.styles import style_files
from wyoming_pocket_tts.voices.tensor_file import looks_whole
from wyoming_pocket_tts.wanted import WantedModel

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 0.25
_AGAIN_SECONDS = 60.0
"""When to try again what failed for another reason than the recording."""

Identity = tuple[int, int]
"""Time of change and size of a file: what changes when it does."""


@dataclass(slots=True)
class _Speaker:
    """A model that has come."""

    model: WantedModel
    bundle: Bundle
    synthesizer: PocketSynthesizer
    published: tuple[OwnVoice, ...] = ()


@dataclass(frozen=True, slots=True)
class _Bad:
    """A file that cannot be a voice, and why."""

    reason: str
    until_seconds: float = math.inf
    """The time of the monotonic clock at which it is worth another look."""


_Verdict = Path | _Bad


@dataclass(slots=True)
class _Memory:
    """What is known about files, so that none is looked into twice."""

    seen: dict[Path, Identity] = field(default_factory=dict)
    verdicts: dict[tuple[str, Path, Identity], _Verdict] = field(default_factory=dict)
    hearing: dict[tuple[str, Path, Identity], "Future[_Verdict]"] = field(default_factory=dict)
    told: set[tuple[Path, str]] = field(default_factory=set)


class Library:
    """Gives models the voices of the user's own, for as long as it runs.

    Args:
        data_dir: holds the folder that is watched, and the voices that were heard.
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
        self._taken = {name.casefold() for name in taken}
        self._speakers: dict[str, _Speaker] = {}
        self._lock = Lock()
        self._memory = _Memory()
        self._stop = Event()
        self._wake = Event()
        self._hearer = ThreadPoolExecutor(1, thread_name_prefix="hearer")
        self._thread = Thread(target=self._run, name="library", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def model_came(self, model: WantedModel, bundle: Bundle, synthesizer: PocketSynthesizer) -> None:
        """Take note of a model that can speak now. From any thread."""
        with self._lock:
            self._speakers[model.label] = _Speaker(model, bundle, synthesizer)
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
        self._hearer.shutdown(cancel_futures=True)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._look()
            except Exception:  # whatever is in the folder, the next look may find something better
                logger.exception("the folder of voices cannot be looked through")
            self._wake.wait(_LOOK_SECONDS)
            self._wake.clear()

    def _look(self) -> None:
        """Compare what is wanted with what is spoken, and change that."""
        with self._lock:
            speakers = [self._speakers[model.label] for model in self._models if model.label in self._speakers]
        wishes = [*self._configured(), *self._unambiguous(dropped_voices(dropped_folder(self._data_dir), self._labels))]
        unchanged = self._unchanged(file for wish in wishes for file in wish.styles.values())
        owns: dict[str, list[OwnVoice]] = {speaker.model.label: [] for speaker in speakers}
        for wish in wishes:
            found = self._own_voice(wish, speakers, unchanged)
            if found is not None:
                label, own = found
                owns[label].append(own)
        for speaker in speakers:
            _publish(speaker, tuple(owns[speaker.model.label]))

    def _configured(self) -> Iterator[DroppedVoice]:
        for source in self._sources:
            model = next((each for each in self._models if _speaks(each, source)), None)
            if model is None:
                continue
            if source.path is not None:
                yield DroppedVoice(source.voice_name, model.label, style_files(source.path), source.path)
            elif source.ready_made is not None and model.name is not None:
                path = ready_made_directory(self._data_dir, model.name) / f"{source.ready_made}{SUFFIX}"
                yield DroppedVoice(source.voice_name, model.label, style_files(path), path)

    def _unambiguous(self, wishes: Iterable[DroppedVoice]) -> Iterator[DroppedVoice]:
        names: dict[str, Path] = {}
        for wish in wishes:
            name = wish.name.casefold()
            if name in self._taken:
                self._tell(wish.origin, "another voice has this name already; give the file another one")
            elif name in names:
                if names[name].with_suffix("") != wish.origin.with_suffix(""):  # else it was exported from this one
                    self._tell(wish.origin, f"{names[name]} is the voice of this name; give the file another one")
            else:
                names[name] = wish.origin
                yield wish

    def _unchanged(self, files: Iterator[Path]) -> dict[Path, Identity]:
        """The files that are as they were at the last look, so that nobody is still writing them."""
        now = {file: identity for file in files if (identity := _identity(file)) is not None}
        memory = self._memory
        before, memory.seen = memory.seen, now
        memory.verdicts = {key: verdict for key, verdict in memory.verdicts.items() if now.get(key[1]) == key[2]}
        memory.told = {(origin, reason) for origin, reason in memory.told if origin.exists()}
        return {file: identity for file, identity in now.items() if before.get(file) == identity}

    def _own_voice(
        self, wish: DroppedVoice, speakers: Sequence[_Speaker], unchanged: Mapping[Path, Identity]
    ) -> tuple[str, OwnVoice] | None:
        """The voice as far as its styles are ready, and whose it is; None while none is."""
        for speaker in self._candidates(wish, speakers):
            verdicts = {
                style: self._verdict(speaker, file, unchanged[file])
                for style, file in wish.styles.items()
                if file in unchanged
            }
            styles = {style: verdict for style, verdict in verdicts.items() if isinstance(verdict, Path)}
            if styles:
                return speaker.model.label, OwnVoice(
                    name=wish.name, description=f"{wish.name} ({speaker.model.label})", styles=styles
                )
            bad = [verdict for verdict in verdicts.values() if isinstance(verdict, _Bad)]
            if bad and self._is_last(speaker, wish):
                self._tell(wish.origin, bad[0].reason)
        return None

    def _candidates(self, wish: DroppedVoice, speakers: Sequence[_Speaker]) -> Iterator[_Speaker]:
        """Who may speak it. A recording is for the most important model; an exported voice for the one that it fits."""
        if wish.model is not None:
            yield from (speaker for speaker in speakers if speaker.model.label == wish.model)
            return
        first = self._labels[0] if self._labels else None
        is_exported = all(_is_exported(file) for file in wish.styles.values())
        for speaker in speakers:
            if not speaker.model.is_hidden and (is_exported or speaker.model.label == first):
                yield speaker

    def _is_last(self, speaker: _Speaker, wish: DroppedVoice) -> bool:
        """Whether no other model could still speak it."""
        if wish.model is not None or not all(map(_is_exported, wish.styles.values())):
            return True
        return speaker.model.label == self._labels[-1]

    def _verdict(self, speaker: _Speaker, file: Path, identity: Identity) -> _Verdict | None:
        """The voice's file, or why there is none; None while the recording is being heard."""
        key = (speaker.model.label, file, identity)
        memory = self._memory
        verdict = memory.verdicts.get(key)
        if isinstance(verdict, _Bad) and verdict.until_seconds < time.monotonic():
            del memory.verdicts[key]
        if key not in memory.verdicts:
            if _is_exported(file):
                memory.verdicts[key] = _examined(speaker.bundle, file)
            elif key not in memory.hearing:
                memory.hearing[key] = self._hearer.submit(self._heard, speaker, file)
            elif memory.hearing[key].done():
                memory.verdicts[key] = memory.hearing.pop(key).result()
        return memory.verdicts.get(key)

    def _heard(self, speaker: _Speaker, recording: Path) -> _Verdict:
        """Have a recording heard, unless that was done before. Runs on the hearer's thread."""
        try:
            directory = heard_directory(self._data_dir, speaker.model.label, speaker.bundle)
            target = directory / "own" / f"{file_hash(recording)}{SUFFIX}"
            if not looks_whole(target):
                logger.info("%s: %s hears it", recording, speaker.model.label)
                hear(speaker.bundle, str(recording), target, local_files_only=True, stop=self._stop)
        except Cancelled:
            return _Bad("the service is stopping")
        except VoiceError as error:
            return _Bad(str(error))
        except (SpeechError, OSError) as error:
            return _Bad(str(error), until_seconds=time.monotonic() + _AGAIN_SECONDS)
        except Exception as error:  # one recording must not end the service of others
            logger.exception("%s: cannot be heard", recording)
            return _Bad(type(error).__name__)
        finally:
            self._wake.set()
        return target

    def _tell(self, origin: Path, reason: str) -> None:
        """Say once what is wrong with a file."""
        if (origin, reason) not in self._memory.told:
            self._memory.told.add((origin, reason))
            text = reason if reason.startswith(str(origin)) else f"{origin}: {reason}"
            logger.warning("a voice that cannot be used: %s", text)


def _publish(speaker: _Speaker, voices: tuple[OwnVoice, ...]) -> None:
    if voices == speaker.published:
        return
    before, now = ({voice.name for voice in some} for some in (speaker.published, voices))
    speaker.synthesizer.speak_also_as(voices)
    speaker.published = voices
    for name in sorted(now - before):
        logger.info("the voice %s is there (%s)", name, speaker.model.label)
    for name in sorted(before - now):
        logger.info("the voice %s is gone (%s)", name, speaker.model.label)


def _speaks(model: WantedModel, source: VoiceSource) -> bool:
    return source.model == (model.variant_of or model.label) and source.steps == (
        model.steps if model.is_hidden else None
    )


def _examined(bundle: Bundle, file: Path) -> _Verdict:
    """Whether an exported voice fits the model."""
    sizes = bundle.config.flow_lm.transformer
    try:
        check_fits(
            read_state(file),
            layers=sizes.num_layers,
            kv_heads=sizes.kv_heads,
            head_dim=sizes.head_dim,
            fingerprint=bundle.fingerprint,
            label=str(file),
        )
    except VoiceError as error:
        return _Bad(str(error))
    return file


def _is_exported(file: Path) -> bool:
    return file.suffix.lower() == SUFFIX


def _identity(file: Path) -> Identity | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
