"""`hf://` sources through huggingface_hub, error mapping, offline probe."""

import errno
import inspect
import io
import logging
import os
import re
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

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
from wyoming_pocket_tts.pocket.download import USER_AGENT, Progress, fetch_web_file, in_one_line, status_error

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*", re.ASCII)
_NOT_WRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR}
_CONNECT_SECONDS = 10.0
"""For all addresses of a server together."""
_PORTS = {"http": 80, "https": 443}


def fetch(source: str | Path, *, local_files_only: bool = False, progress: Progress | None = None) -> Path:
    """Return the local file of a source, downloading it unless it is there already.

    A local path is returned whether it exists or not. ``local_files_only``, or ``HF_HUB_OFFLINE=1`` in the environment,
    forbids the network. ``progress`` takes the place of a bar on the terminal.

    Raises ConfigError for any source but paths, https://, http:// and ``hf://owner/repo/path[@revision]``; otherwise a
    DownloadError: AccessDenied, NotFound, HubUnreachable, Unreachable, IncompleteDownload, CacheNotWritable.
    """
    scheme = _SCHEME.match(source) if isinstance(source, str) else None
    if scheme is None:
        return Path(source)
    text = str(source)
    match scheme[1].lower():
        case "hf":
            return _from_hub(HubFile.parse(text), local_files_only=local_files_only, progress=progress)
        case "https" | "http":
            offline = local_files_only or _constants().HF_HUB_OFFLINE
            return fetch_web_file(text, local_files_only=offline, progress=progress)
        case _:
            raise ConfigError(
                f"{quote_untrusted(text)}: files come from local paths, https://, http:// and hf:// alone"
            )


def check_access(source: str, *, timeout_seconds: float) -> None:
    """Ask the hub whether an ``hf://`` file may be downloaded with the token of this machine. Raises as ``fetch``."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url  # noqa: PLC0415  (slow)

    file = HubFile.parse(source)
    if _constants().HF_HUB_OFFLINE:
        raise Unreachable(f"{file}: HF_HUB_OFFLINE forbids to ask for it")
    with _quiet_hub(file):
        url = hf_hub_url(file.repository, file.path, revision=file.revision)
        get_hf_file_metadata(url, timeout=timeout_seconds, headers={"user-agent": USER_AGENT})


def is_here(source: str) -> bool:
    """Whether ``fetch`` needs no network for a source. Does not load the hub's library, which takes 17 MB."""
    if not source.lower().startswith("hf://"):
        try:
            return fetch(source, local_files_only=True).exists()
        except Unreachable:
            return False
    file = HubFile.parse(source)
    repository = kept_in() / f"models--{file.repository.replace('/', '--')}"
    reference = repository / "refs" / (file.revision or "main")
    commit = reference.read_text(encoding="ascii").strip() if reference.is_file() else file.revision
    return commit is not None and (repository / "snapshots" / commit / file.path).is_file()


def kept_in() -> Path:
    return Path(_constants().HF_HUB_CACHE)


def has_token() -> bool:
    variables = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
    return any(os.environ.get(name) for name in variables) or Path(_constants().HF_TOKEN_PATH).is_file()


def suffix_of(source: str) -> str:
    """The suffix of the file that a path or an address means, in lower case, with its dot."""
    path = urlsplit(source).path if source.startswith(("http://", "https://")) else source
    return PurePosixPath(path.rsplit("@", 1)[0] if source.startswith("hf://") else path).suffix.lower()


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file in a model repository of the hub."""

    repository: str
    """``owner/name``."""
    path: str
    revision: str | None = None
    """A commit, tag or branch; the newest commit when not set."""

    @classmethod
    def parse(cls, text: str) -> "HubFile":
        """Read ``hf://owner/repo/path[@revision]``; a ConfigError also if the path leads out of the repository."""
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


def _constants() -> Any:  # noqa: ANN401  (a module)
    from huggingface_hub import constants  # noqa: PLC0415  (light, as long as nothing else of it is loaded)

    return constants


# --- huggingface_hub: loaded here only, since it is slow


def _from_hub(file: HubFile, *, local_files_only: bool, progress: Progress | None) -> Path:
    from huggingface_hub import hf_hub_download  # noqa: PLC0415

    if not (local_files_only or _constants().HF_HUB_OFFLINE or is_here(str(file))):
        try:  # without a network the library would retry for half a minute
            check_reachable(_constants().ENDPOINT)
        except OSError as error:
            why = in_one_line(error)
            raise HubUnreachable(f"{file}: is not on this machine, and the hub does not answer: {why}") from error
    options: dict[str, Any] = {}
    if progress is not None and "tqdm_class" in inspect.signature(hf_hub_download).parameters:  # not in older versions
        options["tqdm_class"] = _silent_bar(progress)
    with _quiet_hub(file):
        return Path(
            hf_hub_download(
                repo_id=file.repository,
                filename=file.path,
                revision=file.revision,
                local_files_only=local_files_only,
                headers={"user-agent": USER_AGENT},
                **options,
            )
        )


