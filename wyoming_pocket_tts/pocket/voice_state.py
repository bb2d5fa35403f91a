"""KV-cache prompt of a voice, its file, and an LRU of them."""

import os
import re
import sys
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from wyoming_pocket_tts.audio.recordings import as_array
from wyoming_pocket_tts.core.errors import ConfigError, VoiceError, VoiceUnavailable, quote_untrusted
from wyoming_pocket_tts.core.system import atomic_path
from wyoming_pocket_tts.core.types import Floats
from wyoming_pocket_tts.pocket.schema import ModelConfig
from wyoming_pocket_tts.pocket.tensor_files import read_voice_tensors, write_tensors

_LAYER_NAME: Final = "transformer.layers.{}.self_attn"
_NAME_OF_LAYER = re.compile(r"transformer\.layers\.(0|[1-9]\d{0,2})\.self_attn")
_RANK: Final = 4
_FORMAT: Final = "wyoming-pocket-tts voice 1"


def unchanged(array: NDArray[Any]) -> object:
    """The default of ``VoiceState.wrap``; a function, so that states can be pickled."""
    return array


@dataclass(eq=False, repr=False)
class VoiceState(Mapping[str, Mapping[str, Any]]):
    """The KV cache of a voice prompt. Equal to itself alone; its arrays are read-only, since sequences share them.

    As a mapping it looks like what ``pocket-tts`` calls a model state: of each layer's name, ``offset`` and ``pad``
    (int64 [1]) and ``cache`` (float32 [2, 1, T, kv_heads, head_dim]). It is for reading; to change something, take
    ``{name: dict(layer) for name, layer in state.items()}``.
    """

    layers: tuple[Floats, ...]
    """Each [2, T, kv_heads, head_dim]: the keys, rotated to their positions, and the values."""
    model: str | None = None
    """Fingerprint of the weights that it was made with; None if unknown."""
    wrap: Callable[[NDArray[Any]], Any] = unchanged
    """Makes the mapping's arrays an engine's type of tensors, copied where they could be written to."""

    def __post_init__(self) -> None:
        if not self.layers:
            raise VoiceError("a voice state without layers is no voice")
        first = self.layers[0].shape
        for index, layer in enumerate(self.layers):
            if layer.ndim != _RANK or layer.shape[0] != 2 or 0 in layer.shape:  # noqa: PLR2004  (keys and values)
                raise VoiceError(f"layer {index} has the shape {layer.shape}, not [2, T, heads, size]")
            if layer.shape != first:
                raise VoiceError(f"layer {index} has the shape {layer.shape}, but layer 0 has {first}")
        self.layers = tuple(_read_only(layer) for layer in self.layers)

    @property
    def length(self) -> int:
        return int(self.layers[0].shape[1])

    @classmethod
    def of(cls, state: Mapping[str, Mapping[str, Any]]) -> "VoiceState":
        """From what ``pocket-tts`` calls a model state, of tensors or arrays; a ``VoiceState`` as it is.

        Raises VoiceError if it is none, or holds numbers that are not finite.
        """
        if isinstance(state, VoiceState):
            return state
        if not isinstance(state, Mapping) or not all(isinstance(entry, Mapping) for entry in state.values()):
            raise VoiceError(
                f"{quote_untrusted(state)} is no voice: get_state_for_audio_prompt makes one, from a name, a "
                "file or samples"
            )
        entries = {name: {key: as_array(value) for key, value in entry.items()} for name, entry in state.items()}
        values = [value for entry in state.values() for value in entry.values()]
        return cls(_layers(entries, "voice state"), wrap=_wrap_of(values[0]))

    def __getitem__(self, name: str) -> MappingProxyType[str, Any]:
        match = _NAME_OF_LAYER.fullmatch(name)
        if match is None or int(match[1]) >= len(self.layers):
            raise KeyError(name)
        entry = {
            "offset": self.wrap(np.array([self.length], dtype=np.int64)),
            "pad": self.wrap(np.zeros(1, dtype=np.int64)),
            "cache": self.wrap(self.layers[int(match[1])][:, None]),
        }
        return MappingProxyType(entry)  # read-only: it is made anew each time, and changes would be lost

    def __iter__(self) -> Iterator[str]:
        return (_LAYER_NAME.format(index) for index in range(len(self.layers)))

    def __len__(self) -> int:
        return len(self.layers)

    __eq__ = object.__eq__  # Mapping would compare, and forbid hashing
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"<VoiceState: {len(self.layers)} layers of {self.layers[0].shape}, model {self.model}>"


