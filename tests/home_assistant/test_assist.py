"""The Assist pipeline: a conversation agent writes, our server speaks, a satellite listens."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from homeassistant.components import conversation

from .core import CONVERTS_AT_ONCE, STREAMS, Engine
from .speaking import PATIENCE_SECONDS, fetch

_AGENT_SAYS = (
    "The weather tomorrow will be mild with some clouds in the morning. ",
    "In the afternoon the sun comes out, ",
    "and in the evening it may rain.",
)


class _Agent(conversation.ConversationEntity):
    """A language model that stops after its first sentence until it is told to go on."""

    _attr_name = "Harness agent"
    _attr_supports_streaming = True
    supported_languages = "*"

    def __init__(self) -> None:
        self.go_on = asyncio.Event()

    async def _async_handle_message(
        self, user_input: conversation.ConversationInput, chat_log: conversation.ChatLog
    ) -> conversation.ConversationResult:
        async for _ in chat_log.async_add_delta_content_stream(self.entity_id, self._deltas()):
            pass
        return conversation.async_get_result_from_chat_log(user_input, chat_log)

    async def _deltas(self) -> AsyncGenerator[dict[str, str]]:
        yield {"role": "assistant"}
        yield {"content": _AGENT_SAYS[0]}
        await self.go_on.wait()
        for delta in _AGENT_SAYS[1:]:
            yield {"content": delta}


@pytest_asyncio.fixture(loop_scope="session")
async def agent(engine: Engine) -> AsyncIterator[_Agent]:
    """A conversation agent in the core."""
    entity = _Agent()
    await engine.core.hass.data["conversation"].async_add_entities([entity])
    yield entity
    await entity.async_remove(force_remove=True)


class _Panel:
    """A page of the frontend: commands and events over one websocket."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._last_id = 0

    async def command(self, **command: object) -> dict[str, Any]:
        """Send a command and return its result."""
        self._last_id += 1
        await self._socket.send_json({"id": self._last_id, **command})
        while True:
            message = await self._socket.receive_json()
            if message["id"] == self._last_id and message["type"] == "result":
                assert message["success"], message
                return dict(message["result"] or {})

    async def event(self, kind: str) -> dict[str, Any]:
        """Wait for an event of the running pipeline."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                event: dict[str, Any] = (await self._socket.receive_json())["event"]
                assert event["type"] != "error" or kind == "error", event
                if event["type"] == kind:
                    return dict(event["data"] or {})


@pytest_asyncio.fixture(loop_scope="session")
async def panel(engine: Engine) -> AsyncIterator[_Panel]:
    """An open page, signed in as the owner."""
    async with engine.core.web.ws_connect("/api/websocket") as socket:
        await socket.receive_json()
        token = engine.core.web.headers["Authorization"].removeprefix("Bearer ")
        await socket.send_json({"type": "auth", "access_token": token})
        assert (await socket.receive_json())["type"] == "auth_ok"
        yield _Panel(socket)


async def _pipeline(panel: _Panel, engine: Engine, agent: str, voice: str | None) -> str:
    created = await panel.command(
        type="assist_pipeline/pipeline/create",
        name=f"{agent} {voice}",
        language="en",
        conversation_engine=agent,
        conversation_language="en",
        stt_engine=None,
        stt_language=None,
        tts_engine=engine.entity_id,
        tts_language=engine.entity.default_language,
        tts_voice=voice,
        wake_word_entity=None,
        wake_word_id=None,
    )
    return str(created["id"])


async def test_the_pages_list_our_voices(engine: Engine, panel: _Panel) -> None:
    """What the page for a pipeline's settings asks, for English as people have it."""
    providers = (await panel.command(type="tts/engine/list", language="en", country="US"))["providers"]
    (ours,) = (provider for provider in providers if provider["engine_id"] == engine.entity_id)
    assert ours["supported_languages"], "the page would not offer the engine for English"
    listed = await panel.command(
        type="tts/engine/voices", engine_id=engine.entity_id, language=ours["supported_languages"][0]
    )
    assert listed["voices"]


@pytest.mark.parametrize("chosen", [False, True], ids=["no-voice", "first-voice"])
async def test_a_short_answer_is_spoken(engine: Engine, panel: _Panel, chosen: bool) -> None:
    """Home Assistant's own agent answers in a few words: the whole text at once, as MP3."""
    voices = engine.entity.async_get_supported_voices(engine.entity.default_language)
    voice = voices[0].voice_id if chosen else None
    pipeline = await _pipeline(panel, engine, "conversation.home_assistant", voice)
    await panel.command(
        type="assist_pipeline/run",
        pipeline=pipeline,
        start_stage="intent",
        end_stage="tts",
        input={"text": f"please compare the fish with the bicycle, {chosen}"},
    )
    output = (await panel.event("tts-end"))["tts_output"]
    assert len(await fetch(engine, output["url"])) > 2000


@pytest.mark.skipif(not (STREAMS and CONVERTS_AT_ONCE), reason="this core does not stream text, or not as MP3")
async def test_a_long_answer_is_heard_before_it_is_thought_out(engine: Engine, panel: _Panel, agent: _Agent) -> None:
    """The core streams once an answer has more than 60 characters; a satellite is told the address beforehand."""
    pipeline = await _pipeline(panel, engine, agent.entity_id, None)
    await panel.command(
        type="assist_pipeline/run",
        pipeline=pipeline,
        start_stage="intent",
        end_stage="tts",
        input={"text": "what will the weather be tomorrow"},
    )
    url = (await panel.event("run-start"))["tts_output"]["url"]
    audio, heard_before = b"", 0
    async with asyncio.timeout(PATIENCE_SECONDS), engine.core.web.get(url) as response:
        async for block in response.content.iter_any():
            audio += block
            if not agent.go_on.is_set() and len(audio) > 2000:
                heard_before = len(audio)
                agent.go_on.set()
    assert heard_before, "nothing was heard before the answer was complete"
    assert len(audio) > heard_before + 1000, "the rest of the answer was not heard"
    await panel.event("run-end")
