"""Voice states and their exchange file: both ways with the peer, and whatever is wrong is refused by name."""

import copy
import json
import pickle
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from tests.pocket.random_models import changed
from wyoming_pocket_tts.core.errors import MissingFile, VoiceError
from wyoming_pocket_tts.pocket import tensor_files as tensor_file
from wyoming_pocket_tts.pocket.registry import released_model
from wyoming_pocket_tts.pocket.schema import ModelConfig
from wyoming_pocket_tts.pocket.voice_state import (
    VoiceState,
    VoiceStateCache,
    check_voice_matches_model,
    read_state,
    trim_model_state,
    write_state,
)

LAYER = "transformer.layers.{}.self_attn"
Tensors = dict[str, NDArray[Any]]


def voice(*, layers: int = 3, length: int = 7, seed: int = 0, model: str | None = None) -> VoiceState:
    rng = np.random.default_rng(seed)
    arrays = tuple(rng.standard_normal((2, length, 4, 8)).astype(np.float32) for _ in range(layers))
    return VoiceState(arrays, model=model)


def as_tensors(state: VoiceState, *, spare: int = 0) -> Tensors:
    """What is in a file; with room for more positions, which hold nothing yet."""
    tensors: Tensors = {}
    for name, entry in state.items():
        room = np.full((2, 1, spare, 4, 8), np.nan, dtype=np.float32)
        tensors |= {f"{name}/{key}": value for key, value in entry.items()}
        tensors[f"{name}/cache"] = np.concatenate([entry["cache"], room], axis=2)
    return tensors


def assert_same(left: VoiceState, right: VoiceState, tolerance: float = 0) -> None:
    assert len(left.layers) == len(right.layers)
    for one, other in zip(left.layers, right.layers, strict=True):
        assert one.dtype == other.dtype == np.float32
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=0)


def test_it_looks_like_the_peers_state() -> None:
    state = voice(layers=2, length=5)
    assert list(state) == [LAYER.format(0), LAYER.format(1)]
    assert len(state) == 2
    for index, (_name, entry) in enumerate(state.items()):
        assert entry["offset"].tolist() == [5]
        assert entry["offset"].dtype == entry["pad"].dtype == np.int64
        assert entry["pad"].tolist() == [0]
        np.testing.assert_array_equal(entry["cache"][:, 0], state.layers[index])
    for name in (LAYER.format(2), "transformer.layers.00.self_attn", "flow_net"):
        assert name not in state
        with pytest.raises(KeyError):
            state[name]


def test_it_is_for_reading() -> None:
    """What is put into it must not be lost without a word, nor reach others who have the same voice."""
    state = voice()
    name = LAYER.format(0)
    with pytest.raises(TypeError, match="does not support item assignment"):
        state[name]["cache"] = np.zeros(1)  # type: ignore[index]  # what a program may try
    with pytest.raises(ValueError, match="read-only"):
        state[name]["cache"][...] = 0
    with pytest.raises(ValueError, match="read-only"):
        trim_model_state(state).layers[0][...] = 0
    changeable = {name: dict(layer) for name, layer in state.items()}
    changeable[name]["cache"] = changeable[name]["cache"] * 2
    np.testing.assert_array_equal(VoiceState.of(changeable).layers[0], state.layers[0] * 2)


def test_whoever_gives_an_array_may_still_write_to_it() -> None:
    array = np.zeros((2, 3, 4, 8), dtype=np.float32)
    VoiceState((array,))
    array[...] = 1


def test_it_is_equal_to_itself_alone() -> None:
    state = voice()
    assert state == state  # noqa: PLR0124  (identity is what is tested)
    assert state != voice()
    assert len({state, voice()}) == 2


@pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy, lambda state: pickle.loads(pickle.dumps(state))])  # noqa: S301  (our own)
def test_it_can_be_copied(clone: Callable[[VoiceState], VoiceState]) -> None:
    state = voice(model="abc")
    other = clone(state)
    assert_same(state, other)
    assert other.model == "abc"


def test_the_engine_decides_what_its_arrays_look_like() -> None:
    state = replace(voice(length=5), wrap=lambda array: array.tolist())
    assert state[LAYER.format(0)]["offset"] == [5]
    assert isinstance(state[LAYER.format(0)]["cache"], list)


@pytest.mark.parametrize("shapes", [[], [(2, 3, 4)], [(1, 3, 4, 8)], [(2, 0, 4, 8)], [(2, 3, 4, 8), (2, 4, 4, 8)]])
def test_layers_that_do_not_fit_together_are_refused(shapes: list[tuple[int, ...]]) -> None:
    with pytest.raises(VoiceError):
        VoiceState(tuple(np.zeros(shape, dtype=np.float32) for shape in shapes))


