"""From a recording to a voice that a service has at once, in one command. Knows nothing about how models work.

The recording is looked at before anything is downloaded, and so is the name: what is wrong is said in a second.
"""

import shlex
import unicodedata
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from wyoming_pocket_tts.casting.owners import owner_of
from wyoming_pocket_tts.commands.pocket_model import ModelChoice
from wyoming_pocket_tts.commands.progress import StatusLine
from wyoming_pocket_tts.commands.stages import StageDisplay
from wyoming_pocket_tts.errors import ConfigError, DownloadError, VoiceError, shown
from wyoming_pocket_tts.pocket.hub import fetch
from wyoming_pocket_tts.pocket.loading import find_model, open_for_onnx
from wyoming_pocket_tts.pocket.onnx.disk import sync
from wyoming_pocket_tts.pocket.onnx.install import install, installed
from wyoming_pocket_tts.pocket.onnx.precision import Precision
from wyoming_pocket_tts.pocket.tts_model import TTSModel
from wyoming_pocket_tts.voices.prompt import TRUNCATED_SECONDS, FindingKind, assess, read_audio, resample
from wyoming_pocket_tts.voices.state import VoiceState, write_state
from wyoming_pocket_tts.voices.styles import LONGEST_NAME, VOICE_SUFFIX
from wyoming_pocket_tts.wanted import NONE, is_config, label_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from wyoming_pocket_tts.settings import Settings

CONSENT_NOTE: Final = "A voice belongs to the person who speaks with it: clone only voices whose speaker agreed."

_NOTE_SHOWN: Final = "consent-note-shown.txt"
_LONGEST_NAME_BYTES: Final = 200
"""A file's name may have 255, and a suffix comes behind it."""

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloning:
    """What is to be cloned, and how.

    Attributes:
        recording: a path or an address.
        name: what the voice is to be called.
        data_dir: where the service keeps its data; voices lie below it, in ``voices``.
        given_data_dir: what somebody said about that, to be said to ``serve`` as well; None for nothing.
        precision: what the service computes in, whose converted model is used.
        force: replace a voice of that name.
        local_files_only: download nothing.
        service_models: the models that the service speaks with, as its settings name them; None if nobody knows.
    """

    recording: str
    name: str
    data_dir: Path
    given_data_dir: Path | None = None
    precision: Precision = Precision.INT8
    force: bool = False
    local_files_only: bool = False
    service_models: Sequence[str] | None = None


def clone(what: Cloning, choice: ModelChoice, *, quiet: bool, tell: Tell) -> None:
    """Make a voice of a recording and put it where the service finds it. It appears when it is complete.

    Args:
        what: the recording, and what becomes of it.
        choice: the model that the voice is for; nothing but which one it is counts.
        quiet: show no progress.
        tell: is given lines for people: advice, and what to do next.

    Raises:
        ConfigError: the name will not do or is taken, there is no such model, or the data cannot be written.
        VoiceError: the recording cannot be used, or the weights cannot hear.
        ModelError: the model cannot be had or used.
    """
    target = _free_place(what)
    _show_consent_note(what.data_dir, quiet=quiet, tell=tell)
    if not _is_heard(what, choice):
        tell(f"Note: {_not_heard(what, choice)}")
    samples, rate_hz = _recording(what, tell)
    with StatusLine(quiet=quiet) as status:
        display = StageDisplay(str(choice.config or choice.released), status, (lambda _: None) if quiet else tell)
        model = _model(what, choice, display)
        status.show(f"Listening to {what.recording} ...")
        voice = model.get_state_for_audio_prompt(resample(samples, rate_hz, model.sample_rate)[None])  # type: ignore[arg-type]  # an array
        _keep(voice, target)
    for line in _next_steps(what, choice, target):
        tell(line)


def model_of_service(choice: ModelChoice, names: Sequence[str]) -> ModelChoice:
    """What was chosen; where nothing was, the first model that the service speaks with, or else the default one."""
    if choice.language is not None or choice.config is not None or _is_none(names):
        return choice
    return replace(choice, config=names[0]) if is_config(names[0]) else replace(choice, language=names[0])


def refuse_taken(name: str, settings: "Settings", *, embedded: Collection[str]) -> None:
    """Make sure that a voice of this name would be one of the service's.

    Args:
        name: what the voice is to be called.
        settings: the service's.
        embedded: names of the embedded voices.

    Raises:
        ConfigError: somebody else is called so; the service would pass the voice over.
    """
    owner = owner_of(checked_name(name), settings, embedded=embedded)
    if owner:
        raise ConfigError(f"--name {shown(name)}: is the name of {owner} already: choose another name")


def checked_name(name: str) -> str:
    """Give the name as a file can have it, composed as most systems write it.

    Raises:
        ConfigError: it is no name of a voice.
    """
    composed = unicodedata.normalize("NFC", name)
    allowed = all(
        character.isalnum() or character in " -_." or unicodedata.category(character).startswith("M")
        for character in composed
    )
    if not allowed or not composed[:1].isalnum() or composed[-1] in " .":
        raise ConfigError(
            f"--name {shown(name)}: a voice's name has letters, digits, spaces, hyphens, underscores and dots, begins "
            "with a letter or a digit, and ends with neither a space nor a dot"
        )
    if len(composed) > LONGEST_NAME:
        raise ConfigError(f"--name {shown(name)}: is too long: {LONGEST_NAME} characters at most")
    if len(composed.encode()) > _LONGEST_NAME_BYTES:
        raise ConfigError(f"--name {shown(name)}: is too long: {_LONGEST_NAME_BYTES} bytes at most")
    return composed


