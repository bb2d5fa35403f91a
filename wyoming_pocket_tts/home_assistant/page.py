"""Shows in Home Assistant, by its ingress, who can speak: one page of HTML, written afresh for each look.

Answers the Supervisor alone, which lets people in who are logged in. The page has no links, so that it does not matter
under which path people see it. Knows no service but its voices; owns one thread.
"""

import logging
import socketserver
import threading
from collections.abc import Callable, Sequence
from html import escape
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler

from wyoming_pocket_tts import __version__
from wyoming_pocket_tts.speech import Voice

_LOGGER = logging.getLogger(__name__)

PORT = 8099
"""``ingress_port`` of the app's config.yaml."""
SUPERVISOR_ADDRESS = "172.30.32.2"
"""From where the Supervisor passes on what people ask for; others have not logged in."""
_CLIENT_SECONDS = 4.0
"""Closing may have to wait for it."""
_POLL_SECONDS = 0.2

_WORDS = {
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
_HEADERS = (
    ("Content-Type", "text/html; charset=utf-8"),
    ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'"),
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
)


class Page:
    """The page, once it is started. A helper of the service (``engines``)."""

    def __init__(
        self, voices: Callable[[], Sequence[Voice]], *, port: int = PORT, visitor: str = SUPERVISOR_ADDRESS
    ) -> None:
        """Prepare to show ``voices`` to whoever asks from the address ``visitor``; port 0 is any that is free."""
        self._voices = voices
        self._port = port
        self._visitor = visitor
        self._server: _Server | None = None
        self._thread = threading.Thread(target=self._run, name="page")

    @property
    def port(self) -> int:
        """Where it listens; 0 unless it does."""
        return self._server.server_address[1] if self._server is not None else 0

    def start(self) -> None:
        """Listen. A port that is taken costs the page alone."""
        try:
            self._server = _Server(self._port, self._visitor, self._voices)
        except OSError as error:
            _LOGGER.warning("Home Assistant cannot show the app's page: port %d: %s", self._port, error.strerror)
            return
        self._thread.start()

    def stop(self) -> None:
        """Does nothing: an answer takes no time worth giving up."""

    def close(self) -> None:
        """Answer no more, and join the thread."""
        if self._server is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()

    def _run(self) -> None:
        assert self._server is not None, "it was made before the thread began"  # noqa: S101  (our own invariant)
        self._server.serve_forever(_POLL_SECONDS)


class _Server(socketserver.TCPServer):
    """Not the library's HTTPServer, which asks the network for this machine's name first."""

    allow_reuse_address = True

    def __init__(self, port: int, visitor: str, voices: Callable[[], Sequence[Voice]]) -> None:
        self.voices = voices
        self._visitor = visitor
        super().__init__(("0.0.0.0", port), _Handler)  # noqa: S104  (within the app; strangers are sent away below)

    def verify_request(self, request: object, client_address: tuple[str, int]) -> bool:  # noqa: ARG002  (the library's interface)
        return client_address[0] == self._visitor

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002
        _LOGGER.debug("The app's page could not be shown", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    timeout = _CLIENT_SECONDS
    server: _Server

    def do_GET(self) -> None:
        """Send the page."""
        if self.path.partition("?")[0] != "/":
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        language = "de" if self.headers.get("Accept-Language", "").lower().startswith("de") else "en"
        content = written(self.server.voices(), language).encode()
        self.send_response(HTTPStatus.OK)
        for name, value in (*_HEADERS, ("Content-Length", str(len(content)))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def version_string(self) -> str:
        """Nothing about Python."""
        return "wyoming-pocket-tts"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the library's name)
        """People look at the page; the log is for what goes wrong."""


def written(voices: Sequence[Voice], language: str) -> str:
    """The page in a language, ``en`` or ``de``."""
    text, heads, coming = _WORDS[language]
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