def test_a_state_is_taken_as_it_is() -> None:
    state = voice()
    assert VoiceState.of(state) is state


def test_a_mapping_of_arrays_is_cut_to_what_is_used() -> None:
    state = voice()
    tensors = as_tensors(state, spare=9)
    mapping = {name: {key: tensors[f"{name}/{key}"] for key in ("offset", "cache")} for name in state}
    assert_same(VoiceState.of(mapping), state)
    assert VoiceState.of(mapping).length == 7
    assert not any(
        np.shares_memory(layer, tensors[f"{name}/cache"])
        for name, layer in zip(state, VoiceState.of(mapping).layers, strict=True)
    )


@pytest.mark.parametrize(
    "mapping", [{}, {"a": {}}, {LAYER.format(0): {}}, {LAYER.format(0): {"cache": "x", "offset": 1}}]
)
def test_a_mapping_that_is_no_state_is_refused(mapping: dict[str, dict[str, Any]]) -> None:
    with pytest.raises(VoiceError, match="voice state: "):
        VoiceState.of(mapping)


def test_trimming_lets_the_larger_buffer_go() -> None:
    state = voice()
    large = [np.zeros((2, 1000, 4, 8), dtype=np.float32) for _ in state.layers]
    for buffer, layer in zip(large, state.layers, strict=True):
        buffer[:, :7] = layer
    trimmed = trim_model_state(VoiceState(tuple(buffer[:, :7] for buffer in large), model="m"))
    assert_same(trimmed, state)
    assert trimmed.model == "m"
    for layer in trimmed.layers:
        assert layer.base is None
        assert layer.flags.c_contiguous


def model_config(**transformer: int) -> ModelConfig:
    """A model of 3 layers with 4 heads of 8."""
    sizes = {"num_layers": 3, "num_heads": 4, "attn_dim": 32} | transformer
    return changed(released_model("english"), {"flow_lm": {"transformer": sizes}})


@pytest.mark.parametrize("model", ["abc", None])
def test_a_voice_of_the_same_model_fits(model: str | None) -> None:
    check_voice_matches_model(voice(model=model), model_config(), fingerprint="abc", label="anna")


@pytest.mark.parametrize("other", [{"num_layers": 6}, {"num_kv_heads": 2}, {"attn_dim": 256}, {}])
def test_a_voice_of_another_model_is_refused(other: dict[str, int]) -> None:
    fingerprint = "abc" if other else "abd"
    with pytest.raises(VoiceError, match=r"anna: was made with .*make the voice again"):
        check_voice_matches_model(voice(model="abc"), model_config(**other), fingerprint=fingerprint, label="anna")


@pytest.mark.parametrize("model", ["abc", None])
def test_a_file_gives_back_what_was_written(model: str | None, tmp_path: Path) -> None:
    path = tmp_path / "anna.safetensors"
    write_state(replace(voice(model=model), wrap=lambda _: "whatever an engine makes of it"), path)
    assert_same(read_state(path), voice())
    assert read_state(path).model == model
    assert list(tmp_path.iterdir()) == [path]


def test_a_view_of_a_larger_buffer_is_written_as_it_looks(tmp_path: Path) -> None:
    path = tmp_path / "anna.safetensors"
    buffers = tuple(np.concatenate([layer, layer], axis=1) for layer in voice().layers)
    write_state(VoiceState(tuple(buffer[:, :7] for buffer in buffers)), path)
    assert_same(read_state(path), voice())
    assert load_file(path)[f"{LAYER.format(0)}/cache"].shape == (2, 1, 7, 4, 8)


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "folder.safetensors"
    path.mkdir()
    with pytest.raises(VoiceError, match=r"folder.safetensors: the voice cannot be written"):
        write_state(voice(), path)
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(VoiceError, match="cannot be written"):
        write_state(voice(), tmp_path / "missing" / "anna.safetensors")


def test_spare_room_in_a_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "anna.safetensors"
    save_file(as_tensors(voice(), spare=5), path)
    assert_same(read_state(path), voice())


def test_an_older_file_says_its_length_by_a_shape(tmp_path: Path) -> None:
    path = tmp_path / "anna.safetensors"
    tensors = as_tensors(voice(), spare=5)
    for index in range(3):
        del tensors[f"{LAYER.format(index)}/offset"], tensors[f"{LAYER.format(index)}/pad"]
        tensors[f"{LAYER.format(index)}/current_end"] = np.zeros(7, dtype=np.float32)
    save_file(tensors, path)
    assert_same(read_state(path), voice())


def test_a_file_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "anna.safetensors"
    save_file(as_tensors(voice()), path, {"format": "wyoming-pocket-tts voice 2"})
    with pytest.raises(VoiceError, match="newer version"):
        read_state(path)


