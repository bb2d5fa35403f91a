"""PyTorch on one thread: with toys, more of them only wait for each other, and for seconds where the cores are busy."""

from collections.abc import Iterator
from importlib.util import find_spec

import pytest


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Iterator[None]:
    if find_spec("torch") is None:
        yield
        return
    import torch  # noqa: PLC0415  (not everywhere installed)

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
