"""Runs a real Home Assistant core inside the test's event loop. Knows nothing about the speech server.

Nothing is mocked: configuration folder, registries, config entries, web server and sockets are the real ones. Left out
are the web page and the integrations that a speech server never meets; nothing is installed at run time.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from homeassistant import bootstrap, config_entries, loader
from homeassistant.auth.const import GROUP_ID_ADMIN
from homeassistant.components import tts
from homeassistant.const import MAJOR_VERSION, MINOR_VERSION
from homeassistant.core import HomeAssistant
from homeassistant.core_config import async_process_ha_core_config
from homeassistant.helpers import entity_registry
from homeassistant.setup import async_setup_component

VERSION: tuple[int, int] = (MAJOR_VERSION, MINOR_VERSION)

HEARS_ERRORS = VERSION >= (2026, 9)
"""Since then an ``error`` event fails the speech; before, it was passed over and only the closing events counted."""
POLLS_DESCRIBE = VERSION >= (2026, 9)
"""Since then ``describe`` is asked every 30 s, and the voice list follows."""
SORTS_LANGUAGES = VERSION >= (2026, 9)
"""Before, the default language was any of ours, another one each time the core started."""
STREAMS = hasattr(tts.ResultStream, "async_set_message_stream")
"""Whether this core sends text to a speech server while it is still being written."""

CONVERTS_AT_ONCE = hasattr(tts, "PcmFormat")
"""Whether ffmpeg is told our audio's format; before, it wanted minutes of it to look at before its first MP3 frame."""

_COMPONENTS = (
    *("homeassistant", "http", "api", "websocket_api", "config"),
    *("media_player", "media_source", "tts", "assist_pipeline"),
)


def free_port() -> int:
    """A TCP port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Core:
    """A running core, and what a browser or a media player would hold to talk to it."""

    hass: HomeAssistant
    web: aiohttp.ClientSession
    """Signed in as the owner; relative addresses lead to the core."""

    @property
    def now_configuring(self) -> list[dict[str, Any]]:
        """The config flows of the wyoming integration that wait for a click."""
        return list(self.hass.config_entries.flow.async_progress_by_handler("wyoming"))

    async def set_up_by_hand(self, host: str, port: int) -> dict[str, Any]:
        """Settings > Add integration > Wyoming: returns where the flow ended."""
        flow = self.hass.config_entries.flow
        form = await flow.async_init("wyoming", context={"source": config_entries.SOURCE_USER})
        result: dict[str, Any] = await flow.async_configure(form["flow_id"], {"host": host, "port": port})
        await self.hass.async_block_till_done()
        return result

    def engine(self, entry: config_entries.ConfigEntry) -> "Engine":
        """The one text-to-speech entity that a config entry made."""
        registry = entity_registry.async_get(self.hass)
        (found,) = entity_registry.async_entries_for_config_entry(registry, entry.entry_id)
        return Engine(self, entry, str(found.entity_id))


@dataclass(frozen=True)
class Engine:
    """A speech server as the core has it: a config entry with one text-to-speech entity."""

    core: Core
    entry: config_entries.ConfigEntry
    entity_id: str

    @property
    def entity(self) -> tts.TextToSpeechEntity:
        """The entity object; another one after a reload."""
        return self.core.hass.data["tts"].get_entity(self.entity_id)

    @property
    def streams(self) -> bool:
        """Whether the core will stream text to it."""
        return STREAMS and bool(self.entity.async_supports_streaming_input())


@asynccontextmanager
async def running_core(config_dir: Path, *, also: Iterable[str] = ()) -> AsyncIterator[Core]:
    """Start a core with a fresh configuration folder and the components of ``also``; stop it at the end."""
    port = free_port()
    config: dict[str, Any] = {
        "homeassistant": {"name": "Home", "latitude": 52.0, "longitude": 5.0, "elevation": 0, "time_zone": "UTC"},
        "http": {"server_host": ["127.0.0.1"], "server_port": port},
    }
    hass = HomeAssistant(str(config_dir))
    try:
        # The same steps as homeassistant.bootstrap.async_setup_hass, less its fall-back to recovery mode.
        loader.async_setup(hass)
        hass.config.skip_pip = True
        hass.config_entries = config_entries.ConfigEntries(hass, config)
        await loader.async_get_custom_components(hass)
        await bootstrap.async_load_base_functionality(hass)
        await async_process_ha_core_config(hass, config["homeassistant"])
        for component in (*_COMPONENTS, *also):
            assert await async_setup_component(hass, component, config), f"{component} was not set up"
        await hass.async_start()
        token = await _owner_token(hass)
        async with aiohttp.ClientSession(
            f"http://127.0.0.1:{port}",
            headers={"Authorization": f"Bearer {token}"},
            timeout=aiohttp.ClientTimeout(total=60),
        ) as web:
            yield Core(hass, web)
    finally:
        await hass.async_stop(force=True)
        await asyncio.sleep(0)  # let closed transports go before the loop does


async def _owner_token(hass: HomeAssistant) -> str:
    owner = await hass.auth.async_create_user("Owner", group_ids=[GROUP_ID_ADMIN])
    refresh_token = await hass.auth.async_create_refresh_token(owner, "http://localhost/")
    return str(hass.auth.async_create_access_token(refresh_token))
