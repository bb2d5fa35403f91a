"""What a model's file says about its states is enough to allocate them, and is distrusted."""

import json

import numpy as np
import pytest

from wyoming_pocket_tts.core.errors import ModelError
from wyoming_pocket_tts.inference.session import METADATA_KEY, StateSpec, from_metadata, to_metadata

STATES = (StateSpec("position", (), "int64"), StateSpec("state_0", (2, 3), fill=1.0))


def test_states_survive_the_way_through_metadata() -> None:
    assert from_metadata({"other": "", **to_metadata(STATES)}) == STATES


def test_a_state_begins_filled() -> None:
    position, state = (spec.initial() for spec in STATES)
    assert position.dtype == np.int64
    assert position.shape == ()
    assert state.dtype == np.float32
    assert state.tolist() == [[1.0] * 3] * 2


def test_every_stream_gets_arrays_of_its_own() -> None:
    assert not np.shares_memory(STATES[1].initial(), STATES[1].initial())


def test_a_state_comes_back_under_another_name() -> None:
    assert STATES[1].next_name == "next_state_0"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[1]",
        '[{"name": "x"}]',
        json.dumps([{"name": "x", "shape": [1], "dtype": "object", "fill": 0}]),
        json.dumps([{"name": "x", "shape": [-1], "dtype": "float32", "fill": 0}]),
        json.dumps([{"name": "x", "shape": ["1"], "dtype": "float32", "fill": 0}]),
        json.dumps([{"name": "x", "shape": [1], "dtype": "float32", "fill": "zero"}]),
        json.dumps([{"name": "x", "shape": [1], "dtype": "float32", "fill": 0, "more": 1}]),
    ],
)
def test_damaged_descriptions_are_refused(text: str) -> None:
    with pytest.raises(ModelError, match="convert"):
        from_metadata({METADATA_KEY: text})


def test_a_model_without_states_is_refused() -> None:
    with pytest.raises(ModelError, match="convert"):
        from_metadata({})
