"""Entry point of the Home Assistant app (add-on)."""

import asyncio
import json
import os
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wyoming_pocket_tts.cli.console import print_error, read_settings
from wyoming_pocket_tts.core.errors import ConfigError, TtsError
from wyoming_pocket_tts.home_assistant.options import in_option_names, option_errors, rename_in_log

if TYPE_CHECKING:
    from wyoming_pocket_tts.server.components import Components


EXIT_FAILURE = 1
EXIT_USAGE = 2


@dataclass(frozen=True, slots=True)
class AppPaths:
    """What the Supervisor maps into the app."""

    data: Path
    """The app's own, kept across updates."""
    share: Path
    """What people reach as the folder ``share`` of their Home Assistant; ours below it."""

    @property
    def options(self) -> Path:
        """What stands on the app's page."""
        return self.data / "options.json"

    @property
    def settings(self) -> Path:
        """What that amounts to."""
        return self.data / "settings.yaml"

    @property
    def voices(self) -> Path:
        """Where people put recordings to make voices of."""
        return self.share / "voices"


IN_THE_APP = AppPaths(data=Path("/data"), share=Path("/share/wyoming-pocket-tts"))


def prepare(places: AppPaths) -> str:
    """Write the settings file and open the folder for recordings; return the model hub's token, or ``""``.

    Raises:
        ConfigError: the options are not what the page of this version has.
        SpeechError: a directory that the Supervisor should have mapped cannot be used.
    """
    from wyoming_pocket_tts.home_assistant.options import TOKEN, settings_of  # noqa: PLC0415  (pydantic)

    try:
        options = json.loads(places.options.read_text(encoding="utf-8"))
        settings = settings_of(options, data=places.data, recordings=places.share)
        # JSON is YAML, and keeps a person's words as they are.
        places.settings.write_text(json.dumps(settings, ensure_ascii=False, indent=1), encoding="utf-8")
        places.voices.mkdir(parents=True, exist_ok=True)
        dropped = places.data / "voices"  # where the service looks for recordings, and people cannot
        if not dropped.exists() and not dropped.is_symlink():
            dropped.symlink_to(places.voices)
    except OSError as error:
        raise TtsError(f"{error.filename}: {error.strerror}; is this a Home Assistant app?") from error
    except json.JSONDecodeError as error:
        raise ConfigError(f"{places.options}: is not JSON: {error}") from error
    return str(options.get(TOKEN) or "")


def serve(places: AppPaths, environment: Mapping[str, str]) -> None:
    """Serve until told to stop.

    Raises:
        SpeechError: as ``run_service``, or what the options say cannot be used.
    """
    settings = read_settings(places.settings, {})
    rename_in_log(places.settings)
    from wyoming_pocket_tts.core.address import TcpAddress, parse_uri  # noqa: PLC0415
    from wyoming_pocket_tts.home_assistant.supervisor import PORT, SUPERVISOR, IngressPage, SupervisorDiscovery  # noqa: PLC0415  # noqa: PLC0415
    from wyoming_pocket_tts.server.app import run_service  # noqa: PLC0415
    from wyoming_pocket_tts.server.components import EmbeddedEngine, build_components  # noqa: PLC0415  (the server and what it needs)

    address = parse_uri(settings.server.uri)
    port = address.port if isinstance(address, TcpAddress) else 0

    def load() -> "Components":
        ensemble = build_components(EmbeddedEngine.KOKORO, settings, file=places.settings)
        token = environment.get("SUPERVISOR_TOKEN")
        if not token:
            return ensemble
        uri = str(TcpAddress(socket.gethostname(), port))
        herald = SupervisorDiscovery(uri, token, supervisor=environment.get("SUPERVISOR_URL", SUPERVISOR))
        page = IngressPage(ensemble.cast.voices, port=int(environment.get("INGRESS_PORT", PORT)))
        return replace(ensemble, helpers=(*ensemble.helpers, page, herald))

    asyncio.run(run_service(load, settings, ends_process=True))


def main(places: AppPaths = IN_THE_APP, leave: Callable[[int], Any] = sys.exit) -> None:
    """Run the app."""
    try:
        token = prepare(places)
        if token:
            os.environ["HF_TOKEN"] = token
        _serve_or_explain(places)
    except TtsError as error:
        print_error(in_option_names(str(error), places.settings))
        leave(EXIT_USAGE if isinstance(error, ConfigError) else EXIT_FAILURE)


def _serve_or_explain(places: AppPaths) -> None:
    """Serve; where the first mistake ends that, tell all of them."""
    try:
        serve(places, os.environ)
    except ConfigError as error:
        raise ConfigError("\n".join(option_errors(places.settings, os.environ)) or str(error)) from error


if __name__ == "__main__":
    main()
