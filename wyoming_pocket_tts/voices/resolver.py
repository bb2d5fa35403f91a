"""Settings -> catalog, with every problem named."""

import difflib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from pathlib import Path
from typing import Any

from wyoming_pocket_tts.config.fields import Key, SatelliteSettings, SynthesisSettings, VoiceSettings, is_path
from wyoming_pocket_tts.config.loader import LoadResult, clash_mistakes, in_order, load_with_issues, places_in
from wyoming_pocket_tts.config.schema import ModelSettings, Settings
from wyoming_pocket_tts.core.errors import ConfigError
from wyoming_pocket_tts.core.types import OptionOverrides, TextOptions, Voice
from wyoming_pocket_tts.pocket.model_spec import NONE, ModelSpec, model_label, model_specs
from wyoming_pocket_tts.pocket.registry import model_names, voice_names
from wyoming_pocket_tts.pocket.voice_store import SUFFIXES, complaint_about, style_files
from wyoming_pocket_tts.voices.catalog import ConfiguredVoice, Satellite, VoiceCatalog, VoiceSource
from wyoming_pocket_tts.voices.library import user_voices
from wyoming_pocket_tts.voices.matching import (
    library_voice_name,
    may_be_installed_later,
    ready_made_name,
    same_name,
    slug,
    style_name,
)


class Severity(Enum):
    """What a problem means for the service."""

    ERROR = auto()
    """The service does not start."""
    MISSING = auto()
    """A file or voice is not there: the service starts without it."""
    WARNING = auto()
    """Worth a line in the log."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, and where a person can change it."""

    key: Key
    text: str
    severity: Severity

    def line(self, where: Callable[[Key], str]) -> str:
        """Write it for a person; ``where`` names the place of the key."""
        return f"{where(self.key)}: {'.'.join(map(str, self.key))}: {self.text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedVoices:
    """Settings that say who speaks how, with every name found."""

    voices: tuple[ConfiguredVoice, ...]
    satellites: tuple[Satellite, ...]
    reading: TextOptions
    """What becomes of texts unless a voice or satellite says otherwise."""
    default: str | None
    """The voice for clients that name none; None for the first that is installed."""
    problems: tuple[Problem, ...]

    def names(self) -> frozenset[str]:
        """What voices of the settings, their styles and satellites are called, by the engine too: nobody else is."""
        of_voices = {name for voice in self.voices for name in voice.names()}
        return frozenset(of_voices | {each.name for each in self.satellites})

    def sources(self) -> list[VoiceSource]:
        """What the engine has to make voices of."""
        return [voice.source for voice in self.voices if voice.source is not None]

    def cast(self, engine: Callable[[], Sequence[Voice]]) -> VoiceCatalog:
        """Let an engine play it; ``engine`` gives the engine's voices, from any thread."""
        return VoiceCatalog(
            engine, voices=self.voices, satellites=self.satellites, reading=self.reading, default=self.default
        )

    def needed(self) -> frozenset[str]:
        """Names of the engine's voices that somebody here speaks with: what has to be fetched in any case."""
        of_voices = {name for voice in self.voices for name in voice.engine_voices}
        named = {satellite.voice for satellite in self.satellites} | {self.default}
        own = {voice.name for voice in self.voices}
        return frozenset(of_voices | {name for name in named if name is not None and name not in own})

    def admit(self, where: Callable[[Key], str], *, strictly: bool = False) -> list[str]:
        """Refuse what cannot be; return the warnings, a line each.

        Args:
            where: names the place of a key, as ``settings_sources.places_in`` makes it.
            strictly: also refuse what is missing.

        Raises:
            ConfigError: a line for each problem.
        """
        refused = {Severity.ERROR, Severity.MISSING} if strictly else {Severity.ERROR}
        errors = [problem.line(where) for problem in self.problems if problem.severity in refused]
        if errors:
            raise ConfigError("\n".join(errors))
        return [problem.line(where) for problem in self.problems]