@contextmanager
def _quiet_hub(file: HubFile) -> Iterator[None]:
    """Turn the library's errors into ours; its log is for debugging only, and each line comes once."""
    from huggingface_hub.utils import logging as _  # noqa: F401, PLC0415  (sets its log up, before we do)

    # Otherwise the library asks its server for a list of coding agents, to report the one that it runs under.
    _constants().HF_HUB_DISABLE_TELEMETRY = True
    library = logging.getLogger("huggingface_hub")
    library.handlers.clear()  # ours get its records as well
    library.setLevel(logging.NOTSET if logging.getLogger().isEnabledFor(logging.DEBUG) else logging.CRITICAL)
    try:
        yield
    except Exception as error:
        raise _as_download_error(file, error) from error


def _as_download_error(file: HubFile, error: Exception) -> DownloadError:
    from huggingface_hub import errors as hub  # noqa: PLC0415

    constants = _constants()
    access = (
        f"accept its terms at {constants.ENDPOINT}/{file.repository}, then log in with 'hf auth login' or set HF_TOKEN"
        " to a token of yours"
    )
    kind: type[DownloadError] = Unreachable
    match error:
        case hub.GatedRepoError():
            kind, text = AccessDenied, access
        case hub.RevisionNotFoundError():
            kind, text = NotFound, f"the repository has no revision {file.revision}"
        case hub.RepositoryNotFoundError():  # private ones are not distinguished
            kind, text = NotFound, f"there is no such repository, or it is private: {access}"
        case hub.LocalEntryNotFoundError():
            text = f"is not on this machine, and {_why_not_fetched(error.__cause__)}"
        case hub.EntryNotFoundError():
            kind, text = NotFound, "the repository has no such file"
        case hub.HfHubHTTPError(response=response):
            status = None if response is None else response.status_code
            return status_error(str(file), status, server="the hub", access=access)
        case ConnectionError():
            text = f"the hub does not answer: {in_one_line(error)}"
        case OSError() if "onsistency check" in str(error):
            kind, text = IncompleteDownload, "what came has another size than announced; try again"
        case OSError() if error.errno in _NOT_WRITABLE:
            room = "free some space there, make it writable, or let HF_HOME name another place"
            kind, text = CacheNotWritable, f"cannot be kept in {constants.HF_HUB_CACHE}: {error.strerror}: {room}"
        case OSError():
            kind, text = DownloadError, f"cannot be downloaded: {in_one_line(error)}"
        case _:  # from the library's HTTP client, which differs between its versions
            text = f"the download failed: {in_one_line(error)}; check the network, try again"
    return kind(f"{file}: {text}")


def _why_not_fetched(cause: BaseException | None) -> str:
    if _constants().HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE forbids to download it"
    if cause is None:
        return "the network is not to be used"
    response = getattr(cause, "response", None)
    if response is not None:
        return f"the hub answers with an error ({response.status_code}); try again later"
    return f"the hub does not answer: {in_one_line(cause)}"


def _silent_bar(progress: Progress) -> type:
    """A bar for the library that shows nothing and reports to ``progress``."""
    from huggingface_hub.utils import tqdm  # type: ignore[attr-defined]  # noqa: PLC0415

    class Bar(tqdm):
        monitor_interval = 0  # no thread

        def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401  (as the library calls it)
            super().__init__(*args, **{**options, "disable": False, "file": io.StringIO()})  # type: ignore[no-untyped-call]

        def display(self, *_: Any, **__: Any) -> None:  # noqa: ANN401
            if self.total:
                progress(min(1.0, self.n / self.total))

    return Bar


def check_reachable(url: str) -> None:
    """Raise OSError unless one address of a URL's server takes a connection. A proxy is trusted to make it."""
    parts = urlsplit(url)
    host = parts.hostname
    if host is None or (parts.scheme in urllib.request.getproxies() and not urllib.request.proxy_bypass(host)):
        return
    port = parts.port or _PORTS.get(parts.scheme, 443)
    addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    socket.create_connection((host, port), timeout=_CONNECT_SECONDS / len(addresses)).close()
