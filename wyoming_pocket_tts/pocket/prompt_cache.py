"""Remembers the last voices that were encoded from recordings. Knows nothing about how that is done."""

import os
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from threading import Lock

from wyoming_pocket_tts.errors import ConfigError
from wyoming_pocket_tts.voices.state import VoiceState

_SIZE_VARIABLE = "POCKET_TTS_PROMPT_CACHE_SIZE"
_DEFAULT_SIZE = 2


class PromptCache:
    """Keeps the most recently used voices; threads that want the same one at once wait for one encoding.

    Args:
        capacity: voices that are kept; 0 for none.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._lock = Lock()
        self._voices: OrderedDict[Hashable, Future[VoiceState]] = OrderedDict()

    def get(self, key: Hashable, encode: Callable[[], VoiceState]) -> VoiceState:
        """Return the voice that is kept under the key, or encode it.

        Raises:
            Exception: whatever ``encode`` raises; nothing is kept then.
        """
        with self._lock:
            voice = self._voices.get(key)
            mine = voice is None
            if voice is None:
                voice = self._voices[key] = Future()
            self._voices.move_to_end(key)
            while len(self._voices) > self._capacity:
                self._voices.popitem(last=False)
        if mine:
            self._fill(key, voice, encode)
        return voice.result()

    def _fill(self, key: Hashable, voice: Future[VoiceState], encode: Callable[[], VoiceState]) -> None:
        try:
            voice.set_result(encode())
        except BaseException as error:  # noqa: BLE001  (it is raised in every thread that waits)
            with self._lock:
                if self._voices.get(key) is voice:
                    del self._voices[key]
            voice.set_exception(error)


def prompt_cache_size() -> int:
    """How many voices the environment wants to be remembered.

    Raises:
        ConfigError: its variable holds no number.
    """
    text = os.environ.get(_SIZE_VARIABLE, "")
    if not text:
        return _DEFAULT_SIZE
    if not text.isdecimal():
        raise ConfigError(f"the variable {_SIZE_VARIABLE} is '{text}': it must be a number, 0 or more")
    return int(text)
