"""`hf://` sources through huggingface_hub, error mapping, offline probe."""

import contextlib
import errno
import inspect
import io
import logging
import os
import re
import socket
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from wyoming_pocket_tts import __version__
from wyoming_pocket_tts.core.errors import (
    AccessDenied,
    CacheNotWritable,
    ConfigError,
    DownloadError,
    HubUnreachable,
    IncompleteDownload,
    NotFound,
    Unreachable,
    quote_untrusted,
)
from wyoming_pocket_tts.pocket.download import fetch_web_file

USER_AGENT = f"wyoming-pocket-tts/{__version__}"

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*", re.ASCII)
_NOT_KEPT = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR}
"""What the system says when a file finds no place."""


Progress = Callable[[float], None]
"""Is told which share of a download has come, 0 to 1."""


def fetch(source: str | Path, *, local_files_only: bool = False, progress: Progress | None = None) -> Path:
    """Return the local file of a source, downloading it unless it is there already.

    ``progress`` is told how far a download is, in place of a bar on the terminal.
    A local path is returned whether it exists or not. ``local_files_only``, or ``HF_HUB_OFFLINE=1`` in the environment,
    forbids the network.

    Raises:
        ConfigError: the source has another scheme, or is no ``hf://owner/repo/path[@revision]``.
        AccessDenied: the file is gated or private.
        NotThere: there is no such file.
        NoConnection: the hub cannot be reached.
        Unreachable: the network or the server does not answer, or must not be used and the file is not here.
        Incomplete: the download ended early or has another size than announced.
    """
    scheme = _SCHEME.match(source) if isinstance(source, str) else None
    if scheme is None:
        return Path(source)
    text = str(source)
    match scheme[1].lower():
        case "hf":
            return _from_hub(HubFile.parse(text), local_files_only=local_files_only, progress=progress)
        case "https" | "http":
            offline = local_files_only or _is_offline()
            return fetch_web_file(text, user_agent=USER_AGENT, local_files_only=offline, progress=progress)
        case _:
            raise ConfigError(
                f"{quote_untrusted(text)}: files come from local paths, https://, http:// and hf:// alone"
            )


def check_access(source: str, *, timeout_seconds: float) -> None:
    """Ask the hub whether a file may be downloaded, with the token of this machine, and download nothing.

    Raises:
        ConfigError: the source is no ``hf://owner/repo/path[@revision]``.
        AccessDenied: the file is gated or private, or the token is refused.
        NotThere: there is no such file.
        Unreachable: the hub does not answer in time, or must not be asked.
    """
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url  # noqa: PLC0415  (slow)

    file = HubFile.parse(source)
    if _is_offline():
        raise Unreachable(f"{file}: HF_HUB_OFFLINE forbids to ask for it")
    constants.HF_HUB_DISABLE_TELEMETRY = True  # as in _from_hub
    silence_hub_logging()
    with _hub_errors(file):
        url = hf_hub_url(file.repository, file.path, revision=file.revision)
        get_hf_file_metadata(url, timeout=timeout_seconds, headers={"user-agent": USER_AGENT})


def is_here(source: str) -> bool:
    """Whether ``fetch`` would find a source on this machine. Does not load the hub's library, which takes 17 MB.

    Raises:
        ConfigError: see ``fetch``.
    """
    if not source.lower().startswith("hf://"):
        try:
            return fetch(source, local_files_only=True).exists()
        except Unreachable:
            return False
    from huggingface_hub import constants  # noqa: PLC0415  (light, as long as nothing else of it is asked for)

    file = HubFile.parse(source)
    repository = Path(constants.HF_HUB_CACHE) / f"models--{file.repository.replace('/', '--')}"
    reference = repository / "refs" / (file.revision or "main")
    commit = reference.read_text(encoding="ascii").strip() if reference.is_file() else file.revision
    return commit is not None and (repository / "snapshots" / commit / file.path).is_file()


def kept_in() -> Path:
    """Where what comes from the hub is kept."""
    from huggingface_hub import constants  # noqa: PLC0415  (light, as long as nothing else of it is asked for)

    return Path(constants.HF_HUB_CACHE)


