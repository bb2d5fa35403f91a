"""A hub on this machine: what huggingface_hub needs for a download, and faults to order. Also a plain web server.

Files lie under ``/owner/repo/resolve/revision/path``; revisions other than commits lead to ``COMMIT``.
"""

import http.server
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_right"  # noqa: S105  (of a hub that does not exist)

_PLACE = re.compile(r"/(?P<repository>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)")


@dataclass(frozen=True)
class Served:
    """A file, and how its delivery goes wrong."""

    content: bytes
    gated: bool = False
    """Whether it takes ``TOKEN`` to get it."""
    cuts: tuple[int, ...] = ()
    """The first downloads break after so many bytes."""
    announced_bytes: int | None = None
    """A length that is not the content's."""
    status: int = 200
    """An error to answer with."""
    resumes: bool = True
    """Whether the server can send the rest of a file."""
    redirect: str | None = None
    """Another address to go to instead."""


@dataclass(frozen=True)
class Request:
    """What somebody asked for."""

    method: str
    path: str
    headers: Mapping[str, str]
    """By name in lower case."""


@dataclass
class FakeHub:
    """The files, by repository and path (or by path alone), and all that was asked for."""

    url: str
    files: dict[str, Served]
    commits: frozenset[str] = frozenset({COMMIT})
    requests: list[Request] = field(default_factory=list)
    downloads: dict[str, int] = field(default_factory=dict)


@contextmanager
def fake_hub(files: Mapping[str, Served | bytes], *, commits: Iterable[str] = (COMMIT,)) -> Iterator[FakeHub]:
    """Serve files until the end of the block. Keys are ``owner/repo/path``; every commit has the same files."""
    served = {name: file if isinstance(file, Served) else Served(file) for name, file in files.items()}
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    url = f"http://127.0.0.1:{server.server_address[1]}"
    server.hub = FakeHub(url, served, frozenset(commits))  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.hub  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        hub: FakeHub = self.server.hub  # type: ignore[attr-defined]
        hub.requests.append(
            Request(self.command, self.path, {key.lower(): value for key, value in self.headers.items()})
        )
        place = _PLACE.fullmatch(self.path)
        name = f"{place['repository']}/{place['path']}" if place else self.path.removeprefix("/")
        if place and not any(other.startswith(f"{place['repository']}/") for other in hub.files):
            return self._refuse(401, "RepoNotFound")
        if place and place["revision"] not in (*hub.commits, "main"):
            return self._refuse(404, "RevisionNotFound")
        if name not in hub.files:
            return self._refuse(404, "EntryNotFound")
        commit = place["revision"] if place and place["revision"] in hub.commits else COMMIT
        return self._answer_for(hub, name, commit, with_body=with_body)

    def _answer_for(self, hub: FakeHub, name: str, commit: str, *, with_body: bool) -> None:
        file = hub.files[name]
        if file.gated and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._refuse(403 if "Authorization" in self.headers else 401, "GatedRepo")
        if file.status >= 400:
            return self._refuse(file.status)
        if file.redirect:
            self.send_response(302)
            self.send_header("Location", file.redirect)
            self.send_header("X-Linked-Size", str(len(file.content)))
            self.send_header("X-Linked-Etag", _etag(file.content))
            self.send_header("X-Repo-Commit", commit)
            self.send_header("Content-Length", "0")
            return self.end_headers()
        return self._send(hub, name, commit, with_body=with_body)

    def _refuse(self, status: int, code: str | None = None) -> None:
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, hub: FakeHub, name: str, commit: str, *, with_body: bool) -> None:
        file = hub.files[name]
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")) if file.resumes else None
        start = int(wanted[1]) if wanted else 0
        content = file.content[start:]
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{len(file.content) - 1}/{len(file.content)}")
        announced = len(content) if file.announced_bytes is None else file.announced_bytes
        self.send_header("Content-Length", str(announced))
        self.send_header("ETag", _etag(file.content))
        self.send_header("X-Repo-Commit", commit)
        self.end_headers()
        if with_body:
            number = hub.downloads.get(name, 0)
            hub.downloads[name] = number + 1
            end = file.cuts[number] if number < len(file.cuts) else len(content)
            self.wfile.write(content[:end])
            self.close_connection = True


def _etag(content: bytes) -> str:
    return f'"{sha256(content).hexdigest()}"'
