"""Settings -> catalog, with every problem named."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from wyoming_pocket_tts.config.diagnostics import ConfigIssue, Severity
from wyoming_pocket_tts.config.fields import Key, SynthesisSettings, VoiceSettings, is_path
from wyoming_pocket_tts.config.loader import SourceMap, load_with_issues, sort_issues
from wyoming_pocket_tts.config.schema import ModelSettings, Settings
from wyoming_pocket_tts.core.errors import ConfigError, suggest
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

_FALLBACK_LANGUAGE = "en"
_LISTING = " ('wyoming-pocket-tts voices' lists those that there are)"
_STYLE = re.compile(r"(?P<voice>.+) \((?P<style>[^()]+)\)")


def _match(name: str, names: Iterable[str]) -> str | None:
    """The name of these that is the same; case does not count."""
    return next((each for each in names if same_name(name, each)), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedVoices:
    """Voices and satellites of the settings, with every name resolved."""

    voices: tuple[ConfiguredVoice, ...]
    satellites: tuple[Satellite, ...]
    reading: TextOptions
    """Text options, unless a voice or satellite overrides them."""
    default: str | None
    """The voice for clients that name none; None for the first that is installed."""
    problems: tuple[ConfigIssue, ...]

    def names(self) -> frozenset[str]:
        """Names of voices, their styles and satellites, those for the engine included: no other voice may have one."""
        of_voices = {name for voice in self.voices for name in voice.names()}
        return frozenset(of_voices | {each.name for each in self.satellites})

    def sources(self) -> list[VoiceSource]:
        return [voice.source for voice in self.voices if voice.source is not None]

    def cast(self, engine: Callable[[], Sequence[Voice]]) -> VoiceCatalog:
        """Make the catalog; ``engine`` returns the engine's voices, from any thread."""
        return VoiceCatalog(
            engine, voices=self.voices, satellites=self.satellites, reading=self.reading, default=self.default
        )

    def needed(self) -> frozenset[str]:
        """The engine's voices that are in use: to be downloaded in any case."""
        of_voices = {name for voice in self.voices for name in voice.engine_voices}
        named = {satellite.voice for satellite in self.satellites} | {self.default}
        own = {voice.name for voice in self.voices}
        return frozenset(of_voices | {name for name in named if name is not None and name not in own})

    def admit(self, sources: SourceMap, *, strictly: bool = False) -> list[str]:
        """Return a line for each warning; raise ``ConfigError`` for errors, and if strict for what is missing."""
        refused = {Severity.ERROR, Severity.MISSING} if strictly else {Severity.ERROR}
        if errors := [issue for issue in self.problems if issue.severity in refused]:
            raise ConfigError("\n".join(str(sources.locate(issue)) for issue in errors))
        return [str(sources.locate(issue)) for issue in self.problems]


def resolve_voices(settings: Settings, *, embedded: Collection[str], dropped: Collection[str] = ()) -> ResolvedVoices:
    """Resolve all names in the settings.

    ``embedded`` and ``dropped`` are names of embedded voices and of those in the data directory's folder.
    """
    problems = ProblemCollector()
    names = NameIndex(settings, problems, embedded=embedded, dropped=dropped)
    names.check_unique(problems)
    satellites = tuple(
        Satellite(
            name=name,
            voice=None if entry.voice is None else names.satellite_voice(entry.voice, problems.at("satellites", name)),
            description=entry.description or "",
            networks=entry.address,
            port=entry.port,
            announced_as=entry.announced_as(name, server=settings.discovery.name),
            listed=entry.visible,
            overrides=overrides_from_settings(entry),
        )
        for name, entry in settings.satellites.items()
    )
    default = settings.voice.default
    return ResolvedVoices(
        voices=names.voices,
        satellites=satellites,
        reading=settings.text.as_options(),
        default=None if default is None else names.default_voice(default, problems.at("voice", "default")),
        problems=tuple(problems.found),
    )


