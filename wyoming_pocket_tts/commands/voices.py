"""What the command ``voices`` lists: everybody that a service with these settings could let speak, and what is wrong.

Loads no model, and downloads nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wyoming_pocket_tts.casting import Casting, resolve
from wyoming_pocket_tts.errors import VoiceError
from wyoming_pocket_tts.pocket.fit import check_voice
from wyoming_pocket_tts.pocket.onnx.bundle import Bundle
from wyoming_pocket_tts.pocket.onnx.install import installed
from wyoming_pocket_tts.pocket.onnx.precision import Precision
from wyoming_pocket_tts.pocket.onnx.ready_made import missing_voices, ready_made_directory
from wyoming_pocket_tts.pocket.voice_files import listed_voices
from wyoming_pocket_tts.settings import Settings
from wyoming_pocket_tts.speech import Voice
from wyoming_pocket_tts.voices.admission import Refused, admitted, speakers_of
from wyoming_pocket_tts.voices.contents import about, content_of
from wyoming_pocket_tts.voices.state import VoiceState
from wyoming_pocket_tts.voices.styles import style_files
from wyoming_pocket_tts.wanted import WantedModel, voices_dropped_in, wanted_models


@dataclass(frozen=True, slots=True)
class Listing:
    """Everybody, and a line for each thing that keeps somebody from speaking."""

    voices: list[Voice]
    problems: list[str]


def listing(settings: Settings, *, embedded: Sequence[Voice]) -> Listing:
    """Find everybody that a service with these settings would list.

    Raises:
        ConfigError: the settings name a model that there is not.
    """
    wanted = wanted_models(settings.models.names, languages=settings.models.languages)
    models = [_Model(model, _bundle(model, settings)) for model in wanted]
    labels = [model.label for model in wanted]
    found = list(voices_dropped_in(settings.data_dir, labels))
    casting = resolve(settings, embedded=[voice.name for voice in embedded], dropped=[each.name for each in found])
    ready_made = [voice for model in models for voice in _ready_made(model, settings)]
    problems: list[str] = []
    taken = {*casting.names(), *(voice.name for voice in (*ready_made, *embedded))}
    of_settings = [source.path for source in casting.sources() if source.path is not None]
    voices = ready_made
    for each in admitted(found, labels=labels, taken=taken, elsewhere=of_settings):
        if isinstance(each, Refused) or not models:
            why = each.reason if isinstance(each, Refused) else "no model can speak it: models.names is 'none'"
            problems.append(f"{each.origin}: {why}")
        else:
            may_speak = speakers_of(each, labels)
            speakers = [model for model in models if model.wanted.label in may_speak]
            voices.append(_own(each.name, each.styles, speakers, problems))
    voices += _of_settings(casting, models, problems)
    return Listing(casting.cast(lambda: [*voices, *embedded]).voices(), problems)


@dataclass(frozen=True, slots=True)
class _Model:
    """A model that the service is to speak with."""

    wanted: WantedModel
    bundle: Bundle | None
    """The converted model; None while it is not here."""

    def check(self, voice: VoiceState, file: Path) -> None:
        """Raise ``VoiceError`` for an exported voice of another model, as far as this one is known."""
        fingerprint = None if self.bundle is None else self.bundle.fingerprint
        check_voice(voice, self.wanted.config, fingerprint=fingerprint, label=str(file))


def _of_settings(casting: Casting, models: Sequence[_Model], problems: list[str]) -> Iterator[Voice]:
    """The voices that the service would make for those of the settings."""
    for source in casting.sources():
        model = next((model for model in models if model.wanted.label == source.model), None)
        if source.path is not None and model is not None:
            files = style_files(source.path)
            if not files:
                problems.append(f"voices.{source.name}: {source.path}: there is no recording")
            yield _own(source.voice_name, files, [model], problems)


def _own(name: str, files: Mapping[str, Path], candidates: Sequence[_Model], problems: list[str]) -> Voice:
    """A voice by the first model that can speak one of its styles, or else the last; what is wrong is noted."""
    contents = {style: _content(file) for style, file in files.items()}
    for model in candidates:
        complaints = {style: _complaint(content, files[style], model) for style, content in contents.items()}
        styles = tuple(style for style, complaint in complaints.items() if not complaint)
        if styles:
            break
    problems += filter(None, complaints.values())
    shown = styles or tuple(files)
    return Voice(
        name=name,
        description=f"{name} ({model.wanted.label})",
        languages=(model.wanted.language,),
        sample_rate_hz=model.wanted.config.mimi.sample_rate,
        speakers=shown if len(shown) > 1 else (),
        installed=bool(styles) and model.bundle is not None,
    )


def _content(file: Path) -> VoiceState | VoiceError | None:
    """An exported voice, or why the file cannot be read; None for a recording."""
    try:
        return content_of(file)
    except VoiceError as error:
        return error


def _complaint(content: VoiceState | VoiceError | None, file: Path, model: _Model) -> str:
    """Why a model cannot speak with a file; nothing if it can."""
    if isinstance(content, VoiceError):
        return about(file, str(content))
    if content is not None:
        try:
            model.check(content, file)
        except VoiceError as error:
            return str(error)
    return ""


def _bundle(model: WantedModel, settings: Settings) -> Bundle | None:
    precision = Precision(settings.models.precision)
    return installed(model.name, model.config, data_dir=settings.data_dir, precision=precision)


def _ready_made(model: _Model, settings: Settings) -> list[Voice]:
    there: set[str] = set()
    wanted = model.wanted
    if model.bundle is not None:
        missing: Sequence[str] = ()
        if wanted.name is not None:
            missing = missing_voices(ready_made_directory(settings.data_dir, wanted.name), wanted.voices)
        there = set(wanted.voices) - set(missing)
    rate_hz = wanted.config.mimi.sample_rate
    return listed_voices(wanted.label, wanted.voices, language=wanted.language, rate_hz=rate_hz, there=there)
