"""Finds who lends a configured voice: a model's ready-made voice, an embedded one, or files. Reads no recording."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from wyoming_pocket_tts.casting.models import Models
from wyoming_pocket_tts.casting.nearest import did_you_mean
from wyoming_pocket_tts.casting.problems import Problems
from wyoming_pocket_tts.settings import VoiceEntry
from wyoming_pocket_tts.settings.speaking import DeliverySettings, is_path
from wyoming_pocket_tts.voices.names import library_voice_name, same
from wyoming_pocket_tts.voices.overrides import Overrides
from wyoming_pocket_tts.voices.parts import ConfiguredVoice, VoiceSource
from wyoming_pocket_tts.voices.styles import SUFFIXES, style_files

_FALLBACK_LANGUAGE = "en"


def resolve_voice(
    name: str, entry: VoiceEntry, *, models: Models, embedded: Collection[str], problems: Problems
) -> ConfiguredVoice:
    """Find who speaks for a voice of the settings; what is wrong is noted, and the voice never installed."""
    model = _model(entry, models, problems)
    voice = ConfiguredVoice(
        name=name,
        engine_voices=(),
        language=models.languages.get(model or "", _FALLBACK_LANGUAGE),
        shown_language=entry.language,
        description=entry.description or "",
        overrides=overrides_of(entry),
    )
    if is_path(entry.source):
        return _from_files(voice, entry, model, models, problems)
    lent = next((each for each in embedded if same(each, entry.source)), None)
    if lent is not None:
        _warn_of_what_is_ignored(entry, problems)
        return replace(voice, engine_voices=(lent,), language=_FALLBACK_LANGUAGE)
    return _from_model(voice, entry, model, models=models, embedded=embedded, problems=problems)


def overrides_of(entry: DeliverySettings) -> Overrides:
    """What an entry of the settings changes about how is spoken."""
    return Overrides(
        speed=entry.speed,
        volume_db=entry.volume,
        rate_hz=entry.rate,
        temperature=entry.temperature,
        eos_threshold=entry.eos_threshold,
        pause_before=entry.leading_silence,
        pause_between=entry.pause,
        pause_after=entry.trailing_silence,
        normalize=entry.text.normalize,
        emoji=entry.text.emoji,
        replacements=tuple(entry.text.replacements.items()),
        pronunciations=tuple(entry.text.pronunciations.items()),
    )


def _model(entry: VoiceEntry, models: Models, problems: Problems) -> str | None:
    """The label of the model that is to speak; None if there is none."""
    if entry.model is None:
        return next(iter(models.labels), None)
    label = next((label for label in models.labels if same(label, entry.model)), None)
    if label is None and models.labels:
        problems.at("model").error(
            f"'{entry.model}' is not among models.names ({', '.join(models.labels)}); add it there"
        )
    return label


def _steps(entry: VoiceEntry, label: str, models: Models, problems: Problems) -> int | None:
    """Those of the model's sampler, as far as they make a difference: each number is a conversion of its own."""
    if entry.steps is None:
        return None
    why_not = models.why_steps_change_nothing(label, entry.steps, ready_made=not is_path(entry.source))
    if why_not is None:
        return entry.steps
    problems.at("steps").warn(f"changes nothing: {why_not}")
    return None


def _from_files(
    voice: ConfiguredVoice, entry: VoiceEntry, model: str | None, models: Models, problems: Problems
) -> ConfiguredVoice:
    path = Path(entry.source)
    files = style_files(path)
    if not path.exists():
        problems.at("from").missing(f"{path}: there is no such file or folder")
    elif not files:
        problems.at("from").missing(f"{path}: holds no recording (WAV, FLAC, OGG, MP3) and no .safetensors")
    elif path.is_file() and path.suffix.lower() not in SUFFIXES:
        problems.at("from").missing(f"{path}: is no recording ({', '.join(SUFFIXES)}), as its name has it")
    if model is None:
        if entry.model is None:
            problems.at("from").warn("no model can speak it: models.names is 'none'")
        return voice
    steps = _steps(entry, model, models, problems)
    source = VoiceSource(
        voice_name=library_voice_name(model, voice.name), name=voice.name, model=model, path=path, steps=steps
    )
    styles = tuple(files) if len(files) > 1 else ()
    return replace(voice, engine_voices=(source.voice_name,), styles=styles, source=source)


def _from_model(
    voice: ConfiguredVoice,
    entry: VoiceEntry,
    model: str | None,
    *,
    models: Models,
    embedded: Collection[str],
    problems: Problems,
) -> ConfiguredVoice:
    full_name = models.full_name(entry.source, entry.model and (model or entry.model))
    if full_name is None:
        _explain_unknown(entry, models, embedded, problems.at("from"))
        return replace(voice, engine_voices=(entry.source,))
    label, ready_made = models.split(full_name)
    if entry.model is not None and label != model:
        problems.at("model").error(f"'{entry.source}' is a voice of {label}, not of '{entry.model}'; leave one out")
    voice = replace(voice, engine_voices=(full_name,), language=models.languages[label])
    steps = _steps(entry, label, models, problems)
    if steps is None:
        return voice
    source = VoiceSource(
        voice_name=library_voice_name(label, voice.name),
        name=voice.name,
        model=label,
        ready_made=ready_made,
        steps=steps,
    )
    return replace(voice, engine_voices=(source.voice_name, full_name), source=source)


def _explain_unknown(entry: VoiceEntry, models: Models, embedded: Collection[str], problems: Problems) -> None:
    if entry.model is not None and models.labels and not any(same(entry.model, label) for label in models.labels):
        return  # said already
    if models.may_come(entry.source):
        why = "yet; until it comes" if models.labels else "while models.names is 'none'; meanwhile"
        problems.warn(f"there is no voice '{entry.source}' {why}, another one speaks")
        return
    elsewhere = models.of_another(entry.source)
    if elsewhere is not None:
        problems.error(elsewhere)
        return
    known = sorted({*embedded, *(voice for voices in models.ready_made.values() for voice in voices)})
    problems.error(
        f"there is no voice '{entry.source}'{did_you_mean(entry.source, known)}; allowed are {', '.join(known)}, "
        f"or a file or folder: ./{entry.source}"
    )


def _warn_of_what_is_ignored(entry: VoiceEntry, problems: Problems) -> None:
    for key in ("model", "temperature", "eos_threshold", "steps"):
        if getattr(entry, key) is not None:
            problems.at(key).warn(f"changes nothing: '{entry.source}' is embedded and has no such thing")