def resolve_voices(settings: Settings, *, embedded: Collection[str], dropped: Collection[str] = ()) -> ResolvedVoices:
    """Find everybody that the settings name.

    Args:
        settings: checked.
        embedded: names of the embedded voices.
        dropped: names of the voices that lie in the data directory's folder for them; they come and go.
    """
    problems = ProblemCollector()
    models = ModelIndex.of(settings.models, problems)
    voices = tuple(
        resolve_voice(name, entry, models=models, embedded=embedded, problems=problems.at("voices", name))
        for name, entry in settings.voices.items()
    )
    names = NameIndex(voices, settings.satellites, models=models, embedded=embedded, dropped=dropped)
    _check_names(voices, settings, names, problems)
    satellites = tuple(
        _satellite(name, entry, names, problems.at("satellites", name), server=settings.discovery.name)
        for name, entry in settings.satellites.items()
    )
    default = settings.voice.default
    if default is not None:
        default = names.default(default, problems.at("voice"))
    return ResolvedVoices(
        voices=voices,
        satellites=satellites,
        reading=settings.text.as_reading(),
        default=default,
        problems=problems.found(),
    )


class ProblemCollector:
    """Collects problems; ``at`` gives a view on a part of the settings that collects into the same."""

    def __init__(self, key: Key = (), found: list[Problem] | None = None) -> None:
        self._key = key
        self._found: list[Problem] = [] if found is None else found

    def at(self, *key: str) -> "ProblemCollector":
        """The same collection, for a key below this one."""
        return ProblemCollector((*self._key, *key), self._found)

    def found(self) -> tuple[Problem, ...]:
        """All of them, in the order in which they were found."""
        return tuple(self._found)

    def error(self, text: str) -> None:
        """What cannot be."""
        self._found.append(Problem(self._key, text, Severity.ERROR))

    def missing(self, text: str) -> None:
        """What is not there, and may be one day."""
        self._found.append(Problem(self._key, text, Severity.MISSING))

    def warn(self, text: str) -> None:
        """What is allowed and perhaps not meant."""
        self._found.append(Problem(self._key, text, Severity.WARNING))


@dataclass(frozen=True, slots=True)
class ModelIndex:
    """What each model is called, speaks, and has for voices."""

    languages: Mapping[str, str]
    """Tags by labels, the most important model first."""
    ready_made: Mapping[str, tuple[str, ...]]
    """Names of ready-made voices by labels, without the model's name."""
    wanted: Mapping[str, ModelSpec]
    """What is known about those that could be looked up, by labels."""

    @classmethod
    def of(cls, settings: ModelSettings, problems: ProblemCollector) -> "ModelIndex":
        """Look the models up; what cannot be looked up is noted and otherwise believed."""
        try:
            wanted: list[ModelSpec] = model_specs(settings.names, languages=settings.languages)
        except ConfigError as error:
            key = "languages" if str(error).startswith("models.languages: ") else "names"
            problems.at("models", key).error(str(error).removeprefix(f"models.{key}: "))
            labels = [model_label(name) for name in settings.names if name.lower() != NONE]
            return cls(dict.fromkeys(labels, "en"), dict.fromkeys(labels, voice_names()), {})
        by_label = {model.label: model for model in wanted}
        languages = {label: model.language for label, model in by_label.items()}
        return cls(languages, {label: model.voices for label, model in by_label.items()}, by_label)

    @property
    def labels(self) -> tuple[str, ...]:
        """What they are called, the most important one first."""
        return tuple(self.languages)

    def full_name(self, name: str, model: str | None = None) -> str | None:
        """What clients call a ready-made voice that is given with or without its model's name; None if there is none.

        Without the model's name, ``model`` or else the first model that has it is meant.
        """
        for label in self.labels:
            for voice in self.ready_made[label]:
                if same_name(ready_made_name(label, voice), name):
                    return ready_made_name(label, voice)
        for label in (model,) if model is not None else self.labels:
            for voice in self.ready_made.get(label, ()):
                if same_name(voice, name):
                    return ready_made_name(label, voice)
        return None

    def split(self, full_name: str) -> tuple[str, str]:
        """The model's label and the voice of a name that ``full_name`` gave."""
        return next(
            (label, voice)
            for label in self.labels
            for voice in self.ready_made[label]
            if ready_made_name(label, voice) == full_name
        )

    def why_steps_change_nothing(self, label: str, steps: int, *, ready_made: bool) -> str | None:
        """Why a voice sounds the same with so many steps of the model's sampler; None if it does not.

        Args:
            label: what the model is called.
            steps: what is asked for.
            ready_made: whether it is a voice of the model's, not a file.
        """
        model = self.wanted.get(label)
        if model is None:
            return None
        flow = model.config.flow_lm.flow
        if flow.n_times == 0:
            return f"the model {label} draws in one go, without steps"
        if flow.fewest_steps == steps:
            return f"the model {label} takes {steps} anyway"
        if ready_made and model.name is None:
            return f"{label} is a model of your own, which hears that voice itself; give a recording after 'from'"
        return None

    def all_names(self) -> list[str]:
        """What clients call all ready-made voices."""
        return [ready_made_name(label, voice) for label in self.labels for voice in self.ready_made[label]]

    def may_come(self, name: str) -> bool:
        """Whether a voice that nobody has may be there one day: it is called like one of a model that is wanted.

        Where no model is wanted for once, any model counts.
        """
        if self.labels:
            return may_be_installed_later(name, self.labels)
        return may_be_installed_later(name, model_names()) or any(same_name(name, each) for each in voice_names())

    def of_another(self, name: str) -> str | None:
        """What to do about the name of a ready-made voice of a model that is not wanted; None for other names."""
        if not self.labels:
            return None
        for model in model_names():
            if model not in self.labels and any(
                same_name(ready_made_name(model, each), name) for each in voice_names()
            ):
                names = ", ".join(self.labels)
                return f"'{name}' is a voice of the model {model}, which is not in models.names ({names}); add it there"
        return None