class ProblemCollector:
    """Collects problems; ``at`` gives a view on a part of the settings that collects into the same list."""

    def __init__(self, key: Key = (), found: list[ConfigIssue] | None = None) -> None:
        self._key = key
        self.found: list[ConfigIssue] = [] if found is None else found

    def at(self, *key: str) -> "ProblemCollector":
        return ProblemCollector((*self._key, *key), self.found)

    def error(self, text: str) -> None:
        self.found.append(ConfigIssue(self._key, text, Severity.ERROR))

    def missing(self, text: str) -> None:
        self.found.append(ConfigIssue(self._key, text, Severity.MISSING))

    def warning(self, text: str) -> None:
        self.found.append(ConfigIssue(self._key, text, Severity.WARNING))


@dataclass(frozen=True, slots=True)
class ModelIndex:
    """Languages and predefined voices of the configured models, by label, the most important model first."""

    languages: Mapping[str, str]
    ready_made: Mapping[str, tuple[str, ...]]
    """Without the model's name."""
    specs: Mapping[str, ModelSpec]
    """Empty if the models could not be looked up."""

    @classmethod
    def of(cls, settings: ModelSettings, problems: ProblemCollector) -> "ModelIndex":
        try:
            specs = {spec.label: spec for spec in model_specs(settings.names, languages=settings.languages)}
        except ConfigError as error:
            key = "languages" if str(error).startswith("models.languages: ") else "names"
            problems.at("models", key).error(str(error).removeprefix(f"models.{key}: "))
            labels = [model_label(name) for name in settings.names if name.lower() != NONE]
            return cls(dict.fromkeys(labels, _FALLBACK_LANGUAGE), dict.fromkeys(labels, voice_names()), {})
        languages = {label: spec.language for label, spec in specs.items()}
        return cls(languages, {label: spec.voices for label, spec in specs.items()}, specs)

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(self.languages)

    def find(self, name: str, model: str | None = None) -> tuple[str, str] | None:
        """Label and voice of a predefined voice, given with or without its model's name.

        Without the model's name, ``model`` or else the first model with that voice is meant.
        """
        pairs = [(label, voice) for label in self.labels for voice in self.ready_made[label]]
        candidates = [pair for pair in pairs if same_name(ready_made_name(*pair), name)]
        candidates += [pair for pair in pairs if same_name(pair[1], name) and model in (None, pair[0])]
        return candidates[0] if candidates else None

    def why_steps_change_nothing(self, label: str, steps: int, *, is_file: bool) -> str | None:
        """The reason why a voice sounds the same with so many steps of the sampler; None if it does not."""
        spec = self.specs.get(label)
        if spec is None:
            return None
        flow = spec.config.flow_lm.flow
        if flow.n_times == 0:
            return f"the model {label} draws in one go, without steps"
        if flow.fewest_steps == steps:
            return f"the model {label} takes {steps} anyway"
        if not is_file and spec.name is None:
            return f"{label} is a model of your own, which encodes that voice itself; give a recording after 'from'"
        return None

    def all_names(self) -> list[str]:
        return [ready_made_name(label, voice) for label in self.labels for voice in self.ready_made[label]]

    def short_names(self) -> set[str]:
        return {voice for voices in self.ready_made.values() for voice in voices}

    def may_be_installed_later(self, name: str) -> bool:
        """Whether an unknown voice has a name like those of a configured model; without models, of any model."""
        if self.labels:
            return may_be_installed_later(name, self.labels)
        return may_be_installed_later(name, model_names()) or _match(name, voice_names()) is not None

    def of_another_model(self, name: str) -> str | None:
        """Advice if this is a predefined voice of a model that is not configured."""
        names = ", ".join(self.labels)
        for model in model_names() if names else ():
            if model not in self.labels and _match(name, (ready_made_name(model, each) for each in voice_names())):
                return f"'{name}' is a voice of the model {model}, which is not in models.names ({names}); add it there"
        return None


