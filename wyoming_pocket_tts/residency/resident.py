"""Speaks with somebody who need not be in memory: waits for it without a thread, and keeps it there while it speaks.

Knows no model and no budget.
"""

from collections.abc import Callable, Iterator, Sequence

from wyoming_pocket_tts.errors import SpeechError
from wyoming_pocket_tts.residency.places import Lease, Place
from wyoming_pocket_tts.residency.residency import Residency
from wyoming_pocket_tts.speech import Pcm, Request, Synthesizer, Voice, close, is_ready


class Resident:
    """Implements ``speech.Synthesizer``.

    Args:
        residency: brings it.
        place: who.
        voices: its voices, whether it is in memory or not. Cheap.
    """

    def __init__(self, residency: Residency, place: Place, voices: Callable[[], Sequence[Voice]]) -> None:
        self._residency = residency
        self._place = place
        self._voices = voices

    def voices(self) -> Sequence[Voice]:
        """Its voices, the default one first."""
        return self._voices()

    def synthesize(self, request: Request) -> "ResidentSpeech":
        """Speak as it does, as soon as it is in memory.

        Raises:
            ModelError: it could not be brought into memory, or has failed.
            SpeechError: as it raises them.
        """
        return ResidentSpeech(self._residency, self._place, request)


class ResidentSpeech(Iterator[Pcm]):
    """One speech. Nothing happens before it is asked for; ``speech.Patient`` as long as its model is not there."""

    def __init__(self, residency: Residency, place: Place, request: Request) -> None:
        self._residency = residency
        self._place = place
        self._request: Request | None = request
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

    def synthesize(self, request: Request) -> Iterator[Pcm]:
        """As it does."""
        return self._synthesizer.synthesize(request)

    def close(self, deadline_seconds: float = 5.0, reason: SpeechError | None = None) -> None:
        """Nothing runs between two blocks."""

    @property
    def busy_seconds(self) -> float:
        """Its readers know."""
        return 0.0

    @property
    def is_left_behind(self) -> bool:
        """Its readers know."""
        return False
