"""Makes a stream's next block on the calling thread; every failure becomes its end. Knows no threads and no turns."""

import logging
from collections.abc import Callable

from wyoming_pocket_tts.engine.faults import described, kind_of
from wyoming_pocket_tts.engine.observer import Observer
from wyoming_pocket_tts.engine.stream import End, Stream
from wyoming_pocket_tts.errors import ModelError, SpeechError
from wyoming_pocket_tts.speech import Pcm, Synthesizer, close, is_ready

_LOGGER = logging.getLogger(__name__)


class Maker:
    """Makes blocks of any stream. Safe for any number of threads, as long as a stream is on one of them at a time.

    Args:
        synthesizer: begins the speeches.
        observer: is told of faults.
    """

    def __init__(self, synthesizer: Synthesizer, observer: Observer) -> None:
        self._synthesizer = synthesizer
        self._observer = observer

    def make(self, stream: Stream, wake: Callable[[], None]) -> Pcm | End | None:
        """Make the next block; None when it is not there yet, and then ``wake`` is called once it is."""
        try:
            if stream.iterator is None:
                stream.iterator = self._synthesizer.synthesize(stream.request)
            if not is_ready(stream.iterator, wake):
                return None
            block = next(stream.iterator, None)
        except SpeechError as error:
            return End(error)
        except BaseException as error:  # nobody above would hear of it, and native code may panic past Exception
            self._observer.fault(kind_of(error))
            text = stream.request.text
            _LOGGER.error("Voice %r failed:\n%s", stream.request.voice.name, described(error, text=text))  # noqa: TRY400  (a traceback may quote the text)
            _LOGGER.debug("It failed on %r", text, exc_info=error)
            return End(ModelError(f"the model failed ({type(error).__name__}); the server's log says more"))
        return End(None) if block is None else block

    def close(self, stream: Stream) -> None:
        """End the speech and free what it holds. Once it is closed, nothing happens."""
        iterator, stream.iterator = stream.iterator, None
        try:
            close(iterator)
        except BaseException as fault:  # noqa: BLE001  (as above)
            self._observer.fault(kind_of(fault))
            told = described(fault, text=stream.request.text)
            _LOGGER.error("Voice %r failed while it was closed:\n%s", stream.request.voice.name, told)  # noqa: TRY400  (as above)
