"""Entry point of the Home Assistant app: options, Supervisor discovery, ingress page."""

import asyncio
import http.client
import json
import logging
import os
import socket
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from http import HTTPStatus
from pathlib import Path
from typing import Any

from wyoming_pocket_tts import __version__
from wyoming_pocket_tts.config.loader import read_settings
from wyoming_pocket_tts.core.address import TcpAddress, parse_uri
from wyoming_pocket_tts.core.errors import ConfigError, TtsError
from wyoming_pocket_tts.core.types import Voice
from wyoming_pocket_tts.home_assistant.options import TOKEN, explain_log, explained, mistakes, settings_of
from wyoming_pocket_tts.server.app import run_service
from wyoming_pocket_tts.server.components import Components, build_components
from wyoming_pocket_tts.server.http import HttpRequest, HttpResponse, HttpServer

_LOGGER = logging.getLogger(__name__)

EXIT_FAILURE = 1
EXIT_USAGE = 2
SUPERVISOR = "http://supervisor"
SUPERVISOR_ADDRESS = "172.30.32.2"
"""Source of ingress requests, which come from logged-in users; no other client is answered."""
INGRESS_PORT = 8099
"""``ingress_port`` of the app's config.yaml."""
_TIMEOUT_SECONDS = 4.0
"""``close`` may have to wait for it, and a container has ten seconds to stop."""
_FIRST_PAUSE_SECONDS = 2.0
_LONGEST_PAUSE_SECONDS = 60.0
_TEXTS = {
    "en": (
        "It is running, and speaks with {here} of {all} voices; models, voices and satellites are options of this app.",
        ("Voice", "Languages", ""),
        "is still to come",
    ),
    "de": (
        "Läuft und spricht mit {here} von {all} Stimmen; Modelle, Stimmen und Satelliten sind Optionen dieser App.",
        ("Stimme", "Sprachen", ""),
        "kommt noch",
    ),
}
_HEADERS = (("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'"),)


class SupervisorDiscovery:
    """Announces a URI to Home Assistant, with retries on a thread of its own."""

    def __init__(
        self, uri: str, token: str, *, supervisor: str = SUPERVISOR, first_pause_seconds: float = _FIRST_PAUSE_SECONDS
    ) -> None:
        self._request = urllib.request.Request(  # noqa: S310  (the Supervisor's http address)
            f"{supervisor}/discovery",
            data=json.dumps({"service": "wyoming", "config": {"uri": uri}}).encode(),
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )
        self._uri = uri
        self._pause_seconds = first_pause_seconds
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="supervisor-discovery")

    def start(self) -> None:
        """The service has to answer already: Home Assistant connects at once."""
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()

    def close(self) -> None:
        self.stop()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopped.is_set() and not self._announce():
            self._stopped.wait(self._pause_seconds)
            self._pause_seconds = min(2 * self._pause_seconds, _LONGEST_PAUSE_SECONDS)

    def _announce(self) -> bool:
        try:
            with urllib.request.urlopen(self._request, timeout=_TIMEOUT_SECONDS):  # noqa: S310  (see above)
                pass
        except urllib.error.HTTPError as error:
            with error:
                return self._is_final(error)
        except (OSError, http.client.HTTPException) as error:  # the latter: the answer is not HTTP
            _LOGGER.warning("The Supervisor does not answer (%s); trying again", error)
            return False
        _LOGGER.info("Home Assistant has been told about %s", self._uri)
        return True

    def _is_final(self, error: urllib.error.HTTPError) -> bool:
        final = HTTPStatus.BAD_REQUEST <= error.code < HTTPStatus.INTERNAL_SERVER_ERROR
        final = final and error.code != HTTPStatus.TOO_MANY_REQUESTS
        _LOGGER.warning(
            "The Supervisor refuses to tell Home Assistant about this app (%s %s)%s",
            error.code,
            error.reason,
            f"; add it by hand: Wyoming Protocol, {self._uri}" if final else "; trying again",
        )
        return final


def ingress_page(
    voices: Callable[[], Sequence[Voice]], *, port: int = INGRESS_PORT, visitor: str = SUPERVISOR_ADDRESS
) -> HttpServer:
    """A server of one page that lists the voices. Clients other than ``visitor`` are not answered."""

    async def get(request: HttpRequest) -> HttpResponse:
        language = "de" if request.headers.get("accept-language", "").lower().startswith("de") else "en"
        return HttpResponse(render_page(voices(), language), content_type="text/html; charset=utf-8", headers=_HEADERS)

    return HttpServer({"/": get}, host="0.0.0.0", port=port, only_from=visitor)  # noqa: S104  (within the app)