class NameIndex:
    """Everybody who is known before anything is loaded."""

    def __init__(
        self,
        voices: Sequence[ConfiguredVoice],
        satellites: Iterable[str],
        *,
        models: ModelIndex,
        embedded: Collection[str],
        dropped: Collection[str] = (),
    ) -> None:
        self._dropped = tuple(dropped)
        self._voices = tuple(voices)
        self._satellites = tuple(satellites)
        self._models = models
        self._embedded = tuple(embedded)

    def taken_by(self, name: str) -> str:
        """Whose name this is, of those that nobody gave in the settings; empty if it is free."""
        if any(same_name(name, embedded) for embedded in self._embedded):
            return "an embedded voice"
        if any(same_name(name, ready_made) for ready_made in self._models.all_names()):
            return "a ready-made voice"
        for voice in self._voices:
            if any(same_name(name, style_name(voice.name, style)) for style in voice.styles):
                return f"a style of voices.{voice.name}"
        return ""

    def voice(self, name: str, problems: ProblemCollector) -> str:
        """The listed voice that a satellite means; a name that nobody has is noted and comes back as it is."""
        found = self._found(name)
        if found is None:
            self._explain_unknown(name, problems.at("voice"))
        return found or name

    def default(self, name: str, problems: ProblemCollector) -> str:
        """The same for the default voice, for which a wrong name is no more than a warning."""
        found = self._found(name)
        if found is not None:
            return found
        if any(same_name(name, satellite) for satellite in self._satellites):
            problems.at("default").error(f"'{name}' is a satellite; name its voice")
        else:
            problems.at("default").warn(
                self._models.of_another(name)
                or f"there is no voice '{name}'{self._meant(name) or _LISTING}; the first installed one speaks instead"
            )
        return name

    def _found(self, name: str) -> str | None:
        for known in (*(voice.name for voice in self._voices), *self._styles(), *self._embedded, *self._dropped):
            if same_name(name, known):
                return known
        return self._models.full_name(name)

    def _styles(self) -> list[str]:
        return [style_name(voice.name, style) for voice in self._voices for style in voice.styles]

    def _known(self) -> list[str]:
        names = [voice.name for voice in self._voices]
        return [*names, *self._styles(), *self._embedded, *self._dropped, *self._models.all_names()]

    def _meant(self, name: str) -> str:
        """A question whether somebody else was meant."""
        short = [voice for voices in self._models.ready_made.values() for voice in voices]
        return suggest(name, self._known()) or suggest(name, short)

    def _explain_unknown(self, name: str, problems: ProblemCollector) -> None:
        match = _STYLE.fullmatch(name)
        of_style = next((voice for voice in self._voices if match and same_name(voice.name, match["voice"])), None)
        if match and of_style is not None:
            self._explain_style(match["style"], of_style, problems)
        elif self._models.may_come(name):
            problems.warn(f"there is no voice '{name}' yet; until it comes, another one speaks")
        elif any(same_name(name, satellite) for satellite in self._satellites):
            problems.error(f"'{name}' is a satellite; name its voice")
        elif elsewhere := self._models.of_another(name):
            problems.missing(elsewhere)
        else:
            few = dict.fromkeys(
                [
                    *(voice.name for voice in self._voices),
                    *self._dropped,
                    *self._models.all_names()[:1],
                    "...",
                    *self._embedded,
                ]
            )
            # No error that keeps the service from starting: it may be a dropped voice that somebody took away.
            problems.missing(
                f"there is no voice '{name}'{self._meant(name)}; allowed are those of 'voices', those "
                f"that lie in the data directory's folder 'voices', and those that the service lists: {', '.join(few)}"
            )

    @staticmethod
    def _explain_style(style: str, voice: ConfiguredVoice, problems: ProblemCollector) -> None:
        path = voice.source.path if voice.source is not None else None
        if path is not None and not path.is_file():
            problems.missing(f"the voice '{voice.name}' has no style '{style}': no such recording in {path}")
        else:
            problems.error(f"the voice '{voice.name}' has no styles; they come of a folder of recordings")