class NameIndex:
    """Names of all voices and satellites, before anything is loaded."""

    def __init__(
        self,
        settings: Settings,
        problems: ProblemCollector,
        *,
        embedded: Collection[str],
        dropped: Collection[str] = (),
    ) -> None:
        self._settings = settings
        self._embedded = embedded
        self._dropped = dropped
        self._models = ModelIndex.of(settings.models, problems)
        self.voices = tuple(
            self._voice(name, entry, problems.at("voices", name)) for name, entry in settings.voices.items()
        )
        self._own = [voice.name for voice in self.voices]
        styles = [style_name(voice.name, style) for voice in self.voices for style in voice.styles]
        self._known = [*self._own, *styles, *embedded, *dropped]

    # Names

    def owner(self, name: str) -> str:
        """The voice outside the settings, or the style, with this name; empty if the name is free."""
        names = {"an embedded voice": self._embedded, "a ready-made voice": self._models.all_names()}
        for voice in self.voices:
            names[f"a style of voices.{voice.name}"] = [style_name(voice.name, style) for style in voice.styles]
        return next((owner for owner, given in names.items() if _match(name, given)), "")

    def check_unique(self, problems: ProblemCollector) -> None:
        """Every name that a client can ask for belongs to one voice."""
        for section, given in (("voices", self._settings.voices), ("satellites", self._settings.satellites)):
            for name in given:
                if owner := self.owner(name):
                    problems.at(section, name).error(f"'{name}' is the name of {owner} already; take another")
        first: dict[str, str] = {}
        for name in [voice.name for voice in self.voices if voice.source is not None]:
            other = first.setdefault(slug(name), name)
            if other != name:
                text = f"'{name}' and '{other}' differ in signs alone, which is too little; take another name"
                problems.at("voices", name).error(text)

    def satellite_voice(self, name: str, problems: ProblemCollector) -> str:
        """The listed voice of that name; an unknown name is reported and returned as it is."""
        found = self._find(name)
        if found is None:
            self._explain_satellite_voice(name, problems.at("voice"))
        return found or name

    def default_voice(self, name: str, problems: ProblemCollector) -> str:
        """The same for the default voice; an unknown name is only a warning."""
        found = self._find(name)
        if found is None and _match(name, self._settings.satellites):
            problems.error(f"'{name}' is a satellite; name its voice")
        elif found is None:
            unknown = (
                f"there is no voice '{name}'{self._suggest(name) or _LISTING}; the first installed one speaks instead"
            )
            problems.warning(self._models.of_another_model(name) or unknown)
        return found or name

    def _find(self, name: str) -> str | None:
        found = self._models.find(name)
        return _match(name, self._known) or (found and ready_made_name(*found))

    def _suggest(self, name: str) -> str:
        return suggest(name, [*self._known, *self._models.all_names()]) or suggest(name, self._models.short_names())

    def _explain_satellite_voice(self, name: str, problems: ProblemCollector) -> None:
        match = _STYLE.fullmatch(name)
        of_style = next((voice for voice in self.voices if match and same_name(voice.name, match["voice"])), None)
        if match and of_style is not None:
            path = of_style.source.path if of_style.source is not None else None
            if path is not None and not path.is_file():
                problems.missing(
                    f"the voice '{of_style.name}' has no style '{match['style']}': no such recording in {path}"
                )
            else:
                problems.error(f"the voice '{of_style.name}' has no styles; they come of a folder of recordings")
        elif self._models.may_be_installed_later(name):
            problems.warning(f"there is no voice '{name}' yet; until it comes, another one is used")
        elif _match(name, self._settings.satellites):
            problems.error(f"'{name}' is a satellite; name its voice")
        elif elsewhere := self._models.of_another_model(name):
            problems.missing(elsewhere)
        else:
            few = dict.fromkeys([*self._own, *self._dropped, *self._models.all_names()[:1], "...", *self._embedded])
            # No error that keeps the service from starting: the file of the voice may have been removed.
            problems.missing(
                f"there is no voice '{name}'{self._suggest(name)}; allowed are those of 'voices', those "
                f"that lie in the data directory's folder 'voices', and those that the service lists: {', '.join(few)}"
            )

    # Voices of the settings

    def _voice(self, name: str, entry: VoiceSettings, problems: ProblemCollector) -> ConfiguredVoice:
        """Resolve a voice; if that is impossible the reason is reported, and the voice is never installed."""
        model = self._model(entry, problems)
        voice = ConfiguredVoice(
            name=name,
            engine_voices=(),
            language=self._models.languages.get(model or "", _FALLBACK_LANGUAGE),
            shown_language=entry.language,
            description=entry.description or "",
            overrides=overrides_from_settings(entry),
        )
        if is_path(entry.source):
            return self._voice_of_files(voice, entry, model, problems)
        embedded = _match(entry.source, self._embedded)
        if embedded is None:
            return self._voice_of_model(voice, entry, model, problems)
        for key in ("model", "temperature", "eos_threshold", "sampler_steps"):
            if getattr(entry, key) is not None:
                problems.at(key).warning(f"changes nothing: '{entry.source}' is embedded and has no such thing")
        return replace(voice, engine_voices=(embedded,), language=_FALLBACK_LANGUAGE)

    def _model(self, entry: VoiceSettings, problems: ProblemCollector) -> str | None:
        labels = self._models.labels
        if entry.model is None:
            return next(iter(labels), None)
        label = _match(entry.model, labels)
        if label is None and labels:
            problems.at("model").error(f"'{entry.model}' is not among models.names ({', '.join(labels)}); add it there")
        return label

    def _steps(self, entry: VoiceSettings, label: str, problems: ProblemCollector) -> int | None:
        """Steps of the sampler if they make a difference: each number of steps is another conversion of the model."""
        steps = entry.sampler_steps
        if steps is None:
            return None
        why = self._models.why_steps_change_nothing(label, steps, is_file=is_path(entry.source))
        if why is not None:
            problems.at("sampler_steps").warning(f"changes nothing: {why}")
        return steps if why is None else None

    def _voice_of_files(
        self, voice: ConfiguredVoice, entry: VoiceSettings, model: str | None, problems: ProblemCollector
    ) -> ConfiguredVoice:
        path, at_source = Path(entry.source), problems.at("from")
        files = style_files(path)
        if not path.exists():
            at_source.missing(f"{path}: there is no such file or folder")
        elif not files:
            at_source.missing(f"{path}: holds no recording (WAV, FLAC, OGG, MP3) and no .safetensors")
        elif path.is_file() and path.suffix.lower() not in SUFFIXES:
            at_source.missing(f"{path}: is no recording ({', '.join(SUFFIXES)}), as its name has it")
        if model is None:
            if entry.model is None:
                at_source.warning("no model can speak it: models.names is 'none'")
            return voice
        own_name, steps = library_voice_name(model, voice.name), self._steps(entry, model, problems)
        source = VoiceSource(voice_name=own_name, name=voice.name, model=model, path=path, steps=steps)
        styles = tuple(files) if len(files) > 1 else ()
        return replace(voice, engine_voices=(own_name,), styles=styles, source=source)

    def _voice_of_model(
        self, voice: ConfiguredVoice, entry: VoiceSettings, model: str | None, problems: ProblemCollector
    ) -> ConfiguredVoice:
        found = self._models.find(entry.source, entry.model and (model or entry.model))
        if found is None:
            if model is not None or entry.model is None or not self._models.labels:  # or the model was reported already
                self._explain_source(entry.source, problems.at("from"))
            return replace(voice, engine_voices=(entry.source,))
        label, ready_made = found
        if entry.model is not None and label != model:
            problems.at("model").error(f"'{entry.source}' is a voice of {label}, not of '{entry.model}'; leave one out")
        full_name = ready_made_name(label, ready_made)
        voice = replace(voice, engine_voices=(full_name,), language=self._models.languages[label])
        steps = self._steps(entry, label, problems)
        if steps is None:
            return voice
        own_name = library_voice_name(label, voice.name)
        source = VoiceSource(voice_name=own_name, name=voice.name, model=label, ready_made=ready_made, steps=steps)
        return replace(voice, engine_voices=(own_name, full_name), source=source)

    def _explain_source(self, source: str, problems: ProblemCollector) -> None:
        if self._models.may_be_installed_later(source):
            why = "yet; until it comes" if self._models.labels else "while models.names is 'none'; meanwhile"
            problems.warning(f"there is no voice '{source}' {why}, another one is used")
        elif elsewhere := self._models.of_another_model(source):
            problems.error(elsewhere)
        else:
            known = sorted({*self._embedded, *self._models.short_names()})
            problems.error(
                f"there is no voice '{source}'{suggest(source, known)}; allowed are {', '.join(known)}, "
                f"or a file or folder: ./{source}"
            )


