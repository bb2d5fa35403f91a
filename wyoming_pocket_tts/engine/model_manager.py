"""Load, unload, reload; leases; voice -> model."""

import gc
import logging
import math
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Condition, Event, Lock, Thread
from time import monotonic

from wyoming_pocket_tts.core.errors import (
    Cancelled,
    ModelError,
    TtsError,
    VoiceError,
    fault_kind,
    format_exception_without_text,
)
from wyoming_pocket_tts.core.events import NullObserver, Observer
from wyoming_pocket_tts.core.system import trim_heap
from wyoming_pocket_tts.core.types import Derived, Pcm, SynthesisRequest, Synthesizer, Voice, close, is_ready
from wyoming_pocket_tts.engine.eviction import (
    GONE,
    STUCK,
    Lease,
    LoadDecision,
    LoadedSynthesizer,
    ManagedModel,
    ManagerTimeouts,
    ModelInstance,
    ModelPool,
    Wakes,
)

_LOGGER = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0
_SHORTEST_LOOK_SECONDS = 0.01
_JOIN_SECONDS = 10.0
_STOPPING = "the service is stopping"
_MEBIBYTE = 1 << 20


class ModelManager:
    """Those who can be in memory, and those who are.

    Args:
        budget_bytes: what they may take together, as far as possible; infinity for any amount.
        patience: how long things may take.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        *,
        budget_bytes: float = math.inf,
        patience: ManagerTimeouts | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._clock = clock
        self._observer: Observer = NullObserver()
        self._changed = Condition()  # guards all that follows
        self._ledger = ModelPool(budget_bytes=budget_bytes, patience=patience)
        self._loading: list[Thread] = []
        self._has_warned = False
        self._closed = False
        self._wake = Event()
        self._thread = Thread(target=self._run, name="residency", daemon=True)

    @property
    def is_limited(self) -> bool:
        """Whether there is a budget: then who is not needed at once comes when somebody asks."""
        return not math.isinf(self._ledger.budget_bytes)

    def observe(self, observer: Observer) -> None:
        """Let somebody hear what hangs and what is opened anew. Before ``start``."""
        self._observer = observer

    def add(
        self,
        name: str,
        bring: Callable[[], LoadedSynthesizer],
        *,
        title: str,
        size_bytes: int,
        speaker: LoadedSynthesizer | None = None,
        stays: Callable[[], bool] = lambda: True,
    ) -> ManagedModel:
        """Note somebody who can be in memory from now on.

        Args:
            name: what observers hear; everybody has another.
            bring: brings it into memory; on a thread of its own. May take seconds, and raise.
            title: what people read in messages and the log.
            size_bytes: what it takes in memory, about.
            speaker: it, if it is there already.
            stays: whether it is to be in memory without being asked for, as far as room allows. Answers at once.
        """
        place = ManagedModel(name, title, bring, size_bytes, stays)
        if size_bytes > self._ledger.budget_bytes:
            self._warn("%s alone takes about %.0f MB in memory, more than models.memory_mb (%.0f)", title, size_bytes)
        with self._changed:
            self._ledger.add(place, speaker)
        self._wake.set()
        return place

    def is_loaded(self, name: str) -> bool:
        """Whether it is in memory now."""
        with self._changed:
            return any(place.name == name and place.loaded is not None for place in self._ledger.places)

    def start(self) -> None:
        """Begin to watch. Who is asked for before is brought all the same."""
        self._thread.start()

    def stop(self) -> None:
        """Go on: what is still spoken while the service stops may need somebody."""

    def close(self) -> None:
        """Join the threads, and close all that is in memory. Those who wait are told."""
        with self._deciding() as wakes:
            self._closed = True
            waiting = [lease for place in self._ledger.places for lease in place.waiting]
            wakes.extend(self._ledger.refuse(waiting, Cancelled(_STOPPING)))
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join()
        for thread in self._loading:  # no more are begun
            thread.join(_JOIN_SECONDS)
        for loaded in self._ledger.there:
            loaded.speaker.close()

    # For who speaks

    def ask(self, place: ManagedModel) -> Lease:
        """Wish to speak with somebody, who is brought if need be. Whoever asks gives the lease back.

        Raises:
            ModelError: it broke, and is not to be had now.
            Cancelled: the service is stopping.
        """
        with self._deciding() as wakes:
            if self._closed:
                raise Cancelled(_STOPPING)
            lease = self._ledger.ask(place, self._clock())
            wakes.extend(self._bring_those_wanted())
            comes_later = self._ledger.look_again_at < math.inf
        if comes_later:
            self._wake.set()
        return lease

    def is_ready(self, lease: Lease, wake: Callable[[], None]) -> bool:
        """Whether ``speaker_of`` need not wait; if not, ``wake`` is called once when it is so, from any thread."""
        with self._changed:
            if not lease.is_decided:
                lease.wake = wake
            return lease.is_decided

    def speaker_of(self, lease: Lease) -> LoadedSynthesizer:
        """Wait for who was asked for.

        Raises:
            SpeechError: it cannot be had.
        """
        with self._changed:
            self._changed.wait_for(lambda: lease.is_decided)
        if lease.error is not None:
            raise lease.error
        assert lease.loaded is not None, "else there is an error"  # noqa: S101  (our own invariant)
        return lease.loaded.speaker

    @contextmanager
    def calling(self, lease: Lease) -> Iterator[None]:
        """Note that a call into the speaker is under way, and whether the model fails."""
        lease.called_at = self._clock()
        try:
            yield
        except BaseException as error:
            if isinstance(error, ModelError) or not isinstance(error, TtsError):
                self._note_failure(lease, error)
            raise
        finally:
            lease.called_at = None

    def note_success(self, lease: Lease) -> None:
        """A speech has come to its end."""
        with self._changed:
            self._ledger.succeeded(lease)

    def give_back(self, lease: Lease) -> None:
        """End a wish or a speech. Does not wait; may be called more than once."""
        with self._changed:
            self._ledger.give_back(lease, self._clock())

    def _note_failure(self, lease: Lease, error: BaseException) -> None:
        with self._changed:
            is_broken = self._ledger.failed(lease, fault_kind(error), self._clock())
        if is_broken:
            self._wake.set()

    @contextmanager
    def _deciding(self) -> Iterator[Wakes]:
        """Hold the lock; afterwards, without it, those hear of what was decided who are in the list."""
        wakes: Wakes = []
        with self._changed:
            yield wakes
            self._changed.notify_all()
        for wake in wakes:
            wake()

    # Watching

    def look(self) -> None:
        """See what time has brought: who hangs or broke, who may leave, who waits in vain, who can come."""
        now = self._clock()
        with self._deciding() as wakes:
            broken = self._ledger.those_broken(now)
            leaving = self._ledger.those_leaving(now)
            wakes.extend(self._ledger.refuse_late(now))
        for loaded in broken:
            self._end(loaded)
        for loaded in leaving:
            self._dismiss(loaded)
        with self._deciding() as wakes:
            wakes.extend(self._bring_those_wanted())

    def _run(self) -> None:
        while not self._closed:
            self._wake.clear()
            try:
                self.look()
            except Exception as error:  # noqa: BLE001  (the next look may fare better)
                told = format_exception_without_text(error, text=None)
                _LOGGER.error("models in memory cannot be watched:\n%s", told)  # noqa: TRY400
            until = self._ledger.look_again_at - self._clock()
            self._wake.wait(min(_LOOK_SECONDS, max(_SHORTEST_LOOK_SECONDS, until)))

    def _end(self, loaded: ModelInstance) -> None:
        """Break off what a broken one speaks; if only its speeches failed, those under way may yet be fine."""
        title = loaded.place.title
        if loaded.broken == STUCK:
            self._observer.fault(STUCK)
            _LOGGER.error("%s does not come to an end: what it speaks is broken off, and it is opened anew", title)
            loaded.speaker.close(0.0, ModelError(f"{title} hung; it is opened anew, ask again"))
        else:
            _LOGGER.error("%s has failed several times in a row (%s): it is opened anew", title, loaded.broken)
            if loaded.broken == "memory":  # it has to go before another comes
                loaded.speaker.close(reason=ModelError(f"{title} ran out of memory; it is opened anew, ask again"))

    def _dismiss(self, loaded: ModelInstance) -> None:
        """Take out of memory whom nobody speaks with."""
        speaker, loaded.speaker = loaded.speaker, GONE  # whoever still knows the place does not keep it in memory
        speaker.close()
        remains = weakref.ref(speaker)
        del speaker
        if remains() is not None:
            gc.collect()  # holds all threads up for some 80 ms, so only where something holds itself
        trim_heap()
        _LOGGER.info("%s has left memory", loaded.place.title)

    # Bringing

    def _bring_those_wanted(self) -> Wakes:
        """Begin to bring who can come, with the lock; return who is to be told that there is no thread for it."""
        wakes: Wakes = []
        while not self._closed and (arrival := self._ledger.next_arrival(self._clock())) is not None:
            if arrival.is_beyond and not self._has_warned:
                self._has_warned = True
                text = "%s is loaded, and models take about %.0f MB now: more than models.memory_mb (%.0f)"
                self._warn(text, arrival.place.title, self._ledger.size_bytes)
            place = arrival.place
            thread = Thread(target=self._bring, args=(arrival,), name=f"loads-{place.name}", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # the system is out of threads
                reason = ModelError(f"{place.title} cannot be loaded now: {error}; ask again later")
                wakes.extend(self._ledger.not_arrived(place, reason))
            else:
                self._loading = [*(each for each in self._loading if each.is_alive()), thread]
        return wakes

    def _warn(self, text: str, title: str, size_bytes: int) -> None:
        _LOGGER.warning(text, title, size_bytes / _MEBIBYTE, self._ledger.budget_bytes / _MEBIBYTE)

    def _bring(self, arrival: LoadDecision) -> None:
        """Make room, and bring somebody. Runs on a thread of its own."""
        place, began = arrival.place, self._clock()
        speaker: LoadedSynthesizer | None = None
        error: TtsError = Cancelled(_STOPPING)
        try:
            for loaded in arrival.leaving:
                self._dismiss(loaded)
            speaker = place.bring()
        except TtsError as reason:
            error = reason
        except BaseException as reason:  # noqa: BLE001  (it is raised again where somebody waits)
            _LOGGER.error("%s cannot be loaded:\n%s", place.title, format_exception_without_text(reason, text=None))  # noqa: TRY400
            error = ModelError(f"{place.title} cannot be loaded ({type(reason).__name__}); the log says more")
        was_rebuilt = False
        with self._deciding() as wakes:
            if speaker is None or self._closed:
                wakes.extend(self._ledger.not_arrived(place, error))
            else:
                was_rebuilt, woken = self._ledger.arrived(place, speaker, self._clock())
                wakes.extend(woken)
            is_closed = self._closed
        if speaker is not None and is_closed:
            speaker.close()
        elif speaker is not None:
            _LOGGER.info("%s has come into memory (%.1f s)", place.title, self._clock() - began)
        elif not isinstance(error, Cancelled):
            _LOGGER.warning("%s cannot be loaded; whoever asks next has it tried again: %s", place.title, error)
        if was_rebuilt:
            self._observer.rebuilt(place.name)


class ManagedSynthesizer:
    """Implements ``speech.Synthesizer``.

    Args:
        residency: brings it.
        place: who.
        voices: its voices, whether it is in memory or not. Cheap.
    """

    def __init__(self, residency: ModelManager, place: ManagedModel, voices: Callable[[], Sequence[Voice]]) -> None:
        self._residency = residency
        self._place = place
        self._voices = voices

    def voices(self) -> Sequence[Voice]:
        """Its voices, the default one first."""
        return self._voices()

    def synthesize(self, request: SynthesisRequest) -> "ResidentSpeech":
        """Speak as it does, as soon as it is in memory.

        Raises:
            ModelError: it could not be brought into memory, or has failed.
            SpeechError: as it raises them.
        """
        return ResidentSpeech(self._residency, self._place, request)


class ResidentSpeech(Iterator[Pcm]):
    """One speech. Nothing happens before it is asked for; ``speech.Patient`` as long as its model is not there."""

    def __init__(self, residency: ModelManager, place: ManagedModel, request: SynthesisRequest) -> None:
        self._residency = residency
        self._place = place
        self._request: SynthesisRequest | None = request
        self._lease: Lease | None = None
        self._blocks: Iterator[Pcm] | None = None

    def ready(self, wake: Callable[[], None]) -> bool:
        """See ``Patient``."""
        lease = self._ask_once()
        if lease is None:
            return True
        if self._blocks is None and not self._residency.is_ready(lease, wake):
            return False
        blocks = self._begin_once(lease)
        with self._residency.calling(lease):
            return is_ready(blocks, wake)

    @property
    def waits_for_model(self) -> bool:
        """See ``Patient``."""
        return self._lease is not None and not self._lease.is_decided

    def __next__(self) -> Pcm:
        """Make the next block; waits for the model if it is not there. Whatever fails ends and closes the speech."""
        lease = self._ask_once()
        if lease is None:
            raise StopIteration
        try:
            blocks = self._begin_once(lease)
            with self._residency.calling(lease):
                block = next(blocks, None)
            if block is None:
                self._residency.note_success(lease)
                raise StopIteration  # noqa: TRY301  (closed like everything that ends here)
        except BaseException:
            self.close()
            raise
        return block

    def close(self) -> None:
        """End it, and let the model leave if it must."""
        self._request = None
        lease, self._lease = self._lease, None
        blocks, self._blocks = self._blocks, None
        try:
            close(blocks)
        finally:
            if lease is not None:
                self._residency.give_back(lease)

    def _ask_once(self) -> Lease | None:
        """The lease; None when the speech is over."""
        if self._lease is None and self._request is not None:
            self._lease = self._residency.ask(self._place)
        return self._lease

    def _begin_once(self, lease: Lease) -> Iterator[Pcm]:
        if self._blocks is None:
            assert self._request is not None, "it is not over"  # noqa: S101  (our own invariant)
            speaker = self._residency.speaker_of(lease)
            with self._residency.calling(lease):
                self._blocks = speaker.synthesize(self._request)
        return self._blocks


class Threadless:
    """A synthesizer that speaks on its readers' threads alone, as a ``Speaker``. There is nothing to close."""

    def __init__(self, synthesizer: Synthesizer) -> None:
        self._synthesizer = synthesizer

    def synthesize(self, request: SynthesisRequest) -> Iterator[Pcm]:
        """As it does."""
        return self._synthesizer.synthesize(request)

    def close(self, deadline_seconds: float = 5.0, reason: TtsError | None = None) -> None:
        """Nothing runs between two blocks."""

    @property
    def busy_seconds(self) -> float:
        """Its readers know."""
        return 0.0

    @property
    def is_left_behind(self) -> bool:
        """Its readers know."""
        return False