def _satellite(
    name: str, entry: SatelliteSettings, names: NameIndex, problems: ProblemCollector, *, server: str | None
) -> Satellite:
    return Satellite(
        name=name,
        voice=None if entry.voice is None else names.voice(entry.voice, problems),
        description=entry.description or "",
        networks=entry.address,
        port=entry.port,
        announced_as=entry.announced_as(name, server=server),
        listed=entry.listed,
        overrides=overrides_of(entry),
    )


def _check_names(
    voices: Sequence[ConfiguredVoice], settings: Settings, names: NameIndex, problems: ProblemCollector
) -> None:
    """Every name that a client can ask for means one voice."""
    for section, given in (("voices", settings.voices), ("satellites", settings.satellites)):
        for name in given:
            taken = names.taken_by(name)
            if taken:
                problems.at(section, name).error(f"'{name}' is the name of {taken} already; take another")
    for first, second in _same_slug(voices):
        text = f"'{second}' and '{first}' differ in signs alone, which is too little; take another name"
        problems.at("voices", second).error(text)


def _same_slug(voices: Sequence[ConfiguredVoice]) -> Iterator[tuple[str, str]]:
    first: dict[str, str] = {}
    for voice in voices:
        if voice.source is not None and first.setdefault(slug(voice.name), voice.name) != voice.name:
            yield first[slug(voice.name)], voice.name


_LISTING = " ('wyoming-pocket-tts voices' lists those that there are)"
_STYLE = re.compile(r"(?P<voice>.+) \((?P<style>[^()]+)\)")


_FALLBACK_LANGUAGE = "en"


