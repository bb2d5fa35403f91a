"""Skips this folder where Home Assistant is not installed; elsewhere gives its tests a core and a server.

``script/test-home-assistant`` makes the environment for them.
"""

import warnings
from collections.abc import AsyncIterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

if TYPE_CHECKING:
    from .core import Core, Engine
    from .server import SpeechServer

_HERE = Path(__file__).parent

collect_ignore_glob = [] if find_spec("homeassistant") else ["*.py"]

if find_spec("homeassistant"):
    with warnings.catch_warnings():  # its import warns, and here warnings are errors
        warnings.simplefilter("ignore")
        import_module("homeassistant.components.assist_pipeline")
        import_module("homeassistant.components.wyoming")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One event loop for all, since the core lives in it; a core's own warnings are not ours to fix."""
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)
            item.add_marker(pytest.mark.filterwarnings("default", "ignore::DeprecationWarning", "ignore::UserWarning"))
            item.add_marker(pytest.mark.timeout(180))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def core(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator["Core"]:
    """A running core, with nothing configured."""
    from .core import running_core  # noqa: PLC0415  (importable only where Home Assistant is installed)

    async with running_core(tmp_path_factory.mktemp("core")) as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def discovering_core(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator["Core"]:
    """A core that listens for announcements. One for all tests: its zeroconf exists once in a process."""
    from .core import running_core  # noqa: PLC0415

    async with running_core(tmp_path_factory.mktemp("discovering-core"), also=("zeroconf",)) as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator["SpeechServer"]:
    """Our server, for tests that leave it running."""
    from .core import free_port  # noqa: PLC0415
    from .server import SpeechServer  # noqa: PLC0415

    server = SpeechServer(free_port(), tmp_path_factory.mktemp("server"))
    await server.start()
    yield server
    assert await server.stop() == 0, server.log


@pytest_asyncio.fixture(loop_scope="session")
async def own_server(tmp_path: Path) -> AsyncIterator["SpeechServer"]:
    """Our server, for tests that stop and start it."""
    from .core import free_port  # noqa: PLC0415
    from .server import SpeechServer  # noqa: PLC0415

    server = SpeechServer(free_port(), tmp_path / "server")
    await server.start()
    yield server
    await server.kill()


@pytest_asyncio.fixture(loop_scope="session")
async def engine(core: "Core", shared_server: "SpeechServer") -> AsyncIterator["Engine"]:
    """The shared server, set up in the core by hand."""
    entry = (await core.set_up_by_hand("127.0.0.1", shared_server.port))["result"]
    yield core.engine(entry)
    await core.hass.config_entries.async_remove(entry.entry_id)


@pytest_asyncio.fixture(loop_scope="session")
async def own_engine(core: "Core", own_server: "SpeechServer") -> AsyncIterator["Engine"]:
    """A server of the test's own, set up in the core by hand."""
    entry = (await core.set_up_by_hand("127.0.0.1", own_server.port))["result"]
    yield core.engine(entry)
    await core.hass.config_entries.async_remove(entry.entry_id)
