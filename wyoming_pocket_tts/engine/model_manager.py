"""Load, unload, reload; leases; voice -> model."""

import gc
import logging
import math
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Condition, Event, Thread
from time import monotonic

from wyoming_pocket_tts.core.errors import Cancelled, ModelError, TtsError, fault_kind, format_exception_without_text
from wyoming_pocket_tts.core.events import Observer
from wyoming_pocket_tts.core.system import trim_heap
from wyoming_pocket_tts.core.types import (
    LoadedSynthesizer,
    Pcm,
    Pending,
    SynthesisRequest,
    Synthesizer,
    Voice,
    close,
)
from wyoming_pocket_tts.engine.eviction import (
    HUNG,
    Lease,
    LoadDecision,
    ManagedModel,
    ManagerTimeouts,
    ModelInstance,
    ModelPool,
    Wakes,
)

_LOGGER = logging.getLogger(__name__)

_TICK_SECONDS = 1.0
_SHORTEST_TICK_SECONDS = 0.01
_JOIN_SECONDS = 10.0
_STOPPING = "the service is stopping"
_MEBIBYTE = 1 << 20


class ModelManager:
    """Owns a thread that ticks and, for each model that is being loaded, one that loads it. ``ModelPool`` decides.

    ``budget_bytes`` is what the models may take together, as far as possible; infinity for no limit.
    """

    def __init__(
        self,
        *,
        budget_bytes: float = math.inf,
        patience: ManagerTimeouts | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.clock = clock
        self._observer = Observer()
        self._changed = Condition()  # guards all that follows
        self._pool = ModelPool(budget_bytes=budget_bytes, patience=patience)
        self._loading: list[Thread] = []
        self._has_warned = False
        self._closed = False
        self._wake = Event()
        self._thread = Thread(target=self._run, name="residency", daemon=True)

    @property
    def is_limited(self) -> bool:
        """Whether there is a budget: then a model that is not needed at once is loaded when it is asked for."""
        return not math.isinf(self._pool.budget_bytes)

    def observe(self, observer: Observer) -> None:
        """Notify an observer of hangs and reloads. Before ``start``."""
        self._observer = observer

    def add(
        self,
        name: str,
        bring: Callable[[], LoadedSynthesizer],
        *,
        title: str,
        size_bytes: int,
        voices: Callable[[], Sequence[Voice]],
        speaker: LoadedSynthesizer | None = None,
        stays: Callable[[], bool] = lambda: True,
    ) -> "ManagedSynthesizer":
        """Manage a model from now on; for the arguments see ``ManagedModel``.

        ``voices`` lists its voices, loaded or not, and is cheap. ``speaker`` is its instance if it is loaded already.
        """
        model = ManagedModel(name, title, bring, size_bytes, stays)
        if size_bytes > self._pool.budget_bytes:
            self._warn(
                "%s alone takes about %.0f MB in memory, more than models.memory_budget_mb (%.0f)", title, size_bytes
            )
        with self._changed:
            self._pool.add(model, speaker)
        self._wake.set()
        return ManagedSynthesizer(self, model, voices)

    def is_loaded(self, name: str) -> bool:
        with self._changed:
            return any(model.name == name and model.loaded is not None for model in self._pool.models)

    def start(self) -> None:
        """Begin to tick. A model that is asked for before is loaded all the same."""
        self._thread.start()

    def stop(self) -> None:
        """Go on: what is still synthesized while the service stops may need a model."""

    def close(self) -> None:
        with self._deciding() as wakes:
            self._closed = True
            waiting = [lease for model in self._pool.models for lease in model.waiting]
            wakes.extend(self._pool.refuse(waiting, Cancelled(_STOPPING)))
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join()
        for thread in self._loading:  # no more are begun
            thread.join(_JOIN_SECONDS)
        for loaded in self._pool.there:
            if loaded.synthesizer is not None:
                loaded.synthesizer.close()

    # Leases

    def acquire(self, model: ManagedModel) -> Lease:
        """Ask for a model, which is loaded if need be; ``release`` the lease in the end.

        Raises ``ModelError`` if it broke and cannot be reloaded now, ``Cancelled`` if the service is stopping.
        """
        with self._deciding() as wakes:
            if self._closed:
                raise Cancelled(_STOPPING)
            lease = self._pool.acquire(model, self.clock())
            if lease.loaded is not None:
                return lease
            wakes.extend(self._begin_loads())
            comes_later = self._pool.look_again_at < math.inf
        if comes_later:
            self._wake.set()
        return lease

    def is_ready(self, lease: Lease, wake: Callable[[], None]) -> bool:
        """Whether ``wait_for`` returns at once; if not, ``wake`` is called once when it does, from any thread."""
        with self._changed:
            if not lease.is_decided:
                lease.wake = wake
            return lease.is_decided

    def wait_for(self, lease: Lease) -> LoadedSynthesizer:
        """Wait for the model; raises why it cannot be had."""
        if lease.loaded is None:
            with self._changed:
                self._changed.wait_for(lambda: lease.is_decided)
        if lease.error is not None:
            raise lease.error
        assert lease.loaded is not None, "else there is an error"  # noqa: S101  (our own invariant)
        assert lease.loaded.synthesizer is not None, "it is not unloaded while it is lent"  # noqa: S101  (as above)
        return lease.loaded.synthesizer

    def note_success(self, lease: Lease) -> None:
        with self._changed:
            self._pool.succeeded(lease)

    def release(self, lease: Lease) -> None:
        """Give a lease back. Does not wait; may be called more than once."""
        with self._changed:
            self._pool.release(lease, self.clock())

    def note_failure(self, lease: Lease, error: BaseException) -> None:
        """A call has failed; of our own errors only a ``ModelError`` is the model's fault."""
        if isinstance(error, TtsError) and not isinstance(error, ModelError):
            return
        with self._changed:
            is_broken = self._pool.failed(lease, fault_kind(error), self.clock())
        if is_broken:
            self._wake.set()

    @contextmanager
    def _deciding(self) -> Iterator[Wakes]:
        """Hold the lock; afterwards, without it, make the calls that are in the list."""
        wakes: Wakes = []
        with self._changed:
            yield wakes
            self._changed.notify_all()
        for wake in wakes:
            wake()

    # Ticking

    def tick(self) -> None:
        """Act on what time has brought: models that hang, broke, are idle, or can be loaded; leases that are late."""
        now = self.clock()
        with self._deciding() as wakes:
            broken = self._pool.broken_models(now)
            leaving = self._pool.evictable(now)
            wakes.extend(self._pool.refuse_late(now))
        for loaded in broken:
            self._end(loaded)
        for loaded in leaving:
            self._unload(loaded)
        with self._deciding() as wakes:
            wakes.extend(self._begin_loads())

    def _run(self) -> None:
        while not self._closed:
            self._wake.clear()
            try:
                self.tick()
            except Exception as error:  # noqa: BLE001  (the next tick may fare better)
                told = format_exception_without_text(error, text=None)
                _LOGGER.error("models in memory cannot be watched:\n%s", told)  # noqa: TRY400
            until = self._pool.look_again_at - self.clock()
            self._wake.wait(min(_TICK_SECONDS, max(_SHORTEST_TICK_SECONDS, until)))

    def _end(self, loaded: ModelInstance) -> None:
        """End the streams of a broken instance; if only streams failed, those under way may yet be fine."""
        title, synthesizer = loaded.model.title, loaded.synthesizer
        assert synthesizer is not None, "it is in memory"  # noqa: S101  (our own invariant)
        if loaded.broken == HUNG:
            self._observer.engine_fault(HUNG)
            _LOGGER.error("%s does not come to an end: what it speaks is broken off, and it is opened anew", title)
            synthesizer.close(0.0, ModelError(f"{title} hung; it is opened anew, ask again"))
        else:
            _LOGGER.error("%s has failed several times in a row (%s): it is opened anew", title, loaded.broken)
            if loaded.broken == "memory":  # it has to go before another comes
                synthesizer.close(reason=ModelError(f"{title} ran out of memory; it is opened anew, ask again"))

    def _unload(self, loaded: ModelInstance) -> None:
        synthesizer, loaded.synthesizer = loaded.synthesizer, None  # a stale lease does not keep it in memory
        assert synthesizer is not None, "it is in memory"  # noqa: S101  (our own invariant)
        synthesizer.close()
        remains = weakref.ref(synthesizer)
        del synthesizer
        if remains() is not None:
            gc.collect()  # stops all threads for some 80 ms, so only where something refers to itself
        trim_heap()
        _LOGGER.info("%s has left memory", loaded.model.title)

    # Loading

    def _begin_loads(self) -> Wakes:
        """Begin to load what can be loaded, with the lock; return what to call where there is no thread for it."""
        wakes: Wakes = []
        while not self._closed and (decision := self._pool.next_load(self.clock())) is not None:
            if decision.is_beyond and not self._has_warned:
                self._has_warned = True
                text = "%s is loaded, and models take about %.0f MB now: more than models.memory_budget_mb (%.0f)"
                self._warn(text, decision.model.title, self._pool.size_bytes)
            model = decision.model
            thread = Thread(target=self._load, args=(decision,), name=f"loads-{model.name}", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # the system is out of threads
                reason = ModelError(f"{model.title} cannot be loaded now: {error}; ask again later")
                wakes.extend(self._pool.not_arrived(model, reason))
            else:
                self._loading = [*(each for each in self._loading if each.is_alive()), thread]
        return wakes

    def _warn(self, text: str, title: str, size_bytes: int) -> None:
        _LOGGER.warning(text, title, size_bytes / _MEBIBYTE, self._pool.budget_bytes / _MEBIBYTE)

    def _load(self, decision: LoadDecision) -> None:
        """Make room, and load a model. Runs on a thread of its own."""
        model, began = decision.model, self.clock()
        synthesizer: LoadedSynthesizer | None = None
        error: TtsError = Cancelled(_STOPPING)
        try:
            for loaded in decision.leaving:
                self._unload(loaded)
            synthesizer = model.bring()
        except TtsError as reason:
            error = reason
        except BaseException as reason:  # noqa: BLE001  (it is raised again where a stream waits)
            _LOGGER.error("%s cannot be loaded:\n%s", model.title, format_exception_without_text(reason, text=None))  # noqa: TRY400
            error = ModelError(f"{model.title} cannot be loaded ({type(reason).__name__}); the log says more")
        was_rebuilt = False
        with self._deciding() as wakes:
            if synthesizer is None or self._closed:
                wakes.extend(self._pool.not_arrived(model, error))
            else:
                was_rebuilt, woken = self._pool.arrived(model, synthesizer, self.clock())
                wakes.extend(woken)
            is_closed = self._closed
        if synthesizer is not None and is_closed:
            synthesizer.close()
        elif synthesizer is not None:
            _LOGGER.info("%s has come into memory (%.1f s)", model.title, self.clock() - began)
        elif not isinstance(error, Cancelled):
            _LOGGER.warning("%s cannot be loaded; whoever asks next has it tried again: %s", model.title, error)
        if was_rebuilt:
            self._observer.model_reloaded(model.name)


class ManagedSynthesizer(Synthesizer):
    """A model that need not be in memory; each of its streams holds a lease."""

    def __init__(self, manager: ModelManager, model: ManagedModel, voices: Callable[[], Sequence[Voice]]) -> None:
        self._manager = manager
        self._model = model
        self._voices = voices

    def voices(self) -> Sequence[Voice]:
        return self._voices()

    def stream(self, request: SynthesisRequest, on_ready: Callable[[], None] | None = None) -> Iterator[Pcm | Pending]:
        """Wait for the model without a thread, then synthesize; a ``ModelError`` if it cannot be loaded."""
        manager = self._manager
        lease = manager.acquire(self._model)
        blocks: Iterator[Pcm | Pending] | None = None
        try:
            while on_ready is not None and lease.loaded is None and not manager.is_ready(lease, on_ready):
                yield Pending.MODEL
            synthesizer = manager.wait_for(lease)
            blocks = synthesizer.stream(request, on_ready)
            del synthesizer
            while True:
                lease.called_at = manager.clock()
                try:
                    block = next(blocks, None)
                except BaseException as error:
                    manager.note_failure(lease, error)
                    raise
                finally:
                    lease.called_at = None
                if block is None:
                    break
                yield block
            manager.note_success(lease)
        finally:
            try:
                close(blocks)
            finally:
                manager.release(lease)
