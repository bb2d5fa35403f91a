"""Contract: `Voice`, `SynthesisRequest`, `SynthesisOptions`, `Synthesizer`, `Sequence` states."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")

Pcm = NDArray[np.int16]
"""Mono samples [n], native-endian signed 16 bit, at the voice's ``sample_rate_hz``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """A way to speak that a client can ask for by name."""

    name: str
    """Unique among all voices; what clients send."""
    description: str
    """What people read in a list of voices."""
    languages: tuple[str, ...]
    """BCP-47 tags, the main one first, for example ``("en-US",)``."""
    sample_rate_hz: int
    speakers: tuple[str, ...] = ()
    """Styles of this voice that a client may ask for; the first is the default."""
    installed: bool = True
    """Whether it can speak now, without a download."""
    attribution_name: str = ""
    attribution_url: str = ""
    version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TextOptions:
    """What becomes of a text before a voice gets it."""

    normalize: bool = True
    """Whether numbers, units, markup and the like become what a person would say."""
    emoji: Literal["drop", "speak"] = "drop"
    replacements: tuple[tuple[str, str], ...] = ()
    """What to say instead of what is written: before anything else, and then read like the rest."""
    pronunciations: tuple[tuple[str, str], ...] = ()
    """Words, and how to write them so that the voice says them right: after everything else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SilenceOptions:
    """Silence around speech, in seconds."""

    before: float = 0.0
    """Ahead of the first sound of an answer."""
    between: float = 0.0
    """Between two sentences, beside the pause that the voice makes itself."""
    after: float = 0.0
    """Behind the last sound of an answer."""


SILENT_DB: Final = -100.0
"""Gain at which nothing is left of 16 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SynthesisOptions:
    """How a voice is to speak; the defaults leave it as it is."""

    speed: float = 1.0
    """Tempo, 0.5 to 2; the pitch stays."""
    volume_db: float = 0.0
    """Gain; what would be too loud is limited softly. At ``SILENT_DB`` and below, nothing is heard."""
    rate_hz: int | None = None
    """Samples per second to deliver; None for the voice's own."""
    temperature: float | None = None
    """Of the model's sampler; None for the model's own. Voices that have none ignore it, as they do the next."""
    eos_threshold: float | None = None
    """Where the model's end of speech lies; None for the model's own."""
    pauses: SilenceOptions = SilenceOptions()
    reading: TextOptions = TextOptions()


@dataclass(frozen=True, slots=True, kw_only=True)
class SynthesisRequest:
    """One piece of text to speak, usually a sentence, with a voice that exists."""

    text: str
    voice: Voice
    speaker: str | None = None
    manner: SynthesisOptions = SynthesisOptions()
    language: str | None = None
    """BCP-47 tag of the text where it is not the voice's own."""


class Patient(Protocol):
    """What an iterator of ``synthesize`` may be besides: its speech is made elsewhere, and need not be waited for."""

    def ready(self, wake: Callable[[], None]) -> bool:
        """Whether the next ``next`` returns or raises without waiting for somebody else. Begins the speech.

        If not, ``wake`` is called once when it is so: from any thread, so it must return at once. The last one counts;
        closing forgets it.

        Raises:
            SpeechError: as ``next`` does.
        """
        ...

    @property
    def waits_for_model(self) -> bool:
        """Whether ``ready`` said no since the model is not in memory, which tells nothing of how fast it computes.

        May be left out where the model always is.
        """
        ...


class Synthesizer(Protocol):
    """Turns requests into audio. Methods may be called from any thread, several at a time."""

    def voices(self) -> Sequence[Voice]:
        """All voices in a stable order, the default first. Cheap: called for every ``describe``."""
        ...

    def synthesize(self, request: SynthesisRequest) -> Iterator[Pcm]:
        """Yield the speech block by block, each as soon as it exists (20 to 300 ms of audio).

        No work happens before the first ``next``. Closing the iterator between blocks cancels the rest and frees
        what it held. May yield nothing for a text without anything to say. The iterator may be ``Patient``.

        Raises:
            SpeechError: the text cannot be spoken; blocks that were yielded before stay valid.
        """
        ...


