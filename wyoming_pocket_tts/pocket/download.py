"""Http(s) sources with resume."""

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from typing import IO
from urllib.parse import urlsplit

from tqdm import tqdm

from wyoming_pocket_tts import __version__
from wyoming_pocket_tts.core.errors import (
    AccessDenied,
    ConfigError,
    DownloadError,
    IncompleteDownload,
    NotFound,
    Unreachable,
)
from wyoming_pocket_tts.core.system import atomic_path

USER_AGENT = f"wyoming-pocket-tts/{__version__}"

_TIMEOUT_SECONDS = 30
_BLOCK_BYTES = 1 << 20
_LARGEST_BYTES = 16 << 30
_RESUMES = 5
"""How often a connection may break; each time the download goes on where it was."""

Progress = Callable[[float], None]
"""Takes the share of a download that has come, 0 to 1."""


def fetch_web_file(url: str, *, local_files_only: bool, progress: Progress | None = None) -> Path:
    """Return the cached copy of an http(s) URL, downloading it on the first call. Raises as ``hub.fetch``."""
    parts = urlsplit(url)
    if not parts.hostname:
        raise ConfigError(f"{url}: names no server")
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(cache) / "wyoming-pocket-tts" / "downloads"
    target = folder / (hashlib.sha256(url.encode()).hexdigest() + PurePosixPath(parts.path).suffix)
    if target.exists():
        return target
    if local_files_only:
        raise Unreachable(f"{url}: is not on this machine, and the network is not to be used")
    folder.mkdir(parents=True, exist_ok=True)
    # Each download has its own file: several processes may want the same one at the same time.
    with atomic_path(target) as partial, partial.open("xb") as file:
        _download(url, file, progress)
    return target


def status_error(source: str, status: int | None, *, server: str = "the server", access: str = "") -> DownloadError:
    """What an HTTP error status means for a source; ``access`` says how to get what is refused."""
    match status:
        case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
            return AccessDenied(f"{source}: {access or f'{server} refuses access ({status})'}")
        case HTTPStatus.NOT_FOUND | HTTPStatus.GONE:
            return NotFound(f"{source}: there is no such file ({status})")
        case _:
            return Unreachable(f"{source}: {server} answers with an error ({status}); try again later")


def in_one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _download(url: str, file: IO[bytes], progress: Progress | None) -> None:
    """Survives broken connections where the server can continue."""
    received = 0
    total: int | None = None
    version: str | None = None  # the server's tag of this version of the file: no other one may be appended to it
    name = PurePosixPath(urlsplit(url).path).name
    hidden = True if progress else None  # None: shown on a terminal only
    with tqdm(desc=name, unit="B", unit_scale=True, disable=hidden) as bar:
        for _ in range(1 + _RESUMES):
            before = received
            rest = {"Range": f"bytes={received}-", "If-Range": version} if received and version else {}
            with _open(url, rest) as response:
                if response.status != HTTPStatus.PARTIAL_CONTENT:  # from the beginning
                    file.seek(0)
                    file.truncate()
                    received = 0
                    length = response.headers.get("Content-Length")
                    total = int(length) if length and length.isdecimal() else None
                    version = response.headers.get("ETag") or response.headers.get("Last-Modified")
                    bar.reset(total)
                try:
                    while block := response.read(_BLOCK_BYTES):
                        file.write(block)
                        received += len(block)
                        bar.update(len(block))
                        if progress and total:
                            progress(min(1.0, received / total))
                        if received > (_LARGEST_BYTES if total is None else total):
                            raise IncompleteDownload(f"{url}: more comes than the announced {total} bytes")
                    if total in (None, received):
                        return
                except http.client.IncompleteRead as cut:
                    file.write(cut.partial)
                    received += len(cut.partial)
                except (ConnectionError, TimeoutError):
                    pass
            if version is None or received == before:
                break
    raise IncompleteDownload(f"{url}: the connection broke after {received} of {total} bytes; try again")


def _open(url: str, headers: dict[str, str]) -> http.client.HTTPResponse:
    request = urllib.request.Request(url, headers={"User-Agent": USER_AGENT, **headers})  # noqa: S310  (see _opener)
    try:
        response: http.client.HTTPResponse = _opener().open(request, timeout=_TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        with error:
            raise status_error(url, error.code) from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or in_one_line(error)
        raise Unreachable(f"{url}: the server does not answer: {reason}") from error
    return response


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
