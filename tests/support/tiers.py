"""Which values of a parametrized test belong to the fast tier."""

from collections.abc import Iterable, Sequence
from typing import Any

import pytest


def mostly(mark: pytest.MarkDecorator, values: Iterable[Any], *, fast: Sequence[Any] = ()) -> list[Any]:
    """All values with the mark, but those of ``fast`` (by default the first) without."""
    every = list(values)
    unmarked = fast or every[:1]
    marked = (pytest.param(*(value if isinstance(value, tuple) else (value,)), marks=mark) for value in every)
    return [value if value in unmarked else param for value, param in zip(every, marked, strict=True)]
