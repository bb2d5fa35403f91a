"""Entry point of the Home Assistant app (add-on)."""

import asyncio
import json
import os
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from wyoming_pocket_tts.config.loader import read_settings
from wyoming_pocket_tts.core.address import TcpAddress, parse_uri
from wyoming_pocket_tts.core.errors import ConfigError, TtsError
from wyoming_pocket_tts.home_assistant.options import TOKEN, explain_log, explained, mistakes, settings_of
from wyoming_pocket_tts.home_assistant.supervisor import INGRESS_PORT, SUPERVISOR, SupervisorDiscovery, ingress_page
from wyoming_pocket_tts.server.app import run_service
from wyoming_pocket_tts.server.components import Components, EmbeddedEngine, build_components
from wyoming_pocket_tts.server.http import HttpServer

EXIT_FAILURE = 1
EXIT_USAGE = 2


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
    """Serve until a signal ends it."""
    settings = read_settings(paths.settings, {})
    explain_log(paths.settings)
    address = parse_uri(settings.server.uri)
    port = address.port if isinstance(address, TcpAddress) else 0

    def load() -> Components:
        components = build_components(EmbeddedEngine.KOKORO, settings, file=paths.settings)
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
    """Run the app; mistakes are reported with the names of options."""
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
