"""Setting the server up in a core, and what happens to it while servers come and go."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest
from homeassistant.config_entries import ConfigEntryState
from homeassistant.exceptions import HomeAssistantError

from .core import HEARS_ERRORS, STREAMS, Core, Engine, free_port
from .server import SpeechServer, describe
from .speaking import PATIENCE_SECONDS, Failure, outcome, speak, speak_stream


async def until(condition: Callable[[], bool], what: str, *, seconds: float = PATIENCE_SECONDS) -> None:
    """Wait for something that the core does in its own time."""
    for _ in range(int(seconds / 0.1)):
        if condition():
            return
        await asyncio.sleep(0.1)
    pytest.fail(f"not within {seconds:g} s: {what}")


async def test_host_and_port_are_all_it_takes(core: Core, shared_server: SpeechServer) -> None:
    """The flow asks for ``describe`` and names the entry after the first installed program."""
    result = await core.set_up_by_hand("127.0.0.1", shared_server.port)
    try:
        assert result["type"] == "create_entry"
        assert result["title"] == (await describe(shared_server.port)).name
        assert result["result"].state is ConfigEntryState.LOADED
        (await speak(core.engine(result["result"]), "Hello, I am new here.")).check()
    finally:
        await core.hass.config_entries.async_remove(result["result"].entry_id)


async def test_nobody_there_is_said_in_the_form(core: Core) -> None:
    result = await core.set_up_by_hand("127.0.0.1", free_port())
    core.hass.config_entries.flow.async_abort(result["flow_id"])
    assert result["errors"] == {"base": "cannot_connect"}


async def test_reload_keeps_the_entity(engine: Engine) -> None:
    before = engine.entity
    assert await engine.core.hass.config_entries.async_reload(engine.entry.entry_id)
    assert engine.entity is not before
    (await speak(engine, "I have been reloaded.")).check()


async def test_a_restarted_server_speaks_at_once(own_server: SpeechServer, own_engine: Engine) -> None:
    """The core opens a connection for every text, so nothing has to be reloaded; a reload does no harm either."""
    (await speak(own_engine, "Before the restart.")).check()
    assert await own_server.stop() == 0, own_server.log
    await own_server.start()
    (await speak(own_engine, "After the restart.")).check()
    assert await own_engine.core.hass.config_entries.async_reload(own_engine.entry.entry_id)
    (await speak(own_engine, "After the reload.")).check()


async def test_a_server_that_was_down_is_found_again(own_server: SpeechServer, own_engine: Engine) -> None:
    """Down: a failure at once, and the core tries again by itself. Up: it speaks."""
    config_entries = own_engine.core.hass.config_entries
    await own_server.kill()
    assert isinstance(await outcome(own_engine, "Is anybody there?"), Failure)
    await config_entries.async_reload(own_engine.entry.entry_id)
    assert own_engine.entry.state is ConfigEntryState.SETUP_RETRY
    await own_server.start()
    await until(lambda: own_engine.entry.state is ConfigEntryState.LOADED, "the core finds the server again")
    (await speak(own_engine, "Here I am again.")).check()


@pytest.mark.skipif(not STREAMS, reason="this core does not stream text")
async def test_a_server_that_stops_while_speaking_says_so(own_server: SpeechServer, own_engine: Engine) -> None:
    """An end of the connection without ``error`` would count as success, and half a sentence would be kept."""
    stopped = asyncio.Event()
    stopping: list[asyncio.Task[int]] = []

    async def text() -> AsyncGenerator[str]:
        yield "The washing machine is done and the dryer is free. The dish washer is still running, and "
        await stopped.wait()
        yield "it needs a while longer."

    def heard(_: object) -> None:
        if not stopping:
            stopping.append(asyncio.create_task(own_server.stop()))
            stopping[0].add_done_callback(lambda _: stopped.set())

    if HEARS_ERRORS:
        with pytest.raises(HomeAssistantError):
            await speak_stream(own_engine, text(), heard)
    else:
        await speak_stream(own_engine, text(), heard)
    assert await stopping[0] == 0, own_server.log


@pytest.mark.parametrize("host", ["0.0.0.0", ""], ids=["ipv4", "all-interfaces"])
async def test_discovered_confirmed_and_withdrawn(discovering_core: Core, tmp_path: Path, host: str) -> None:
    """The core's own zeroconf browser finds the announcement, and drops its offer when it is withdrawn.

    The unique id is the instance's name and the program's name; both have to stay the same over restarts.
    """
    core = discovering_core
    name = f"Harness {free_port()}"
    server = SpeechServer(free_port(), tmp_path / "server", host=host, arguments=("--zeroconf", name))
    unique_id = f"{name}._wyoming._tcp.local._"

    def offers() -> list[str]:
        flows = [flow for flow in core.now_configuring if flow["context"]["source"] == "zeroconf"]
        return [flow["flow_id"] for flow in flows if str(flow["context"].get("unique_id")).startswith(unique_id)]

    try:
        await server.start()
        await until(lambda: bool(offers()), f"the core discovers {name!r}; needs multicast")
        assert await server.stop() == 0, server.log
        await until(lambda: not offers(), "the core drops the offer of a server that left")

        await server.start()
        await until(lambda: bool(offers()), "the core discovers the server once more")
        result = await core.hass.config_entries.flow.async_configure(offers()[0], {})
        await core.hass.async_block_till_done()
        assert result["type"] == "create_entry"
        program = await describe(server.port)
        assert result["title"] == program.name
        assert result["result"].unique_id == unique_id + program.name
        (await speak(core.engine(result["result"]), "You have found me.")).check()
        await core.hass.config_entries.async_remove(result["result"].entry_id)
    finally:
        await server.kill()