class Derived(Iterator[Pcm], Generic[T]):
    """A speech that is made of another one, and as patient as that is. Nothing happens before it is asked for.

    Args:
        begin: gives the other one.
        change: makes blocks of it, from its iterator.
    """

    def __init__(self, begin: Callable[[], Iterator[T]], change: Callable[[Iterator[T]], Iterator[Pcm]]) -> None:
        self._begin: Callable[[], Iterator[T]] | None = begin
        self._change = change
        self._source: Iterator[T] | None = None
        self._blocks: Iterator[Pcm] = iter(())

    def ready(self, wake: Callable[[], None]) -> bool:
        """See ``Patient``; always true where the other one is not."""
        self._begin_once()
        return is_ready(self._source, wake)

    @property
    def waits_for_model(self) -> bool:
        """See ``Patient``."""
        return waits_for_model(self._source)

    def __next__(self) -> Pcm:
        """Make the next block. Whatever fails ends and closes the speech."""
        self._begin_once()
        try:
            return next(self._blocks)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End both."""
        self._begin = None
        blocks, source = self._blocks, self._source
        self._blocks, self._source = iter(()), None
        try:
            if blocks is not source:
                close(blocks)
        finally:
            close(source)  # also where the change never began: it could not close it

    def _begin_once(self) -> None:
        begin, self._begin = self._begin, None
        if begin is not None:
            self._source = begin()
            try:
                self._blocks = self._change(self._source)
            except BaseException:
                self.close()
                raise


def is_ready(blocks: Iterator[Any] | None, wake: Callable[[], None]) -> bool:
    """Ask an iterator that may be ``Patient``; others always are."""
    ready: Callable[[Callable[[], None]], bool] | None = getattr(blocks, "ready", None)
    return ready is None or ready(wake)


def waits_for_model(blocks: Iterator[Any] | None) -> bool:
    """Ask an iterator that may be ``Patient``; those that always have their model need not answer."""
    return bool(getattr(blocks, "waits_for_model", False))


def close(blocks: Iterator[Any] | None) -> None:
    """Close an iterator if it can be closed: generators can, plain iterators need not."""
    closing = getattr(blocks, "close", None)
    if closing is not None:
        closing()


Words = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionOverrides:
    """One layer of changes; what is None stays as the layers below have it. Units as in ``speech.Manner``."""

    speed: float | None = None
    volume_db: float | None = None
    rate_hz: int | None = None
    temperature: float | None = None
    eos_threshold: float | None = None
    pause_before: float | None = None
    """Seconds, as the two that follow."""
    pause_between: float | None = None
    pause_after: float | None = None
    normalize: bool | None = None
    emoji: Literal["drop", "speak"] | None = None
    replacements: Words = ()
    """Added to those of the layers below, and stronger."""
    pronunciations: Words = ()
    """Likewise."""

    def on(self, below: SynthesisOptions) -> SynthesisOptions:
        """Change a manner."""
        pauses, reading = below.pauses, below.reading
        return SynthesisOptions(
            speed=_either(self.speed, below.speed),
            volume_db=_either(self.volume_db, below.volume_db),
            rate_hz=self.rate_hz or below.rate_hz,
            temperature=below.temperature if self.temperature is None else self.temperature,
            eos_threshold=below.eos_threshold if self.eos_threshold is None else self.eos_threshold,
            pauses=SilenceOptions(
                before=_either(self.pause_before, pauses.before),
                between=_either(self.pause_between, pauses.between),
                after=_either(self.pause_after, pauses.after),
            ),
            reading=TextOptions(
                normalize=reading.normalize if self.normalize is None else self.normalize,
                emoji=self.emoji or reading.emoji,
                replacements=_laid_over(reading.replacements, self.replacements),
                pronunciations=_laid_over(reading.pronunciations, self.pronunciations),
            ),
        )


def _either(above: float | None, below: float) -> float:
    return below if above is None else above


def _laid_over(below: Words, above: Words) -> Words:
    """Words of both layers; what is written the same, whatever its case, has the meaning of the upper one."""
    if not above:
        return below  # the very same, of which there may be thousands
    taken = {written.casefold() for written, _ in above}
    return (*above, *(pair for pair in below if pair[0].casefold() not in taken))


class PlaybackClock:
    """Somebody who begins with the first piece, and after a gap goes on with the piece that ends it."""

    def __init__(self) -> None:
        self._until: float | None = None

    def add(self, seconds: float, now: float) -> None:
        """Count a piece of this length that arrives now."""
        self._until = seconds + (now if self._until is None else max(self._until, now))

    def lead(self, now: float) -> float:
        """Seconds that are left to hear; negative for how long there has been nothing. 0 before the first piece."""
        return 0.0 if self._until is None else self._until - now

    @property
    def until(self) -> float | None:
        """When there will be nothing left to hear; None before the first piece."""
        return self._until


Floats = NDArray[np.float32]


WeightArrays = Mapping[str, Floats]
