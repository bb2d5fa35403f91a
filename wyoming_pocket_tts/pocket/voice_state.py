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
from wyoming_pocket_tts.pocket.tensor_files import read_tensor_file

_LAYER_NAME: Final = "transformer.layers.{}.self_attn"
_NAME_OF_LAYER = re.compile(r"transformer\.layers\.(0|[1-9]\d{0,2})\.self_attn")
_RANK: Final = 4
_FORMAT: Final = "wyoming-pocket-tts voice 1"


def unchanged(array: NDArray[Any]) -> object:
    """What ``VoiceState`` makes of its arrays unless told otherwise: nothing."""
    return array


@dataclass(eq=False, repr=False)
class VoiceState(Mapping[str, Mapping[str, Any]]):
    """A voice: keys and values that a model's attention starts from. Equal to itself alone.

    Arrays are made read-only: several speeches and callers share them.

    As a mapping it looks like what ``pocket-tts`` calls a model state: of each layer's name, ``offset`` and ``pad``
    (int64 [1]) and ``cache`` (float32 [2, 1, T, kv_heads, head_dim]). It is for reading; who wants to change something
    takes ``{name: dict(layer) for name, layer in state.items()}``.

    Raises:
        VoiceError: there are no layers, or their shapes do not fit together.
    """

    layers: tuple[Floats, ...]
    """Each [2, T, kv_heads, head_dim]: the keys, rotated to their positions, and the values."""
    model: str | None = None
    """Fingerprint of the weights that it was made with; None if unknown."""
    wrap: Callable[[NDArray[Any]], Any] = unchanged
    """What the mapping makes of arrays: an engine's own type of tensors, copied where they could be written to."""

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
        """T, the number of positions."""
        return int(self.layers[0].shape[1])

    @classmethod
    def of(cls, state: Mapping[str, Mapping[str, Any]]) -> "VoiceState":
        """Take over what ``pocket-tts`` calls a model state, of tensors or arrays; a ``VoiceState`` as it is.

        Raises:
            VoiceError: it is no such state, or holds numbers that are not finite.
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
        return MappingProxyType(entry)  # made anew each time: what was put into it would be lost without a word

    def __iter__(self) -> Iterator[str]:
        return (_LAYER_NAME.format(index) for index in range(len(self.layers)))

    def __len__(self) -> int:
        return len(self.layers)

    __eq__ = object.__eq__  # Mapping would compare, and forbid hashing
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"<VoiceState: {len(self.layers)} layers of {self.layers[0].shape}, model {self.model}>"


def trim_model_state(state: Mapping[str, Mapping[str, Any]]) -> VoiceState:
    """Copy what is used of a state, so that the larger buffer behind it can go. Tensors stay tensors.

    Raises:
        VoiceError: it is no voice state.
    """
    voice = VoiceState.of(state)
    copies = tuple(np.array(layer, order="C") for layer in voice.layers)
    for copied in copies:
        copied.setflags(write=False)
    return replace(voice, layers=copies)


def check_fits(
    state: VoiceState, *, layers: int, kv_heads: int, head_dim: int, fingerprint: str | None, label: str
) -> None:
    """Refuse a voice that was made with another model's weights: it would be spoken as noise, without end.

    Args:
        state: the voice.
        layers: the model's number of layers.
        kv_heads: the model's key and value heads.
        head_dim: the size of each.
        fingerprint: of the model's weights; None if unknown, then sizes alone are compared.
        label: how to call the voice in the message.

    Raises:
        VoiceError: it does not fit.
    """
    advice = "make the voice again from its recording, with this model"
    found, expected = (len(state.layers), *state.layers[0].shape[2:]), (layers, kv_heads, head_dim)
    if found != expected:
        raise VoiceError(
            f"{label}: was made with another model (layers, heads, size: {found}; this model: {expected}); {advice}"
        )
    if None not in (state.model, fingerprint) and state.model != fingerprint:
        raise VoiceError(f"{label}: was made with other weights ({state.model}, not {fingerprint}); {advice}")


def write_state(state: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Write the exchange file. It gets its name only when it is complete.

    Raises:
        VoiceError: it is no voice state.
        VoiceOutOfReach: the file cannot be written.
    """
    from safetensors.numpy import save_file  # noqa: PLC0415  (speaking does without)

    voice = VoiceState.of(state)
    tensors: dict[str, NDArray[Any]] = {}
    for name, entry in replace(voice, wrap=unchanged).items():
        tensors |= {f"{name}/{key}": np.ascontiguousarray(array) for key, array in entry.items()}
    metadata = {"format": _FORMAT} | ({"model": voice.model} if voice.model else {})
    try:
        with atomic_path(path, durable=False) as aside:
            save_file(tensors, aside, metadata)
    except Exception as error:  # the library has its own kinds for what the disk refuses
        raise VoiceUnavailable(f"{path}: the voice cannot be written ({error})") from error


def read_state(path: Path) -> VoiceState:
    """Read an exchange file, ours or that of ``pocket-tts``; float16 and bfloat16 become float32.

    Raises:
        MissingFile: it is not there.
        VoiceError: it is damaged, too large, or holds something other than a voice.
    """
    file = read_tensor_file(path)
    entries: defaultdict[str, dict[str, NDArray[Any]]] = defaultdict(dict)
    for name, tensor in file.tensors.items():
        module, _, key = name.partition("/")
        entries[module][key] = tensor
    written_as = file.metadata.get("format", "")
    if written_as.startswith(_FORMAT.rstrip("1")) and written_as != _FORMAT:
        raise VoiceError(f"{path}: was written by a newer version of this program ({quote_untrusted(written_as)})")
    return VoiceState(_layers(entries, str(path)), model=file.metadata.get("model"))


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
    """How many positions are used. Older files say it by the size of a tensor."""
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
    """The array itself, if nobody can write to it through this; else a view, since its flags are its owner's."""
    if not array.flags.writeable:
        return array
    view = array.view()
    view.setflags(write=False)
    return view


def _wrap_of(value: object) -> Callable[[NDArray[Any]], Any]:
    """What makes of arrays what this value is: for a tensor its library's ``tensor``, which copies."""
    library = sys.modules.get(type(value).__module__.partition(".")[0])
    return getattr(library, "tensor", unchanged) if hasattr(value, "detach") else unchanged


def check_voice_matches_model(voice: VoiceState, config: ModelConfig, *, fingerprint: str | None, label: str) -> None:
    """Refuse a voice that was made with another model.

    Args:
        voice: the voice.
        config: what the model is.
        fingerprint: of the model's weights; None if unknown, then sizes alone are compared.
        label: how to call the voice in the message.

    Raises:
        VoiceError: it was.
    """
    sizes = config.flow_lm.transformer
    check_fits(
        voice,
        layers=sizes.num_layers,
        kv_heads=sizes.kv_heads,
        head_dim=sizes.head_dim,
        fingerprint=fingerprint,
        label=label,
    )


_SIZE_VARIABLE = "POCKET_TTS_PROMPT_CACHE_SIZE"
_DEFAULT_SIZE = 2


class VoiceStateCache:
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