def trim_model_state(state: Mapping[str, Mapping[str, Any]]) -> VoiceState:
    """Copy what is used of a state, so that the larger buffer behind it can go. Tensors stay tensors."""
    voice = VoiceState.of(state)
    copies = tuple(np.array(layer, order="C") for layer in voice.layers)
    for copied in copies:
        copied.setflags(write=False)
    return replace(voice, layers=copies)


def check_voice_matches_model(voice: VoiceState, config: ModelConfig, *, fingerprint: str | None, label: str) -> None:
    """Raise VoiceError for a voice that was made with another model's weights: it would be noise, without end.

    Without a ``fingerprint`` of the model's weights sizes alone are compared. ``label`` begins the message.
    """
    advice = "make the voice again from its recording, with this model"
    sizes = config.flow_lm.transformer
    expected = (sizes.num_layers, sizes.kv_heads, sizes.head_dim)
    found = (len(voice.layers), *voice.layers[0].shape[2:])
    if found != expected:
        raise VoiceError(
            f"{label}: was made with another model (layers, heads, size: {found}; this model: {expected}); {advice}"
        )
    if None not in (voice.model, fingerprint) and voice.model != fingerprint:
        raise VoiceError(f"{label}: was made with other weights ({voice.model}, not {fingerprint}); {advice}")


# --- the exchange file