def overrides_from_settings(entry: SynthesisSettings) -> OptionOverrides:
    return OptionOverrides(
        speed=entry.speed,
        volume_db=entry.volume,
        rate_hz=entry.sample_rate,
        temperature=entry.temperature,
        eos_threshold=entry.eos_threshold,
        pause_before=entry.leading_silence,
        pause_between=entry.sentence_silence,
        pause_after=entry.trailing_silence,
        normalize=entry.text.normalize,
        emoji=entry.text.emoji,
        replacements=tuple(entry.text.replacements.items()),
        pronunciations=tuple(entry.text.pronunciations.items()),
    )


def name_owner(name: str, settings: Settings, *, embedded: Collection[str]) -> str:
    """The voice or satellite that has this name, or may have it with other models; empty if the name is free."""
    for section, given in (("voices", settings.voices), ("satellites", settings.satellites)):
        if other := _match(name, given):
            return f"{section}.{other} in the settings"
    without_voices = settings.model_copy(update={"voices": {}})
    everywhere = (ready_made_name(model, voice) for model in model_names() for voice in voice_names())
    return NameIndex(without_voices, ProblemCollector(), embedded=embedded).owner(name) or (
        "a ready-made voice" if _match(name, everywhere) else ""
    )


@dataclass(frozen=True, slots=True)
class ConfigReport:
    """Settings, their resolved voices, and all mistakes in them."""

    settings: Settings
    casting: ResolvedVoices
    problems: list[str]
    """A line for each mistake: those of the file from top to bottom, then the others."""
    warnings: list[str]
    unusable: list[str]
    """A line for each unusable file among the user's voices."""
    is_complete: bool
    """Whether every value is valid; settings with others have the defaults."""


