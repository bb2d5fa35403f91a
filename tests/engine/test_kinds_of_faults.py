"""The few words for what broke."""

import pytest

from wyoming_pocket_tts.core.errors import fault_kind


@pytest.mark.parametrize(
    ("error", "kind"),
    [(MemoryError(), "memory"), (RuntimeError("std::bad_alloc"), "memory"), (RuntimeError("broken"), "exception")],
)
def test_memory_that_ran_out_is_told_apart_also_where_native_code_says_so(error: Exception, kind: str) -> None:
    assert fault_kind(error) == kind