def resolve_voice(
    name: str, entry: VoiceSettings, *, models: ModelIndex, embedded: Collection[str], problems: ProblemCollector
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
    lent = next((each for each in embedded if same_name(each, entry.source)), None)
    if lent is not None:
        _warn_of_what_is_ignored(entry, problems)
        return replace(voice, engine_voices=(lent,), language=_FALLBACK_LANGUAGE)
    return _from_model(voice, entry, model, models=models, embedded=embedded, problems=problems)


def overrides_of(entry: SynthesisSettings) -> OptionOverrides:
    """What an entry of the settings changes about how is spoken."""
    return OptionOverrides(
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


def _model(entry: VoiceSettings, models: ModelIndex, problems: ProblemCollector) -> str | None:
    """The label of the model that is to speak; None if there is none."""
    if entry.model is None:
        return next(iter(models.labels), None)
    label = next((label for label in models.labels if same_name(label, entry.model)), None)
    if label is None and models.labels:
        problems.at("model").error(
            f"'{entry.model}' is not among models.names ({', '.join(models.labels)}); add it there"
        )
    return label


def _steps(entry: VoiceSettings, label: str, models: ModelIndex, problems: ProblemCollector) -> int | None:
    """Those of the model's sampler, as far as they make a difference: each number is a conversion of its own."""
    if entry.steps is None:
        return None
    why_not = models.why_steps_change_nothing(label, entry.steps, ready_made=not is_path(entry.source))
    if why_not is None:
        return entry.steps
    problems.at("steps").warn(f"changes nothing: {why_not}")
    return None


def _from_files(
    voice: ConfiguredVoice, entry: VoiceSettings, model: str | None, models: ModelIndex, problems: ProblemCollector
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
    entry: VoiceSettings,
    model: str | None,
    *,
    models: ModelIndex,
    embedded: Collection[str],
    problems: ProblemCollector,
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


def _explain_unknown(
    entry: VoiceSettings, models: ModelIndex, embedded: Collection[str], problems: ProblemCollector
) -> None:
    if entry.model is not None and models.labels and not any(same_name(entry.model, label) for label in models.labels):
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
        f"there is no voice '{entry.source}'{suggest(entry.source, known)}; allowed are {', '.join(known)}, "
        f"or a file or folder: ./{entry.source}"
    )


def _warn_of_what_is_ignored(entry: VoiceSettings, problems: ProblemCollector) -> None:
    for key in ("model", "temperature", "eos_threshold", "steps"):
        if getattr(entry, key) is not None:
            problems.at(key).warn(f"changes nothing: '{entry.source}' is embedded and has no such thing")


def suggest(name: str, known: Iterable[str]) -> str:
    """A question for a message, or nothing where nothing is near."""
    folded = {each.casefold(): each for each in sorted(known)}
    close = difflib.get_close_matches(name.casefold(), folded, n=1)
    return f" (did you mean '{folded[close[0]]}'?)" if close else ""


def owner_of(name: str, settings: Settings, *, embedded: Collection[str]) -> str:
    """Who is called so, or will be; empty if the name is free. Case does not count.

    Args:
        name: what a voice is to be called.
        settings: whose voices, satellites and models.
        embedded: names of the embedded voices.
    """
    for section, given in (("voices", settings.voices), ("satellites", settings.satellites)):
        for each in given:
            if same_name(each, name):
                return f"{section}.{each} in the settings"
    taken = NameIndex((), (), models=ModelIndex.of(settings.models, ProblemCollector()), embedded=embedded).taken_by(
        name
    )
    everywhere = (ready_made_name(model, voice) for model in model_names() for voice in voice_names())
    return taken or ("a ready-made voice" if any(same_name(each, name) for each in everywhere) else "")


_LENGTH_OF_AN_ENTRY = 2
"""Of a key such as ``voices.Anna``."""


@dataclass(frozen=True, slots=True)
class ConfigReport:
    """Settings without what is wrong with them, and all of that."""

    settings: Settings
    casting: ResolvedVoices
    problems: list[str]
    """A line for each thing that has to be changed: those of the file from top to bottom, then the others."""
    warnings: list[str]
    unusable: list[str]
    """A line for each file among the user's voices that is none."""
    is_whole: bool
    """Whether every value could be taken; otherwise some are as if nobody had set them."""


def check_settings(
    file: Path | None,
    *,
    environment: Mapping[str, str],
    embedded: Collection[str],
    flags: Mapping[str, Any] | None = None,
) -> ConfigReport:
    """Read settings as the service would, and find out whether their parts go together and what they name is there.

    Args:
        file: the settings; None for what the environment says alone.
        environment: lies over the file.
        embedded: names of the embedded voices.
        flags: lie over both.

    Raises:
        ConfigError: the file cannot be read at all.
    """
    found = load_with_issues(file=file, environment=environment, flags=flags)
    settings = found.settings
    # Voices of which too little is right are not there, but who names them makes no mistake.
    dropped, unusable = _dropped(settings)
    casting = resolve_voices(settings, embedded=embedded, dropped=[*dropped, *_left_out_voices(found)])
    origins = places_in(file, environment=environment, flags=flags)
    named = casting.problems if _tells_names(found) else ()
    told = [(problem.severity is Severity.WARNING, origins.mistake(problem.key, problem.text)) for problem in named]
    mistakes = [
        *found.mistakes,
        *clash_mistakes(found, origins),
        *(each for is_warning, each in told if not is_warning),
    ]
    warnings = in_order(each for is_warning, each in told if is_warning)
    return ConfigReport(settings, casting, in_order(mistakes), warnings, unusable, is_whole=not found.left_out)


def _dropped(settings: Settings) -> tuple[list[str], list[str]]:
    """Names of the voices in the data directory's folder for them, and what is wrong with files there."""
    names: list[str] = []
    unusable: list[str] = []
    for voice in user_voices(settings.data_dir, [model_label(name) for name in settings.models.names]):
        complaints = [complaint_about(file) for file in voice.styles.values()]
        names += [] if all(complaints) else [voice.name]
        unusable += filter(None, complaints)
    return names, unusable


def _left_out_voices(found: LoadResult) -> Iterator[str]:
    """Names of voices of the settings that were left out altogether."""
    return (str(key[1]) for key in found.left_out if key[:1] == ("voices",) and len(key) == _LENGTH_OF_AN_ENTRY)


def _tells_names(found: LoadResult) -> bool:
    """Whether a name that is not there is a mistake of its own, and not what follows from another one."""
    return found.has_whole("models") and ("voices",) not in found.left_out
