"""Voices: the list of a service's voices."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import typer

from wyoming_pocket_tts.cli import options
from wyoming_pocket_tts.cli.console import print_error, table
from wyoming_pocket_tts.config.loader import read_settings
from wyoming_pocket_tts.config.schema import Settings
from wyoming_pocket_tts.core.errors import VoiceError
from wyoming_pocket_tts.core.types import Voice
from wyoming_pocket_tts.kokoro.synthesizer import described_voices
from wyoming_pocket_tts.pocket.model_spec import ModelSpec, model_specs
from wyoming_pocket_tts.pocket.onnx.bundle import ModelBundle, Precision
from wyoming_pocket_tts.pocket.onnx.install import find_converted
from wyoming_pocket_tts.pocket.voice_state import VoiceState, check_voice_matches_model
from wyoming_pocket_tts.pocket.voice_store import (
    about,
    content_of,
    listed_voices,
    missing_voices,
    ready_made_directory,
    style_files,
)
from wyoming_pocket_tts.voices.library import RejectedVoice, accepted, models_for, user_voices
from wyoming_pocket_tts.voices.resolver import ResolvedVoices, resolve_voices

app = typer.Typer(rich_markup_mode=None)


@app.command()
def voices(
    *,
    as_json: options.JsonFlag = False,
    config: options.ConfigOption = None,
    data_dir: options.DataDirOption = None,
) -> None:
    """List the service's voices, and what is wrong with them."""
    settings = read_settings(config, {"data_dir": data_dir}, log_level="warning")
    listing = list_voices(settings, embedded=described_voices())
    if as_json:
        typer.echo(json.dumps([asdict(voice) for voice in listing.voices], ensure_ascii=False, indent=2))
    else:
        typer.echo(table(("NAME", "LANGUAGES", "SPEAKERS", "DESCRIPTION"), *map(_row, listing.voices)))
    for problem in listing.problems:
        print_error(problem)


def _row(voice: Voice) -> tuple[str, str, str, str]:
    description = voice.description if voice.installed else f"{voice.description} (not installed)"
    return voice.name, ", ".join(voice.languages), ", ".join(voice.speakers) or "-", description


@dataclass(frozen=True, slots=True)
class VoiceListing:
    """All voices of a service, the default one first, and a line for each problem of a voice."""

    voices: list[Voice]
    problems: list[str]


def list_voices(settings: Settings, *, embedded: Sequence[Voice]) -> VoiceListing:
    wanted = model_specs(settings.models.names, languages=settings.models.languages)
    precision = Precision(settings.models.precision)
    models = [
        _Model(each, find_converted(each.name, each.config, data_dir=settings.data_dir, precision=precision))
        for each in wanted
    ]
    labels = [model.label for model in wanted]
    found = list(user_voices(settings.data_dir, labels))
    casting = resolve_voices(
        settings, embedded=[voice.name for voice in embedded], dropped=[each.name for each in found]
    )
    predefined = [voice for model in models for voice in _predefined(model, settings)]
    problems: list[str] = []
    taken = {*casting.names(), *(voice.name for voice in (*predefined, *embedded))}
    of_settings = [source.path for source in casting.sources() if source.path is not None]
    listed = predefined
    for each in accepted(found, labels=labels, taken=taken, elsewhere=of_settings):
        if isinstance(each, RejectedVoice) or not models:
            why = each.reason if isinstance(each, RejectedVoice) else "no model can speak it: models.names is 'none'"
            problems.append(f"{each.origin}: {why}")
        else:
            usable = models_for(each, labels)
            candidates = [model for model in models if model.wanted.label in usable]
            listed.append(_custom(each.name, each.styles, candidates, problems))
    listed += _of_settings(casting, models, problems)
    return VoiceListing(casting.cast(lambda: [*listed, *embedded]).voices(), problems)


@dataclass(frozen=True, slots=True)
class _Model:
    """A model of the settings, and its bundle if it is installed."""

    wanted: ModelSpec
    bundle: ModelBundle | None

    def problem(self, content: VoiceState | VoiceError | None, file: Path) -> str:
        """Why the model cannot use a voice file, as far as the model is known; else empty."""
        if isinstance(content, VoiceError):
            return about(file, str(content))
        if content is not None:
            fingerprint = None if self.bundle is None else self.bundle.fingerprint
            try:
                check_voice_matches_model(content, self.wanted.config, fingerprint=fingerprint, label=str(file))
            except VoiceError as error:
                return str(error)
        return ""


def _of_settings(casting: ResolvedVoices, models: Sequence[_Model], problems: list[str]) -> Iterator[Voice]:
    for source in casting.sources():
        model = next((model for model in models if model.wanted.label == source.model), None)
        if source.path is not None and model is not None:
            files = style_files(source.path)
            if not files:
                problems.append(f"voices.{source.name}: {source.path}: there is no recording")
            yield _custom(source.voice_name, files, [model], problems)


def _custom(name: str, files: Mapping[str, Path], candidates: Sequence[_Model], problems: list[str]) -> Voice:
    """A voice of the first model that can use one of its styles, or else of the last one; adds to ``problems``."""
    contents = {style: _content(file) for style, file in files.items()}
    for model in candidates:
        errors = {style: model.problem(content, files[style]) for style, content in contents.items()}
        usable = tuple(style for style, error in errors.items() if not error)
        if usable:
            break
    problems += filter(None, errors.values())
    styles = usable or tuple(files)
    return Voice(
        name=name,
        description=f"{name} ({model.wanted.label})",
        languages=(model.wanted.language,),
        sample_rate_hz=model.wanted.config.mimi.sample_rate,
        speakers=styles if len(styles) > 1 else (),
        installed=bool(usable) and model.bundle is not None,
    )


def _content(file: Path) -> VoiceState | VoiceError | None:
    try:
        return content_of(file)
    except VoiceError as error:
        return error


def _predefined(model: _Model, settings: Settings) -> list[Voice]:
    wanted = model.wanted
    there: set[str] = set()
    if model.bundle is not None:
        missing: Sequence[str] = ()
        if wanted.name is not None:
            missing = missing_voices(ready_made_directory(settings.data_dir, wanted.name), wanted.voices)
        there = set(wanted.voices) - set(missing)
    rate_hz = wanted.config.mimi.sample_rate
    return listed_voices(wanted.label, wanted.voices, language=wanted.language, rate_hz=rate_hz, there=there)