def has_token() -> bool:
    """Whether somebody has logged in to the hub, or set a token; not whether it is right."""
    from huggingface_hub import constants  # noqa: PLC0415  (light, as long as nothing else of it is asked for)

    variables = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
    return any(os.environ.get(name) for name in variables) or Path(constants.HF_TOKEN_PATH).is_file()


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file in a repository of models on the hub."""

    repository: str
    """``owner/name``."""
    path: str
    revision: str | None = None
    """A commit, tag or branch; the newest commit when not set."""

    @classmethod
    def parse(cls, text: str) -> "HubFile":
        """Read ``hf://owner/repo/path[@revision]``.

        Raises:
            ConfigError: it is something else, or its path tries to leave the repository.
        """
        place, at, revision = text.partition("://")[2].partition("@")
        owner, _, rest = place.partition("/")
        name, _, path = rest.partition("/")
        parts = [*path.split("/"), *(revision.split("/") if at else ())]
        if not all(_HUB_NAME.fullmatch(part) for part in (owner, name)) or not all(map(_is_plain, parts)):
            raise ConfigError(
                f"{quote_untrusted(text)}: must look like hf://owner/repository/path, with @revision behind it or not"
            )
        return cls(f"{owner}/{name}", path, revision or None)

    def __str__(self) -> str:
        return f"hf://{self.repository}/{self.path}" + (f"@{self.revision}" if self.revision else "")


def _is_plain(part: str) -> bool:
    return part not in ("", ".", "..") and part.isprintable() and not set(part) & set("\\@?#%")


def _from_hub(file: HubFile, *, local_files_only: bool, progress: Progress | None) -> Path:
    from huggingface_hub import constants, hf_hub_download  # noqa: PLC0415  (slow; local files do not need it)

    # Otherwise the library asks its server for a list of coding agents, to report the one that it runs under.
    constants.HF_HUB_DISABLE_TELEMETRY = True
    silence_hub_logging()
    if not (local_files_only or _is_offline() or is_here(str(file))):
        _check_connection(file, constants.ENDPOINT)
    with _hub_errors(file):
        return Path(
            hf_hub_download(
                repo_id=file.repository,
                filename=file.path,
                revision=file.revision,
                local_files_only=local_files_only,
                headers={"user-agent": USER_AGENT},
                **bar_options(progress),
            )
        )


def _check_connection(file: HubFile, endpoint: str) -> None:
    """Where there is no network the library tries again and again, for half a minute, before it says so."""
    try:
        check_reachable(endpoint)
    except OSError as error:
        why = _in_one_line(error)
        raise HubUnreachable(f"{file}: is not on this machine, and the hub does not answer: {why}") from error


@contextmanager
def _hub_errors(file: HubFile) -> Iterator[None]:
    """Say what the library's errors mean to the person who wants the file."""
    from huggingface_hub import errors as hub  # noqa: PLC0415  (slow; local files do not need it)

    try:
        yield
    except hub.GatedRepoError as error:
        raise AccessDenied(f"{file}: {_how_to_get_access(file)}") from error
    except hub.RevisionNotFoundError as error:
        raise NotFound(f"{file}: the repository has no revision {file.revision}") from error
    except hub.RepositoryNotFoundError as error:
        # The hub does not tell strangers whether a private repository exists.
        raise NotFound(f"{file}: there is no such repository, or it is private: {_how_to_get_access(file)}") from error
    except hub.LocalEntryNotFoundError as error:
        raise Unreachable(_why_unreachable(file, error)) from error
    except hub.EntryNotFoundError as error:
        raise NotFound(f"{file}: the repository has no such file") from error
    except hub.HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else None
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise AccessDenied(f"{file}: {_how_to_get_access(file)}") from error
        raise Unreachable(f"{file}: {_error_of_the_hub(status)}") from error
    except ConnectionError as error:
        raise Unreachable(f"{file}: the hub does not answer: {_in_one_line(error)}") from error
    except OSError as error:
        if "onsistency check" in str(error):
            raise IncompleteDownload(f"{file}: what came has another size than announced; try again") from error
        if error.errno is not None and error.errno in _NOT_KEPT:
            raise CacheNotWritable(f"{file}: {_why_not_kept(error.errno)}") from error
        raise DownloadError(f"{file}: cannot be downloaded: {_in_one_line(error)}") from error
    except Exception as error:  # what the library's HTTP client raises, which is another in each of its versions
        raise Unreachable(
            f"{file}: the download failed: {_in_one_line(error)}; check the network, try again"
        ) from error