def render_page(voices: Sequence[Voice], language: str) -> str:
    """The page in a language, ``en`` or ``de``; without links, since its path is unknown."""
    text, heads, coming = _TEXTS[language]
    rows = [(voice.name, ", ".join(voice.languages), "" if voice.installed else coming) for voice in voices]
    here = sum(voice.installed for voice in voices)
    table = _row("th", heads) + "".join(_row("td", row) for row in rows)
    return (
        f'<!DOCTYPE html><html lang="{language}"><head><meta charset="utf-8"><title>Pocket TTS</title>'
        '<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">'
        "<style>:root{color-scheme:light dark;font-family:sans-serif}body{margin:2em;max-width:50em}"
        "td,th{text-align:left;padding:.2em 1.5em .2em 0}</style></head>"
        f"<body><h1>Pocket TTS {escape(__version__)}</h1><p>{text.format(here=here, all=len(voices))}</p>"
        f"<table>{table}</table></body></html>"
    )


def _row(kind: str, cells: Sequence[str]) -> str:
    return f"<tr>{''.join(f'<{kind}>{escape(cell)}</{kind}>' for cell in cells)}</tr>"


@dataclass(frozen=True, slots=True)
class AppPaths:
    """Directories that the Supervisor maps into the app."""

    data: Path
    """Of the app alone, kept across updates."""
    share: Path
    """Below the folder ``share`` of Home Assistant, which users can reach; recordings are in its folder ``voices``."""

    @property
    def settings(self) -> Path:
        return self.data / "settings.yaml"


IN_THE_APP = AppPaths(data=Path("/data"), share=Path("/share/wyoming-pocket-tts"))


def prepare(paths: AppPaths) -> str:
    """Write the settings file and create the folder for recordings; return the model hub's token, or ``""``."""
    file, voices = paths.data / "options.json", paths.share / "voices"
    try:
        options = json.loads(file.read_text(encoding="utf-8"))
        settings = settings_of(options, data=paths.data, recordings=paths.share)
        # JSON is YAML, and keeps texts as they are.
        paths.settings.write_text(json.dumps(settings, ensure_ascii=False, indent=1), encoding="utf-8")
        voices.mkdir(parents=True, exist_ok=True)
        watched = paths.data / "voices"  # users cannot reach the folder that the service watches
        if not watched.exists() and not watched.is_symlink():
            watched.symlink_to(voices)
    except OSError as error:
        raise TtsError(f"{error.filename}: {error.strerror}; is this a Home Assistant app?") from error
    except json.JSONDecodeError as error:
        raise ConfigError(f"{file}: is not JSON: {error}") from error
    return str(options.get(TOKEN) or "")


def serve(paths: AppPaths, environment: Mapping[str, str]) -> None:
    settings = read_settings(paths.settings, {})
    explain_log(paths.settings)
    address = parse_uri(settings.server.uri)
    port = address.port if isinstance(address, TcpAddress) else 0

    def load() -> Components:
        components = build_components(settings, file=paths.settings)
        token = environment.get("SUPERVISOR_TOKEN")
        if not token:
            return components
        uri = str(TcpAddress(socket.gethostname(), port))
        discovery = SupervisorDiscovery(uri, token, supervisor=environment.get("SUPERVISOR_URL", SUPERVISOR))
        return replace(components, helpers=(*components.helpers, discovery))

    def make_page(ensemble: Components) -> HttpServer:
        return ingress_page(ensemble.cast.voices, port=int(environment.get("INGRESS_PORT", INGRESS_PORT)))

    has_supervisor = bool(environment.get("SUPERVISOR_TOKEN"))
    asyncio.run(run_service(load, settings, ends_process=True, make_page=make_page if has_supervisor else None))


def main(paths: AppPaths = IN_THE_APP, leave: Callable[[int], Any] = sys.exit) -> None:
    try:
        token = prepare(paths)
        if token:
            os.environ["HF_TOKEN"] = token
        try:
            serve(paths, os.environ)
        except ConfigError as error:  # the first mistake; report all
            raise ConfigError("\n".join(mistakes(paths.settings, os.environ)) or str(error)) from error
    except TtsError as error:
        for line in explained(str(error), paths.settings).splitlines():
            sys.stderr.write(f"wyoming-pocket-tts: {line}\n")
        leave(EXIT_USAGE if isinstance(error, ConfigError) else EXIT_FAILURE)


if __name__ == "__main__":
    main()