def write_state(state: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Write the exchange file, which gets its name only when it is complete.

    Raises VoiceError for what is no voice state, VoiceUnavailable if the file cannot be written.
    """
    voice = VoiceState.of(state)
    tensors = {
        f"{name}/{key}": array for name, entry in replace(voice, wrap=unchanged).items() for key, array in entry.items()
    }
    metadata = {"format": _FORMAT} | ({"model": voice.model} if voice.model else {})
    try:
        with atomic_path(path, durable=False) as aside:
            write_tensors(aside, tensors, metadata)
    except OSError as error:
        raise VoiceUnavailable(f"{path}: the voice cannot be written ({error})") from error


def read_state(path: Path) -> VoiceState:
    """Read an exchange file, ours or that of ``pocket-tts``; float16 and bfloat16 become float32.

    Raises MissingFile, or VoiceError for what is damaged, too large, or no voice.
    """
    tensors, metadata = read_voice_tensors(path)
    entries: defaultdict[str, dict[str, NDArray[Any]]] = defaultdict(dict)
    for name, tensor in tensors.items():
        module, _, key = name.partition("/")
        entries[module][key] = tensor
    written_as = metadata.get("format", "")
    if written_as.startswith(_FORMAT.rstrip("1")) and written_as != _FORMAT:
        raise VoiceError(f"{path}: was written by a newer version of this program ({quote_untrusted(written_as)})")
    return VoiceState(_layers(entries, str(path)), model=metadata.get("model"))


def _layers(entries: Mapping[str, Mapping[str, NDArray[Any]]], origin: str) -> tuple[Floats, ...]:
    """The used part of all layers, in order, each [2, T, kv_heads, head_dim]."""
    if not entries:
        raise VoiceError(f"{origin}: holds nothing")
    for name in entries:
        if not _NAME_OF_LAYER.fullmatch(name):
            raise VoiceError(f"{origin}: {quote_untrusted(name)} is no part of a voice (is it a model's weights?)")
    layers = []
    for index in range(len(entries)):
        name = _LAYER_NAME.format(index)
        if name not in entries:
            raise VoiceError(f"{origin}: {len(entries)} layers, but {name!r} is missing")
        layers.append(_used(entries[name], f"{origin}: {name}"))
        if layers[-1].shape != layers[0].shape:
            raise VoiceError(f"{origin}: {name}: shape {layers[-1].shape}, but layer 0 has {layers[0].shape}")
    return tuple(layers)


def _used(entry: Mapping[str, NDArray[Any]], where: str) -> Floats:
    cache = entry.get("cache")
    if cache is None:
        raise VoiceError(f"{where}/cache: is missing")
    if cache.ndim != _RANK + 1 or cache.shape[:2] != (2, 1) or 0 in cache.shape or cache.dtype.kind != "f":
        raise VoiceError(
            f"{where}/cache: expected floats [2, 1, positions, heads, size], found {cache.dtype} {list(cache.shape)}"
        )
    length = _offset(entry, where)
    if not 0 < length <= cache.shape[2]:
        raise VoiceError(f"{where}/offset: is {length}, but the cache holds 1 to {cache.shape[2]} positions")
    if "pad" in entry and np.any(entry["pad"]):
        raise VoiceError(f"{where}/pad: is not zero: a voice out of a batch cannot be used alone")
    with np.errstate(over="ignore"):  # a float64 too large becomes infinite, which is refused
        # copied where there is room for more, so that the room can go
        layer = cache[:, 0, :length].astype(np.float32, copy=length < cache.shape[2])
    if not np.isfinite(layer).all():
        raise VoiceError(f"{where}/cache: holds numbers that are not finite within its {length} positions")
    return layer


def _offset(entry: Mapping[str, NDArray[Any]], where: str) -> int:
    """Positions in use; in older files, the size of a tensor."""
    if "current_end" in entry:
        shape = entry["current_end"].shape
        if not shape:
            raise VoiceError(f"{where}/current_end: expected a shape that begins with the length, found []")
        return int(shape[0])
    offset = entry.get("offset")
    if offset is None or offset.size != 1 or offset.dtype.kind not in "iu":
        found = "nothing" if offset is None else f"{offset.dtype} {list(offset.shape)}"
        raise VoiceError(f"{where}/offset: expected one integer, found {found}")
    return int(offset.reshape(()))


def _read_only(array: Floats) -> Floats:
    """The array itself if it is read-only, else a read-only view: the array's flags are its owner's."""
    if not array.flags.writeable:
        return array
    view = array.view()
    view.setflags(write=False)
    return view


def _wrap_of(value: object) -> Callable[[NDArray[Any]], Any]:
    """For a tensor its library's ``tensor``, which copies."""
    library = sys.modules.get(type(value).__module__.partition(".")[0])
    return getattr(library, "tensor", unchanged) if hasattr(value, "detach") else unchanged


# --- recently used voices


_SIZE_VARIABLE = "POCKET_TTS_PROMPT_CACHE_SIZE"
_DEFAULT_SIZE = 2


class VoiceStateCache:
    """LRU cache of ``capacity`` voices; threads that want the same one at once wait for one encoding."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._lock = Lock()
        self._voices: OrderedDict[Hashable, Future[VoiceState]] = OrderedDict()

    def get(self, key: Hashable, encode: Callable[[], VoiceState]) -> VoiceState:
        """The voice of the key, encoded if it is not kept. What ``encode`` raises is raised, and nothing kept."""
        with self._lock:
            voice = self._voices.get(key)
            mine = voice is None
            if voice is None:
                voice = self._voices[key] = Future()
            self._voices.move_to_end(key)
            while len(self._voices) > self._capacity:
                self._voices.popitem(last=False)
        if mine:
            try:
                voice.set_result(encode())
            except BaseException as error:  # noqa: BLE001  (it is raised in every thread that waits)
                with self._lock:
                    if self._voices.get(key) is voice:
                        del self._voices[key]
                voice.set_exception(error)
        return voice.result()


def prompt_cache_size() -> int:
    text = os.environ.get(_SIZE_VARIABLE, "")
    if not text:
        return _DEFAULT_SIZE
    if not text.isdecimal():
        raise ConfigError(f"the variable {_SIZE_VARIABLE} is '{text}': it must be a number, 0 or more")
    return int(text)