def _free_place(what: Cloning) -> Path:
    """Where the voice will lie; clients do not tell upper case from lower, so neither does this."""
    folder = what.data_dir / "voices"
    target = folder / f"{checked_name(what.name)}{VOICE_SUFFIX}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise ConfigError(
            f"{error.filename or folder}: {error.strerror or error}: choose another place with --data-dir, or make it"
            " writable"
        ) from error
    for path in entries:
        if path == target and not path.is_dir():
            if not what.force:
                raise ConfigError(f"{path}: there is such a voice already: choose another name, or add --force")
        elif _voice_of(path).casefold() == _voice_of(target).casefold():
            raise ConfigError(f"{path}: would be the same voice: choose another name, or remove it")
    return target


def _voice_of(path: Path) -> str:
    """How the voice is called that lies there."""
    return unicodedata.normalize("NFC", path.name if path.is_dir() else path.stem)


def _show_consent_note(data_dir: Path, *, quiet: bool, tell: Tell) -> None:
    """Once for each data directory; who wants to be told nothing is told next time."""
    shown_before = data_dir / _NOTE_SHOWN
    if quiet or shown_before.exists():
        return
    tell(CONSENT_NOTE)
    try:
        shown_before.write_text(f"{CONSENT_NOTE}\nShown by 'wyoming-pocket-tts clone'.\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{shown_before}: {error.strerror or error}: choose another place with --data-dir") from error


def _recording(what: Cloning, tell: Tell) -> "tuple[NDArray[np.float32], int]":
    """What is used of the recording [N], and its rate; say what would make the voice worse."""
    path = fetch(what.recording, local_files_only=what.local_files_only)
    samples, rate_hz = read_audio(path)
    seconds = len(samples) / rate_hz
    used = samples[: TRUNCATED_SECONDS * rate_hz]
    findings = assess(used, rate_hz)
    for finding in findings:
        if finding.kind is FindingKind.SILENT:
            raise VoiceError(f"{what.recording}: {finding.message}")
        tell(f"Advice: {finding.message}")
    if len(used) < len(samples):
        tell(f"Advice: The recording is {seconds:.0f} s long, of which the first {TRUNCATED_SECONDS} s are used.")
    elif not findings:
        tell(f"The recording is good: {seconds:.0f} s, clear and even.")
    return used, rate_hz


def _model(what: Cloning, choice: ModelChoice, display: StageDisplay) -> TTSModel:
    """The model as the service has it, converted first if it has not been."""
    name, config = find_model(choice.language, choice.config)
    here = installed(name, config, data_dir=what.data_dir, precision=what.precision)
    if here and not here.has_voice_cloning and config.weights_path and not what.local_files_only:
        with suppress(DownloadError):  # perhaps the terms have been accepted since; if not, the model says what to do
            fetch(config.weights_path)
    bundle = install(
        name,
        config,
        data_dir=what.data_dir,
        precision=what.precision,
        local_files_only=what.local_files_only,
        report=display,
    )
    return TTSModel(open_for_onnx(bundle))


def _keep(voice: VoiceState, target: Path) -> None:
    """Write the voice beside its place, bring it to the disk, and rename it: the service never sees half of one."""
    aside = target.with_name(f".{target.name}.partial")
    try:
        write_state(voice, aside)
        sync(aside)
        aside.replace(target)
        sync(target.parent)
    except OSError as error:
        raise VoiceError(f"{target}: the voice cannot be written ({error.strerror or error})") from error
    finally:
        aside.unlink(missing_ok=True)


def _next_steps(what: Cloning, choice: ModelChoice, target: Path) -> list[str]:
    import yaml  # noqa: PLC0415  (for one line)

    model = ["--language", choice.language] if choice.language else ["--config", choice.config] if choice.config else []
    name = target.stem
    entry = yaml.safe_dump({name: {"from": str(target.resolve())}}, allow_unicode=True, width=1000)
    place = f" with --data-dir {shlex.quote(str(what.given_data_dir))}" if what.given_data_dir else ""
    if _is_heard(what, choice):
        taken_up = f"A service that runs{place} takes the voice up by itself, as '{name}'."
    else:
        taken_up = f"A service that runs{place} and speaks with that model takes the voice up by itself, as '{name}'."
    return [
        f"{what.recording} -> {target}",
        "Try it: " + shlex.join(["wyoming-pocket-tts", "generate", *model, "--voice", str(target)]),
        f"{taken_up} To say how it speaks, in its settings:",
        "voices:",
        *(f"  {line}" for line in entry.splitlines()),
    ]


def _is_heard(what: Cloning, choice: ModelChoice) -> bool:
    """Whether the service speaks with the model that the voice is for, as far as anybody knows."""
    return what.service_models is None or _label(choice) in map(label_of, what.service_models)


def _not_heard(what: Cloning, choice: ModelChoice) -> str:
    model, names = _label(choice), what.service_models or ()
    spoken = (
        "speak with no model (models.names is 'none')"
        if _is_none(names)
        else f"speak with {', '.join(map(label_of, names))}"
    )
    return f"the settings let the service {spoken}, and so not with this voice, which is for {model}: set models.names"


def _label(choice: ModelChoice) -> str:
    return label_of(choice.config or choice.released or "")


def _is_none(names: Sequence[str]) -> bool:
    return [name.lower() for name in names] == [NONE]
