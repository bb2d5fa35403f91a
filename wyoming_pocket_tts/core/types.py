"""Contract: `Voice`, `SynthesisRequest`, `SynthesisOptions`, `Synthesizer`, `Sequence` states."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from typing import Final, Literal, Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Pcm = NDArray[np.int16]
"""Mono samples [n], native-endian signed 16 bit, at the voice's ``sample_rate_hz``."""

Words = tuple[tuple[str, str], ...]

SILENT_DB: Final = -100.0
"""Gain at which nothing is left of 16 bits."""

NEWCOMER_SECONDS: Final = 1.0
"""Streams and sequences are served by their deadlines: when the client's playback runs out of audio, earliest first.
The deadline of a new one is this long before it came, so that it starts at once and yet starves no other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """A voice, as clients see it or as an engine lists it, and what synthesizes it."""

    name: str
    """Unique among all voices; what clients send."""
    description: str
    languages: tuple[str, ...]
    """BCP-47 tags, the main one first, for example ``("en-US",)``."""
    sample_rate_hz: int
    speakers: tuple[str, ...] = ()
    """Styles of this voice that a client may ask for; the first is the default."""
    installed: bool = True
    """Whether it can be used now, without a download."""
    attribution_name: str = ""
    attribution_url: str = ""
    version: str | None = None
    files: Mapping[str, Path] = field(default_factory=dict, repr=False, hash=False)
    """Of a Pocket TTS voice: the file of each style, the default one first."""
    synthesizer: "Synthesizer | None" = field(default=None, repr=False, compare=False)
    """Set by the model router on the engines' voices."""
    engine_voice: "Voice | None" = field(default=None, repr=False, compare=False)
    """Of a voice in the catalog: the engine's voice behind it; None while the engine does not have it."""
    style: str | None = field(default=None, repr=False, compare=False)
    """Of a voice in the catalog that is one style of the engine's voice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextOptions:
    """How text is prepared for a voice."""

    normalize: bool = True
    """Whether numbers, units, markup and the like are written out as words."""
    emoji: Literal["drop", "speak"] = "drop"
    replacements: Words = ()
    """Applied before everything else; the result is normalised like the rest."""
    pronunciations: Words = ()
    """Words and their respelling for the voice; applied after everything else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SilenceOptions:
    """Silence around speech, in seconds."""

    before: float = 0.0
    between: float = 0.0
    """Between two sentences, beside the pause that the voice makes itself."""
    after: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SynthesisOptions:
    """How a voice is to speak; the defaults leave it as it is."""

    speed: float = 1.0
    """Tempo, 0.5 to 2; the pitch stays."""
    volume_db: float = 0.0
    """Gain, with a soft limiter. At ``SILENT_DB`` and below, nothing is heard."""
    rate_hz: int | None = None
    """Samples per second to deliver; None for the voice's own."""
    temperature: float | None = None
    """Of the model's sampler; None for the model's own. Ignored by voices without one, like the next."""
    eos_threshold: float | None = None
    """Threshold of the end-of-speech logit; None for the model's own."""
    pauses: SilenceOptions = SilenceOptions()
    text: TextOptions = TextOptions()


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionOverrides:
    """One layer of changes; None keeps the value of the layers below. Units as in ``SynthesisOptions``."""

    speed: float | None = None
    volume_db: float | None = None
    rate_hz: int | None = None
    temperature: float | None = None
    eos_threshold: float | None = None
    pause_before: float | None = None
    """Seconds, like the two that follow."""
    pause_between: float | None = None
    pause_after: float | None = None
    normalize: bool | None = None
    emoji: Literal["drop", "speak"] | None = None
    replacements: Words = ()
    """Added to those of the layers below, and stronger; likewise the next."""
    pronunciations: Words = ()

    def on(self, below: SynthesisOptions) -> SynthesisOptions:
        pauses, text = below.pauses, below.text
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
            text=TextOptions(
                normalize=text.normalize if self.normalize is None else self.normalize,
                emoji=self.emoji or text.emoji,
                replacements=_merged_words(text.replacements, self.replacements),
                pronunciations=_merged_words(text.pronunciations, self.pronunciations),
            ),
        )


def _either(above: float | None, below: float) -> float:
    return below if above is None else above


def _merged_words(below: Words, above: Words) -> Words:
    """Words of both layers; of those that differ only in case the upper layer's counts."""
    if not above:
        return below  # no copy: there may be thousands
    taken = {written.casefold() for written, _ in above}
    return (*above, *(pair for pair in below if pair[0].casefold() not in taken))


@dataclass(frozen=True, slots=True, kw_only=True)
class SynthesisRequest:
    """One segment of text to synthesize. Its voice says how: nothing is looked up by name any more."""

    text: str
    voice: Voice
    speaker: str | None = None
    options: SynthesisOptions = SynthesisOptions()
    language: str | None = None
    """BCP-47 tag of the text where it is not the voice's own."""


class Pending(Enum):
    """Yielded by ``Synthesizer.stream`` in place of a block that is not there yet."""

    FRAMES = auto()
    """The engine's thread is generating."""
    MODEL = auto()
    """The model is being loaded."""


class Synthesizer(ABC):
    """Turns requests into audio. Methods may be called from any thread, several at a time."""

    @abstractmethod
    def voices(self) -> Sequence[Voice]:
        """All voices in a stable order, the default first. Cheap: called for every ``describe``."""

    @abstractmethod
    def stream(self, request: SynthesisRequest, on_ready: Callable[[], None] | None = None) -> Iterator[Pcm | Pending]:
        """Generate blocks of 20 to 300 ms, each as soon as it exists; perhaps none.

        Where the next block needs a wait for another thread or a disk, ``Pending`` is yielded, and ``on_ready`` called
        once, from any thread, when the iterator can go on. With None the iterator blocks instead. No work happens
        before the first ``next``; closing the iterator between two blocks cancels the rest. Blocks that were yielded
        before a ``TtsError`` stay valid.
        """

    def synthesize(self, request: SynthesisRequest) -> Iterator[Pcm]:
        """As ``stream``, without ``Pending``."""
        return cast("Iterator[Pcm]", self.stream(request))


class LoadedSynthesizer(Synthesizer):
    """A synthesizer in memory."""

    @abstractmethod
    def close(self, deadline_seconds: float = 5.0, reason: Exception | None = None) -> None:
        """End its threads, and what is being synthesized with the reason as its error.

        A call that takes longer than the deadline is left behind in its thread.
        """

    @property
    def called_at(self) -> float | None:
        """When the call under way on a thread of its own began (monotonic seconds); None between calls."""
        return None


@runtime_checkable
class Closable(Protocol):
    """What generators are and plain iterators need not be."""

    def close(self) -> None: ...


def close(blocks: object) -> None:
    if isinstance(blocks, Closable):
        blocks.close()


Floats = NDArray[np.float32]


WeightArrays = Mapping[str, Floats]
