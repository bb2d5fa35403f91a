"""What the command ``voices`` lists: everybody that a service with these settings could let speak, and what is wrong.

Loads no model, and downloads nothing.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from wyoming_pocket_tts.casting import Casting, resolve
from wyoming_pocket_tts.errors import VoiceError
from wyoming_pocket_tts.pocket.onnx.install import installed
from wyoming_pocket_tts.pocket.onnx.precision import Precision
from wyoming_pocket_tts.pocket.onnx.ready_made import SUFFIX, missing_voices, ready_made_directory
from wyoming_pocket_tts.pocket.synthesizer import listed_voices
from wyoming_pocket_tts.settings import Settings
from wyoming_pocket_tts.speech import Voice
from wyoming_pocket_tts.voices.dropped import dropped_folder, dropped_voices
from wyoming_pocket_tts.voices.parts import VoiceSource
from wyoming_pocket_tts.voices.prompt import read_audio
from wyoming_pocket_tts.voices.state import read_state
from wyoming_pocket_tts.voices.styles import style_files
from wyoming_pocket_tts.wanted import NONE, WantedModel, wanted_models


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
    is_alone = [name.lower() for name in settings.models.names] == [NONE]
    wanted = [] if is_alone else wanted_models(settings.models.names, languages=settings.models.languages)
    labels = [model.label for model in wanted]
    found = list(dropped_voices(dropped_folder(settings.data_dir), labels))
    casting = resolve(settings, embedded=[voice.name for voice in embedded], dropped=[each.name for each in found])
    here = {model.label: _is_converted(model, settings) for model in wanted}
    problems: list[str] = []
    voices = [voice for model in wanted for voice in _ready_made(model, settings, here=here[model.label])]
    for each in found:
        model = next((model for model in wanted if model.label == (each.model or labels[0])), None)
        if model is None:
            problems.append(f"{each.origin}: no model can speak it: models.names is 'none'")
            continue
        is_usable = _check(each.styles.values(), problems)
        voices.append(_own(each.name, model, tuple(each.styles), installed=is_usable and here[model.label]))
    voices += _of_settings(casting, wanted, here, problems)
    return Listing(casting.cast(lambda: [*voices, *embedded]).voices(), problems)


def _of_settings(
    casting: Casting, wanted: Sequence[WantedModel], here: dict[str, bool], problems: list[str]
) -> Iterator[Voice]:
    """The voices that the service would make for those of the settings."""
    for configured in casting.voices:
        source = configured.source
        model = next((model for model in wanted if source is not None and model.label == source.model), None)
        if source is not None and source.path is not None and model is not None:
            yield _from_files(source, source.path, model, problems, here=here[model.label])


def _from_files(source: VoiceSource, path: Path, model: WantedModel, problems: list[str], *, here: bool) -> Voice:
    files = style_files(path)
    if not files:
        problems.append(f"voices.{source.name}: {path}: there is no recording")
    is_usable = bool(files) and _check(files.values(), problems)
    return _own(source.voice_name, model, tuple(files), installed=is_usable and here)


def _is_converted(model: WantedModel, settings: Settings) -> bool:
    precision = Precision(settings.models.precision)
    return installed(model.name, model.config, data_dir=settings.data_dir, precision=precision) is not None


def _ready_made(model: WantedModel, settings: Settings, *, here: bool) -> list[Voice]:
    there: set[str] = set()
    if here and model.name is not None:
        directory = ready_made_directory(settings.data_dir, model.name)
        there = set(model.voices) - set(missing_voices(directory, model.voices))
    elif here:
        there = set(model.voices)
    rate_hz = model.config.mimi.sample_rate
    return listed_voices(model.label, model.voices, language=model.language, rate_hz=rate_hz, there=there)


def _own(name: str, model: WantedModel, styles: tuple[str, ...], *, installed: bool) -> Voice:
    return Voice(
        name=name,
        description=f"{name} ({model.label})",
        languages=(model.language,),
        sample_rate_hz=model.config.mimi.sample_rate,
        speakers=styles if len(styles) > 1 else (),
        installed=installed,
    )


def _check(files: Iterable[Path], problems: list[str]) -> bool:
    """Whether all of the files can be read; what is wrong with the others is noted."""
    is_usable = True
    for file in files:
        try:
            if file.suffix.lower() == SUFFIX:
                read_state(file)
            else:
                read_audio(file, truncate=True)
        except VoiceError as error:
            problems.append(str(error) if str(file) in str(error) else f"{file}: {error}")
            is_usable = False
    return is_usable
