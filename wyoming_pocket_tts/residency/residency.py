"""Brings synthesizers into memory and out of it, and watches those that are there. Decides nothing: see ``ledger.py``.

Owns a thread that watches and, for each that is being brought, one that brings it. Knows no model and no client.
"""

import gc
import logging
import math
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition, Event, Thread
from time import monotonic

from wyoming_pocket_tts.engine.faults import described, kind_of
from wyoming_pocket_tts.engine.observer import Observer, Silent
from wyoming_pocket_tts.errors import Cancelled, ModelError, SpeechError
from wyoming_pocket_tts.memory import give_back
from wyoming_pocket_tts.residency.ledger import STUCK, Arrival, Ledger, Patience, Wakes
from wyoming_pocket_tts.residency.places import GONE, Lease, Loaded, Place, Speaker

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0
_SHORTEST_LOOK_SECONDS = 0.01
_JOIN_SECONDS = 10.0
_STOPPING = "the service is stopping"
_MEBIBYTE = 1 << 20


class Residency:
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
        patience: Patience | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._clock = clock
        self._observer: Observer = Silent()
        self._changed = Condition()  # guards all that follows
        self._ledger = Ledger(budget_bytes=budget_bytes, patience=patience)
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
        bring: Callable[[], Speaker],
        *,
        title: str,
        size_bytes: int,
        speaker: Speaker | None = None,
        stays: Callable[[], bool] = lambda: True,
    ) -> Place:
        """Note somebody who can be in memory from now on.

        Args:
            name: what observers hear; everybody has another.
            bring: brings it into memory; on a thread of its own. May take seconds, and raise.
            title: what people read in messages and the log.
            size_bytes: what it takes in memory, about.
            speaker: it, if it is there already.
            stays: whether it is to be in memory without being asked for, as far as room allows. Answers at once.
        """
        place = Place(name, title, bring, size_bytes, stays)
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

    def ask(self, place: Place) -> Lease:
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

    def speaker_of(self, lease: Lease) -> Speaker:
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
            if isinstance(error, ModelError) or not isinstance(error, SpeechError):
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
            is_broken = self._ledger.failed(lease, kind_of(error), self._clock())
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
                logger.error("models in memory cannot be watched:\n%s", described(error, text=None))  # noqa: TRY400
            until = self._ledger.look_again_at - self._clock()
            self._wake.wait(min(_LOOK_SECONDS, max(_SHORTEST_LOOK_SECONDS, until)))

    def _end(self, loaded: Loaded) -> None:
        """Break off what a broken one speaks; if only its speeches failed, those under way may yet be fine."""
        title = loaded.place.title
        if loaded.broken == STUCK:
            self._observer.fault(STUCK)
            logger.error("%s does not come to an end: what it speaks is broken off, and it is opened anew", title)
            loaded.speaker.close(0.0, ModelError(f"{title} hung; it is opened anew, ask again"))
        else:
            logger.error("%s has failed several times in a row (%s): it is opened anew", title, loaded.broken)
            if loaded.broken == "memory":  # it has to go before another comes
                loaded.speaker.close(reason=ModelError(f"{title} ran out of memory; it is opened anew, ask again"))

    def _dismiss(self, loaded: Loaded) -> None:
        """Take out of memory whom nobody speaks with."""
        speaker, loaded.speaker = loaded.speaker, GONE  # whoever still knows the place does not keep it in memory
        speaker.close()
        remains = weakref.ref(speaker)
        del speaker
        if remains() is not None:
            gc.collect()  # holds all threads up for some 80 ms, so only where something holds itself
        give_back()
        logger.info("%s has left memory", loaded.place.title)

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
        logger.warning(text, title, size_bytes / _MEBIBYTE, self._ledger.budget_bytes / _MEBIBYTE)

    def _bring(self, arrival: Arrival) -> None:
        """Make room, and bring somebody. Runs on a thread of its own."""
        place, began = arrival.place, self._clock()
        speaker: Speaker | None = None
        error: SpeechError = Cancelled(_STOPPING)
        try:
            for loaded in arrival.leaving:
                self._dismiss(loaded)
            speaker = place.bring()
        except SpeechError as reason:
            error = reason
        except BaseException as reason:  # noqa: BLE001  (it is raised again where somebody waits)
            logger.error("%s cannot be loaded:\n%s", place.title, described(reason, text=None))  # noqa: TRY400
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
            logger.info("%s has come into memory (%.1f s)", place.title, self._clock() - began)
        elif not isinstance(error, Cancelled):
            logger.warning("%s cannot be loaded; whoever asks next has it tried again: %s", place.title, error)
        if was_rebuilt:
            self._observer.rebuilt(place.name)
