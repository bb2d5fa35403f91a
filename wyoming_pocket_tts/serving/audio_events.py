"""The audio of one answer as the protocol's events. Knows nothing about requests, nor when an answer is over."""

from typing import Final

from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.event import Event

WIDTH_BYTES: Final = 2
"""Of a sample: little-endian signed 16 bit."""
_CHANNELS: Final = 1


class AudioEvents:
    """Counts what was sent, for the times that events bear.

    Args:
        rate_hz: samples per second.
        chunk_seconds: audio of an event, at most.
    """

    def __init__(self, *, rate_hz: int, chunk_seconds: float) -> None:
        self.rate_hz = rate_hz
        self.chunk_samples = max(1, round(chunk_seconds * rate_hz))
        """Samples of an event, at most."""
        self._samples_sent = 0

    def start(self) -> Event:
        """Audio follows."""
        return AudioStart(rate=self.rate_hz, width=WIDTH_BYTES, channels=_CHANNELS, timestamp=0).event()

    def chunks(self, pcm: bytes) -> list[Event]:
        """More audio, in chunks short enough to stream."""
        chunk_bytes = self.chunk_samples * WIDTH_BYTES
        return [self._chunk(pcm[start : start + chunk_bytes]) for start in range(0, len(pcm), chunk_bytes)]

    def stop(self) -> Event:
        """No more audio follows."""
        return AudioStop(timestamp=self._milliseconds).event()

    @property
    def _milliseconds(self) -> int:
        return self._samples_sent * 1_000 // self.rate_hz

    def _chunk(self, audio: bytes) -> Event:
        chunk = AudioChunk(
            rate=self.rate_hz, width=WIDTH_BYTES, channels=_CHANNELS, audio=audio, timestamp=self._milliseconds
        )
        self._samples_sent += chunk.samples
        return chunk.event()
