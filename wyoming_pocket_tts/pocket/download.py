"""Http(s) sources with resume."""

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from typing import IO, NoReturn
from urllib.parse import urlsplit

from tqdm import tqdm

from wyoming_pocket_tts.core.errors import (
    AccessDenied,
    ConfigError,
    DownloadError,
    IncompleteDownload,
    NotFound,
    Unreachable,
)
from wyoming_pocket_tts.core.system import atomic_path

_TIMEOUT_SECONDS = 30
_BLOCK_BYTES = 1 << 20
_LARGEST_BYTES = 16 << 30
_RESUMES = 5
"""How often a connection may break; each time the download goes on where it was."""


def fetch_web_file(
    url: str,
    *,
    user_agent: str,
    local_files_only: bool,
    folder: Path | None = None,
    progress: Callable[[float], None] | None = None,
) -> Path:
    """Return the cached copy of a URL (http or https), downloading it on the first call.

    ``folder`` is the cache; by default one of this program's in the user's cache directory. ``progress`` is told which
    share has come, 0 to 1, in place of a bar on the terminal.

    Raises:
        AccessDenied, NotThere, Unreachable, Incomplete, DownloadError: see ``hub.fetch``.
        ConfigError: the URL names no server.
    """
    parts = urlsplit(url)
    if not parts.hostname:
        raise ConfigError(f"{url}: names no server")
    folder = folder or _cache_folder()
    target = folder / (hashlib.sha256(url.encode()).hexdigest() + PurePosixPath(parts.path).suffix)
    if target.exists():
        return target
    if local_files_only:
        raise Unreachable(f"{url}: is not on this machine, and the network is not to be used")
    folder.mkdir(parents=True, exist_ok=True)
    # Each download has its own file: several processes may want the same one at the same time.
    with atomic_path(target) as partial, partial.open("xb") as file:
        _Download(url, user_agent, progress).save(file)
    return target


def _cache_folder() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "wyoming-pocket-tts" / "downloads"


class _Download:
    """One file on its way; survives broken connections where the server can continue."""

    def __init__(self, url: str, user_agent: str, tell: Callable[[float], None] | None) -> None:
        self._url = url
        self._tell = tell
        self._user_agent = user_agent
        self._opener = _opener()
        self._total: int | None = None
        """Length in bytes, as the server announced it."""
        self._version: str | None = None
        """What the server calls this version of the file: another one must not be appended to it."""
        self._received = 0

    def save(self, file: IO[bytes]) -> None:
        name = PurePosixPath(urlsplit(self._url).path).name
        hidden = True if self._tell else None  # None: shown on a terminal only
        with tqdm(desc=name, unit="B", unit_scale=True, disable=hidden) as progress:
            for _ in range(1 + _RESUMES):
                before = self._received
                if self._receive(file, progress):
                    return
                if self._version is None or self._received == before:
                    break
        raise IncompleteDownload(
            f"{self._url}: the connection broke after {self._received} of {self._total} bytes; try again"
        )

    def _receive(self, file: IO[bytes], progress: "tqdm[NoReturn]") -> bool:
        """Receive until the end or until the connection breaks; tell whether the file is complete."""
        with self._open() as response:
            if response.status != HTTPStatus.PARTIAL_CONTENT:  # from the beginning
                file.seek(0)
                file.truncate()
                self._received = 0
                length = response.headers.get("Content-Length")
                self._total = int(length) if length and length.isdecimal() else None
                self._version = response.headers.get("ETag") or response.headers.get("Last-Modified")
                progress.reset(self._total)
            try:
                while block := response.read(_BLOCK_BYTES):
                    file.write(block)
                    self._received += len(block)
                    progress.update(len(block))
                    if self._tell and self._total:
                        self._tell(min(1.0, self._received / self._total))
                    if self._received > (_LARGEST_BYTES if self._total is None else self._total):
                        raise IncompleteDownload(f"{self._url}: more comes than the announced {self._total} bytes")
            except http.client.IncompleteRead as cut:
                file.write(cut.partial)
                self._received += len(cut.partial)
                return False
            except (ConnectionError, TimeoutError):
                return False
        return self._total is None or self._received == self._total

    def _open(self) -> http.client.HTTPResponse:
        headers = {"User-Agent": self._user_agent}
        if self._received and self._version:
            headers |= {"Range": f"bytes={self._received}-", "If-Range": self._version}
        request = urllib.request.Request(self._url, headers=headers)  # noqa: S310  (the opener knows http and https alone)
        try:
            response: http.client.HTTPResponse = self._opener.open(request, timeout=_TIMEOUT_SECONDS)
        except urllib.error.HTTPError as error:
            with error:
                raise _meaning_of(self._url, error) from error
        except urllib.error.URLError as error:
            raise Unreachable(f"{self._url}: the server does not answer: {error.reason}") from error
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(f"{self._url}: the server does not answer: {error or type(error).__name__}") from error
        return response


def _meaning_of(url: str, error: urllib.error.HTTPError) -> DownloadError:
    match error.code:
        case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
            return AccessDenied(f"{url}: the server does not give it to everybody ({error.code})")
        case HTTPStatus.NOT_FOUND | HTTPStatus.GONE:
            return NotFound(f"{url}: there is no such file ({error.code})")
        case _:
            return Unreachable(
                f"{url}: the server answers with an error ({error.code} {error.reason}); try again later"
            )


def _opener() -> urllib.request.OpenerDirector:
    """Like urllib's own, without ftp:// and file://, to which a redirect could lead."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPErrorProcessor,
        urllib.request.UnknownHandler,
    ):
        opener.add_handler(handler())
    return opener