def _how_to_get_access(file: HubFile) -> str:
    from huggingface_hub.constants import ENDPOINT  # noqa: PLC0415  (slow; local files do not need it)

    return (
        f"accept its terms at {ENDPOINT}/{file.repository}, then log in with 'hf auth login' or set HF_TOKEN to a token"
        " of yours"
    )


def _why_not_kept(reason: int) -> str:
    from huggingface_hub.constants import HF_HUB_CACHE  # noqa: PLC0415  (slow; local files do not need it)

    return (
        f"cannot be kept in {HF_HUB_CACHE}: {os.strerror(reason)}: free some space there, make it writable, or let"
        " HF_HOME name another place"
    )


def _why_unreachable(file: HubFile, error: Exception) -> str:
    if _is_offline():
        return f"{file}: is not on this machine, and HF_HUB_OFFLINE forbids to download it"
    if error.__cause__ is None:
        return f"{file}: is not on this machine, and the network is not to be used"
    response = getattr(error.__cause__, "response", None)
    if response is not None:
        return f"{file}: is not on this machine, and {_error_of_the_hub(response.status_code)}"
    return f"{file}: is not on this machine, and the hub does not answer: {_in_one_line(error.__cause__)}"


def _error_of_the_hub(status: int | None) -> str:
    return f"the hub answers with an error ({status}); try again later"


def _is_offline() -> bool:
    from huggingface_hub.constants import HF_HUB_OFFLINE  # noqa: PLC0415  (slow; local files do not need it)

    return bool(HF_HUB_OFFLINE)


def _in_one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def silence_hub_logging() -> None:
    """What it logs is told by our errors; only who debugs wants it, and once: it has a handler of its own besides."""
    from huggingface_hub.utils import logging as _  # noqa: F401, PLC0415  (slow; sets its log up, before we do)

    library = logging.getLogger("huggingface_hub")
    library.handlers.clear()
    library.setLevel(logging.NOTSET if logging.getLogger().isEnabledFor(logging.DEBUG) else logging.CRITICAL)


def bar_options(progress: Progress | None) -> dict[str, Any]:
    """What makes the library tell, where its version can."""
    from huggingface_hub import hf_hub_download  # noqa: PLC0415  (slow; local files do not need it)

    if progress is None or "tqdm_class" not in inspect.signature(hf_hub_download).parameters:
        return {}
    return {"tqdm_class": _silent_bar(progress)}


def _silent_bar(progress: Progress) -> type:
    """Make a class that counts as the library's own does, and shows nothing."""
    from huggingface_hub.utils import tqdm  # type: ignore[attr-defined]  # noqa: PLC0415

    class Bar(tqdm):
        monitor_interval = 0  # no thread

        def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401  (as the library calls it)
            super().__init__(*args, **{**options, "disable": False, "file": io.StringIO()})  # type: ignore[no-untyped-call]

        def display(self, *_: Any, **__: Any) -> None:  # noqa: ANN401
            if self.total:
                progress(min(1.0, self.n / self.total))

    return Bar


_LIMIT_SECONDS = 10.0
"""For all addresses of a server together."""
_PORTS = {"http": 80, "https": 443}


def check_reachable(url: str, *, limit_seconds: float = _LIMIT_SECONDS) -> None:
    """Return if a connection to the server of a URL comes about; behind a proxy, which would make it, at once.

    Raises:
        OSError: its name has no address, or none of its addresses takes the connection.
    """
    parts = urlsplit(url)
    host = parts.hostname
    if host is None or (parts.scheme in urllib.request.getproxies() and not urllib.request.proxy_bypass(host)):
        return
    found = socket.getaddrinfo(host, parts.port or _PORTS.get(parts.scheme, 443), type=socket.SOCK_STREAM)
    deadline_seconds = time.monotonic() + limit_seconds
    reason: OSError | None = None
    for position, (family, kind, protocol, _, address) in enumerate(found):
        patience_seconds = (deadline_seconds - time.monotonic()) / (len(found) - position)
        try:
            with contextlib.closing(socket.socket(family, kind, protocol)) as connection:
                connection.settimeout(max(patience_seconds, 0.1))
                connection.connect(address)
                return
        except OSError as error:
            reason = error
    if reason is not None:
        raise reason


def suffix_of(source: str) -> str:
    """The ending of the file that a path or an address means, in lower case, with its dot."""
    path = urlsplit(source).path if source.startswith(("http://", "https://")) else source
    return PurePosixPath(path.rsplit("@", 1)[0] if source.startswith("hf://") else path).suffix.lower()
