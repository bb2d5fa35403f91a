"""Looks whether the service of the settings runs on this machine. Asks it once, and starts nothing."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from wyoming_pocket_tts.commands.doctor.asking import ask
from wyoming_pocket_tts.commands.doctor.cures import LOG, START, cure_of
from wyoming_pocket_tts.commands.doctor.finding import Finding, ok, warning
from wyoming_pocket_tts.commands.doctor.subject import is_ours
from wyoming_pocket_tts.errors import NobodyThere, SpeechError
from wyoming_pocket_tts.serving.address import StdioAddress, TcpAddress, parse_uri

_ASKING_SECONDS = 3.0
_START = (
    f"{START}; if it ran before, its log says why it ended ({LOG}). If it runs with other settings, give doctor"
    " the same ones (--config)"
)


@dataclass(frozen=True)
class Service:
    """Whether somebody is there to speak. None is a warning: who has not started it yet wants to know the rest, too."""

    title: ClassVar[str] = "service"
    limit_seconds: ClassVar[float] = 10.0
    uri: str
    """Where the settings let it listen."""

    def look(self) -> Iterator[Finding]:
        """See ``Check``."""
        address = parse_uri(self.uri)
        if isinstance(address, StdioAddress) or (isinstance(address, TcpAddress) and address.port == 0):
            yield ok(f"{self.uri}: whether it runs cannot be asked there")
            return
        try:
            answer = ask(self.uri, seconds=_ASKING_SECONDS)
        except NobodyThere:
            yield warning(f"nothing listens at {self.uri}: it does not run on this machine", _START)
        except SpeechError as error:
            yield warning(str(error), cure_of(error, otherwise=f"look at its log ({LOG})"))
        else:
            yield self._of(answer.program)

    def _of(self, program: str) -> Finding:
        if is_ours(program):
            return ok(f"it runs, at {self.uri}")
        return warning(f"another server is at {self.uri}: it does not run on this machine", "see 'ports' below")
