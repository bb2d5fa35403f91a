"""The app's page: what it shows, and to whom."""

import asyncio
import http.client
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest

from wyoming_pocket_tts import __version__
from wyoming_pocket_tts.core.address import TcpAddress, parse_uri
from wyoming_pocket_tts.core.types import Voice
from wyoming_pocket_tts.home_assistant.app import ingress_page, render_page


def voice(name: str, *, installed: bool = True) -> Voice:
    return Voice(name=name, description=name, languages=("en", "de"), sample_rate_hz=24_000, installed=installed)


VOICES = [voice("Kitchen <b>"), voice("alba", installed=False)]


@asynccontextmanager
async def shown(visitor: str = "127.0.0.1") -> AsyncIterator[int]:
    """A page that listens, on the port yielded."""
    page = ingress_page(lambda: VOICES, port=0, visitor=visitor)
    await page.start()
    try:
        address = parse_uri(page.addresses[0].replace("http", "tcp"))
        assert isinstance(address, TcpAddress)
        yield address.port
    finally:
        await page.aclose()


async def ask(port: int, path: str = "/", **headers: str) -> tuple[http.client.HTTPResponse, str]:
    def get() -> tuple[http.client.HTTPResponse, str]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return answer, answer.read().decode()
        finally:
            connection.close()

    return await asyncio.to_thread(get)


async def test_it_shows_who_speaks_and_who_is_to_come() -> None:
    async with shown() as page:
        answer, text = await ask(page, X_Ingress_Path="/api/hassio_ingress/secret")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert f"Pocket TTS {__version__}" in text
    assert "1 of 2 voices" in text
    assert "<td>Kitchen &lt;b&gt;</td><td>en, de</td><td></td>" in text
    assert "<td>alba</td><td>en, de</td><td>is still to come</td>" in text


async def test_it_speaks_german_to_those_who_do() -> None:
    async with shown() as page:
        _, text = await ask(page, Accept_Language="de-AT,de;q=0.9,en;q=0.8")
    assert '<html lang="de">' in text
    assert "1 von 2 Stimmen" in text


async def test_nothing_in_it_leads_anywhere() -> None:
    """Home Assistant shows it below a path of its own, in a frame: an absolute link would leave that."""
    for language in ("en", "de"):
        page = render_page(VOICES, language)
        links = [part.partition('"')[0] for mark in ("href=", "src=", "action=") for part in page.split(f'{mark}"')[1:]]
        assert [link for link in links if urlsplit(link).scheme != "data"] == []
    async with shown() as running:
        answer, _ = await ask(running)
        missing, _ = await ask(running, "/etc/passwd")
    assert "X-Frame-Options" not in answer.headers
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert missing.status == 404


async def test_only_the_supervisor_is_answered() -> None:
    async with shown(visitor="172.30.32.2") as page:
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            await ask(page)


async def test_a_client_that_leaves_in_the_middle_harms_nobody() -> None:
    async with shown() as page:
        with socket.create_connection(("127.0.0.1", page)) as rude:
            rude.sendall(b"GET / HT")
        assert (await ask(page))[0].status == 200