def test_a_missing_file_is_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such file") as caught:
        read_state(tmp_path / "anna.safetensors")
    assert isinstance(caught.value, MissingFile)
    with pytest.raises(VoiceError, match="cannot be read"):
        read_state(tmp_path)


def without(key: str) -> Callable[[Tensors], None]:
    def change(tensors: Tensors) -> None:
        del tensors[key]

    return change


def setting(key: str, value: NDArray[Any]) -> Callable[[Tensors], None]:
    def change(tensors: Tensors) -> None:
        tensors[key] = value

    return change


def poisoned(tensors: Tensors) -> None:
    tensors[f"{LAYER.format(1)}/cache"][1, 0, 6, 3, 7] = np.nan


MIDDLE = LAYER.format(1)
CACHE, OFFSET, PAD = f"{MIDDLE}/cache", f"{MIDDLE}/offset", f"{MIDDLE}/pad"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without(CACHE), f"{CACHE}: is missing"),
        (without(OFFSET), f"{OFFSET}: expected one integer, found nothing"),
        (setting(OFFSET, np.array([8])), f"{OFFSET}: is 8, but the cache holds 1 to 7"),
        (setting(OFFSET, np.array([0])), f"{OFFSET}: is 0"),
        (setting(OFFSET, np.array([-1])), f"{OFFSET}: is -1"),
        (setting(OFFSET, np.array([7.0])), "expected one integer, found float64"),
        (setting(OFFSET, np.array([7, 7])), "expected one integer, found int64"),
        (setting(OFFSET, np.array([6])), r"shape \(2, 6, 4, 8\), but layer 0 has \(2, 7, 4, 8\)"),
        (setting(PAD, np.array([1])), f"{PAD}: is not zero"),
        (setting(CACHE, np.zeros((2, 7, 4, 8), np.float32)), r"expected floats \[2, 1, .*found float32 \[2, 7, 4, 8\]"),
        (setting(CACHE, np.zeros((2, 2, 7, 4, 8), np.float32)), r"found float32 \[2, 2, 7, 4, 8\]"),
        (setting(CACHE, np.zeros((2, 1, 7, 4, 8), np.int64)), "found int64"),
        (setting(CACHE, np.zeros((2, 1, 7, 2, 8), np.float32)), "but layer 0 has"),
        (poisoned, f"{CACHE}: holds numbers that are not finite"),
        (setting(CACHE, np.full((2, 1, 7, 4, 8), 1e300)), f"{CACHE}: holds numbers that are not finite"),
        (setting("flow_lm.bos_emb", np.zeros(32)), "'flow_lm.bos_emb' is no part of a voice"),
        (setting(f"{LAYER.format(7)}/cache", np.zeros(1)), f"{LAYER.format(3)}' is missing"),
        (setting(f"{MIDDLE}/current_end", np.array(7)), "current_end: expected a shape"),
        (lambda tensors: tensors.clear(), "holds nothing"),
    ],
)
def test_a_file_with_something_wrong_is_refused_by_name(
    change: Callable[[Tensors], None], message: str, tmp_path: Path
) -> None:
    tensors = as_tensors(voice())
    change(tensors)
    path = tmp_path / "anna.safetensors"
    save_file(tensors, path)
    with pytest.raises(VoiceError, match=f"anna.safetensors: .*{message}"):
        read_state(path)


def raw(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(shape: Any, offsets: Any, dtype: Any = "F32") -> dict[str, Any]:  # noqa: ANN401  (anything may be wrong)
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no safetensors file"),
        (b"RIFF....WAVEfmt ", "is no safetensors file"),
        ((1 << 62).to_bytes(8, "little") + b"{}", "is no safetensors file"),
        (raw(b"{"), "is no safetensors file"),
        (raw(b"\xff\xfe"), "is no safetensors file"),
        (raw(b'{"a":' * 50_000), "is no safetensors file"),
        (raw(b"{" + b" " * (1 << 20) + b"}"), "is no safetensors file"),
        (raw([]), "no table of tensors"),
        (raw({"a": 5}), "'a': is not described"),
        (raw({"a": entry([1], [0, 4], "C64")}, bytes(4)), "'C64'; allowed are F64"),
        (raw({"a": entry([1], [0, 4], ["F32"])}, bytes(4)), "allowed are F64"),
        (raw({"a": entry([-1, -1], [0, 4])}, bytes(4)), "no shape"),
        (raw({"a": entry([0, 1 << 60], [0, 0])}), "no shape"),
        (raw({"a": entry([1] * 99, [0, 4])}, bytes(4)), "no shape"),
        (raw({"a": entry([True], [0, 4])}, bytes(4)), "no shape"),
        (raw({"a": entry(None, [0, 4])}, bytes(4)), "no shape"),
        (raw({"a": entry([1], [0])}, bytes(4)), "place in the file"),
        (raw({"a": entry([1], [4, 0])}, bytes(4)), "-4 bytes cannot hold"),
        (raw({"a": entry([2], [0, 4])}, bytes(4)), "4 bytes cannot hold"),
        (raw({"a": entry([2], [0, 8])}, bytes(4)), "is cut short: tensors need 8 bytes, 4"),
        (raw({name: entry([1], [0, 4]) for name in "ab"}, bytes(4)), "tensors overlap"),
        (raw({"__metadata__": 5, "a": entry([1], [0, 4])}, bytes(4)), "'a' is no part of a voice"),
    ],
)  # fmt: skip
def test_what_is_no_such_file_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "anna.safetensors"
    path.write_bytes(content)
    with pytest.raises(VoiceError, match=f"anna.safetensors: .*{message}"):
        read_state(path)


