"""What the process that converts and the one that waits for it tell each other: a JSON object a line.

Knows neither processes nor models.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from wyoming_pocket_tts import errors
from wyoming_pocket_tts.pocket.onnx.precision import Precision
from wyoming_pocket_tts.pocket.schema import ModelConfig


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Order(_Message):
    """What to do: ``convert`` into an empty directory, ``prove`` a bundle on this machine, bring ready-made ``voices``
    into a directory, or ``hear`` a recording with the bundle of the directory and write the voice to ``target``."""

    task: Literal["convert", "prove", "voices", "hear"]
    directory: Path
    key: str
    name: str | None
    config: ModelConfig
    precision: Precision
    steps: int
    voices: tuple[str, ...] = ()
    recording: str = ""
    target: Path | None = None
    local_files_only: bool = False
    hearing: bool = False
    """Take no weights that cannot hear recordings."""


class Progress(_Message):
    """How far it is: ``done`` rises from 0 to 1 within each stage; None where nobody knows."""

    kind: Literal["progress"] = "progress"
    stage: Literal["wait", "download", "convert", "verify", "voices", "hear"]
    done: float | None = None


class Warned(_Message):
    """A line for the log of the process that waits."""

    kind: Literal["warning"] = "warning"
    text: str


class Failed(_Message):
    """It ended with an error, named by its class in ``errors``."""

    kind: Literal["failed"] = "failed"
    error: str
    text: str

    @classmethod
    def of(cls, error: errors.SpeechError) -> "Failed":
        return cls(error=type(error).__name__, text=str(error))

    def as_error(self) -> errors.SpeechError:
        """The error, to be raised here."""
        found = UnfitPrecision if self.error == UnfitPrecision.__name__ else getattr(errors, self.error, None)
        if isinstance(found, type) and issubclass(found, errors.SpeechError):
            return found(self.text)
        return errors.ModelError(self.text)


class Finished(_Message):
    """It is done; ``peak_bytes`` is the most memory that it had."""

    kind: Literal["finished"] = "finished"
    peak_bytes: int | None = None


class UnfitPrecision(errors.ModelError):
    """What was converted computes something else on this processor than the exact model, or nothing at all."""


Message = Progress | Warned | Failed | Finished
_messages: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="kind")])


def parse(line: bytes) -> Message:
    """Read one message.

    Raises:
        ValueError: it is none.
    """
    return _messages.validate_json(line)