def check_settings(
    file: Path | None,
    *,
    environment: Mapping[str, str],
    embedded: Collection[str],
    flags: Mapping[str, Any] | None = None,
) -> ConfigReport:
    """Check settings as the service would, all names in them included; a ``ConfigError`` if the file cannot be read."""
    found = load_with_issues(file=file, environment=environment, flags=flags)
    settings = found.settings
    dropped: list[str] = []
    unusable: list[str] = []
    for voice in user_voices(settings.data_dir, [model_label(name) for name in settings.models.names]):
        complaints = [complaint_about(voice_file) for voice_file in voice.styles.values()]
        dropped += [] if all(complaints) else [voice.name]
        unusable += filter(None, complaints)
    # An invalid voice is left out, but its name elsewhere is no mistake.
    dropped += [str(name) for section, name in (key for key in found.left_out if len(key) == 2) if section == "voices"]  # noqa: PLR2004
    casting = resolve_voices(settings, embedded=embedded, dropped=dropped)
    issues = [*found.issues, *found.conflicts()]
    if found.is_complete("models") and ("voices",) not in found.left_out:  # otherwise unknown names follow from that
        issues += map(found.sources.locate, casting.problems)
    warnings = [issue for issue in issues if issue.severity is Severity.WARNING]
    mistakes = [issue for issue in issues if issue.severity is not Severity.WARNING]
    return ConfigReport(
        settings, casting, sort_issues(mistakes), sort_issues(warnings), unusable, is_complete=not found.left_out
    )