@pytest.mark.parametrize("kept", [0.001, 0.3, 0.999])
def test_a_file_that_is_cut_short_is_refused(kept: float, tmp_path: Path) -> None:
    path = tmp_path / "anna.safetensors"
    write_state(voice(), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(VoiceError, match=r"anna\.safetensors"):
        read_state(path)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "anna.safetensors"
    with path.open("wb") as file:
        file.truncate(tensor_file.MAX_FILE_BYTES + 1)
    with pytest.raises(VoiceError, match="a voice state has at most"):
        read_state(path)


@given(data=st.data())
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_damage_is_refused_or_harmless(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("damage") / "anna.safetensors"
    write_state(voice(layers=1, length=1), path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        state = read_state(path)
    except VoiceError as error:
        assert str(path) in str(error)  # noqa: PT017  (either outcome is right)
    else:
        assert np.isfinite(state.layers[0]).all()


# --- recently used voices


def a_voice() -> VoiceState:
    return VoiceState(layers=(np.zeros((2, 1, 1, 2), np.float32),))


class Encoder:
    def __init__(self) -> None:
        self.encoded: list[str] = []

    def of(self, name: str) -> Callable[[], VoiceState]:
        def encode() -> VoiceState:
            self.encoded.append(name)
            return a_voice()

        return encode


def test_the_least_recently_used_voice_goes() -> None:
    cache, encoder = VoiceStateCache(2), Encoder()
    for name in ["a", "b", "a", "c", "a", "b"]:
        cache.get(name, encoder.of(name))
    assert encoder.encoded == ["a", "b", "c", "b"]


def test_the_same_voice_comes_back() -> None:
    cache, encoder = VoiceStateCache(1), Encoder()
    assert cache.get("a", encoder.of("a")) is cache.get("a", encoder.of("a"))


def test_nothing_is_kept_without_room() -> None:
    cache, encoder = VoiceStateCache(0), Encoder()
    cache.get("a", encoder.of("a"))
    cache.get("a", encoder.of("a"))
    assert encoder.encoded == ["a", "a"]


def test_a_failure_is_not_kept() -> None:
    cache, encoder = VoiceStateCache(2), Encoder()

    def fail() -> VoiceState:
        raise ValueError("no voice")

    with pytest.raises(ValueError, match="no voice"):
        cache.get("a", fail)
    cache.get("a", encoder.of("a"))
    assert encoder.encoded == ["a"]


def test_a_failure_takes_no_other_encoding_of_the_same_voice_with_it() -> None:
    """The one that fails was pushed out of the cache meanwhile, and the voice was asked for anew."""
    cache, encoder = VoiceStateCache(1), Encoder()

    def fail_late() -> VoiceState:
        cache.get("b", encoder.of("b"))
        cache.get("a", encoder.of("a"))
        raise ValueError("no voice")

    with pytest.raises(ValueError, match="no voice"):
        cache.get("a", fail_late)
    cache.get("a", encoder.of("a"))
    assert encoder.encoded == ["b", "a"]


def test_threads_that_want_the_same_voice_wait_for_one_encoding() -> None:
    cache = VoiceStateCache(2)
    started, go_on = threading.Event(), threading.Event()
    encodings: list[int] = []
    voices: list[VoiceState] = []

    def encode() -> VoiceState:
        encodings.append(1)
        started.set()
        assert go_on.wait(20)
        return a_voice()

    threads = [threading.Thread(target=lambda: voices.append(cache.get("a", encode))) for _ in range(4)]
    threads[0].start()
    assert started.wait(20)
    for thread in threads[1:]:
        thread.start()
    go_on.set()
    for thread in threads:
        thread.join(20)
    assert len(encodings) == 1
    assert len({id(voice) for voice in voices}) == 1
    assert len(voices) == 4
