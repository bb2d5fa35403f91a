"""Starts the service inside a Home Assistant app: ``python -m wyoming_pocket_tts.home_assistant``.

Reads the options, writes what they amount to as a settings file, and serves with that as ``serve --config`` does.
"""

import asyncio
import json
import os
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wyoming_pocket_tts.cli_support import complain, read_settings
from wyoming_pocket_tts.errors import ConfigError, SpeechError
from wyoming_pocket_tts.home_assistant.mistakes import explain_the_log, explained, mistakes

if TYPE_CHECKING:
    from wyoming_pocket_tts.engines import Ensemble

EXIT_FAILURE = 1
EXIT_USAGE = 2


@dataclass(frozen=True, slots=True)
class Places:
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


IN_THE_APP = Places(data=Path("/data"), share=Path("/share/wyoming-pocket-tts"))


def prepare(places: Places) -> str:
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
        raise SpeechError(f"{error.filename}: {error.strerror}; is this a Home Assistant app?") from error
    except json.JSONDecodeError as error:
        raise ConfigError(f"{places.options}: is not JSON: {error}") from error
    return str(options.get(TOKEN) or "")


def serve(places: Places, environment: Mapping[str, str]) -> None:
    """Serve until told to stop.

    Raises:
        SpeechError: as ``run_service``, or what the options say cannot be used.
    """
    settings = read_settings(places.settings, {})
    explain_the_log(places.settings)
    from wyoming_pocket_tts.engines import Engine, load_ensemble  # noqa: PLC0415  (the server and what it needs)
    from wyoming_pocket_tts.home_assistant.herald import SUPERVISOR, Herald  # noqa: PLC0415
    from wyoming_pocket_tts.home_assistant.page import PORT, Page  # noqa: PLC0415
    from wyoming_pocket_tts.lifecycle import run_service  # noqa: PLC0415
    from wyoming_pocket_tts.serving.address import TcpAddress, parse_uri  # noqa: PLC0415

    address = parse_uri(settings.server.uri)
    port = address.port if isinstance(address, TcpAddress) else 0

    def load() -> "Ensemble":
        ensemble = load_ensemble(Engine.KOKORO, settings, file=places.settings)
        token = environment.get("SUPERVISOR_TOKEN")
        if not token:
            return ensemble
        uri = str(TcpAddress(socket.gethostname(), port))
        herald = Herald(uri, token, supervisor=environment.get("SUPERVISOR_URL", SUPERVISOR))
        page = Page(ensemble.cast.voices, port=int(environment.get("INGRESS_PORT", PORT)))
        return replace(ensemble, helpers=(*ensemble.helpers, page, herald))

    asyncio.run(run_service(load, settings, ends_process=True))


def main(places: Places = IN_THE_APP, leave: Callable[[int], Any] = sys.exit) -> None:
    """Run the app."""
    try:
        token = prepare(places)
        if token:
            os.environ["HF_TOKEN"] = token
        _serve_or_explain(places)
    except SpeechError as error:
        complain(explained(str(error), places.settings))
        leave(EXIT_USAGE if isinstance(error, ConfigError) else EXIT_FAILURE)


def _serve_or_explain(places: Places) -> None:
    """Serve; where the first mistake ends that, tell all of them."""
    try:
        serve(places, os.environ)
    except ConfigError as error:
        raise ConfigError("\n".join(mistakes(places.settings, os.environ)) or str(error)) from error


if __name__ == "__main__":
    main()
