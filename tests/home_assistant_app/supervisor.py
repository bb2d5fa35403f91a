"""A Supervisor for tests: hears what apps announce, and answers as it is told to."""

import json
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

LIMIT_SECONDS = 30.0


class Supervisor:
    """Answers with the codes in order, the last one for ever."""

    def __init__(self, *codes: int) -> None:
        self._heard: queue.Queue[tuple[str, str, Any]] = queue.Queue()
        codes_left = list(codes) or [200]
        heard = self._heard

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                answer = b'{"result": "ok"}'
                self.send_response(codes_left.pop(0) if len(codes_left) > 1 else codes_left[0])
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)
                heard.put((self.path, self.headers["Authorization"], body))

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the standard library's name)
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)

    def next(self) -> tuple[str, str, Any]:
        """Wait for the next announcement: path, authorization, content."""
        return self._heard.get(timeout=LIMIT_SECONDS)

    @property
    def is_quiet(self) -> bool:
        """Whether nothing more has been said."""
        return self._heard.empty()

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


@contextmanager
def supervisor(*codes: int) -> Iterator[Supervisor]:
    running = Supervisor(*codes)
    running.start()
    try:
        yield running
    finally:
        running.close()