_NAMES_REMEMBERED = 256


class ModelRouter:
    """Several synthesizers as one. Models stand before what is embedded: they are what one waited for.

    The order is that of the expectation and does not change when models come.

    Args:
        embedded: what speaks from the beginning, and whenever nothing else can.
        expected: the models that are on their way, in the order of preference, each with its voices: these are listed
            as they are given until the model comes.
    """

    def __init__(self, embedded: Synthesizer, expected: Mapping[str, Sequence[Voice]]) -> None:
        self._embedded = embedded
        self._expected = dict(expected)
        self._models: dict[str, Synthesizer] = {}
        self._lately: dict[str, Synthesizer] = {}
        self._lock = Lock()

    def add(self, name: str, model: Synthesizer) -> None:
        """Let a model speak from now on, in its expected place or behind the others; what is being spoken goes on."""
        with self._lock:
            self._models = {**self._models, name: model}

    def models(self) -> dict[str, str]:
        """The expected models, in their order: ``ready``, or ``coming``."""
        here = self._models
        return {name: "ready" if name in here else "coming" for name in self._expected}

    def has_models(self) -> bool:
        """Whether any model can speak."""
        return bool(self._models)

    def voices(self) -> Sequence[Voice]:
        """The voices of all models, here or on their way, then the embedded ones."""
        models = self._models
        expected = {**self._expected, **{name: () for name in models if name not in self._expected}}
        of_models = (
            voice
            for name, coming in expected.items()
            for voice in (models[name].voices() if name in models else coming)
        )
        return [*of_models, *self._embedded.voices()]

    def synthesize(self, request: SynthesisRequest) -> Derived[Pcm]:
        """Speak with whom the voice belongs to.

        Raises:
            VoiceError: the voice is nobody's, or of a model that has not come yet.
            SpeechError: the text cannot be spoken.
        """
        return Derived(lambda: self._speaker_of(request).synthesize(request), lambda blocks: blocks)

    def _speaker_of(self, request: SynthesisRequest) -> Synthesizer:
        name = request.voice.name
        for part in (*self._models.values(), self._embedded):
            if any(voice.name == name for voice in part.voices()):
                self._remember(name, part)
                return part
        if name in self._lately:  # it has gone from the list; an answer that began with it ends with it
            return self._lately[name]
        raise VoiceError(f"the voice '{request.voice.name}' is not there")

    def _remember(self, name: str, part: Synthesizer) -> None:
        if self._lately.get(name) is not part:
            with self._lock:
                self._lately = dict([*self._lately.items(), (name, part)][-_NAMES_REMEMBERED:])
