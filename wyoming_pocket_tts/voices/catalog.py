"""Voices and satellites as clients see them; request -> options."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from pathlib import Path
from typing import NamedTuple

from wyoming_pocket_tts.core.errors import VoiceError
from wyoming_pocket_tts.core.types import OptionOverrides, SynthesisOptions, TextOptions, Voice
from wyoming_pocket_tts.voices.matching import VoiceMatch, choose_voice, same_name, spoken_language, style_name

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

_PLACEHOLDER_RATE_HZ = 24_000
"""What a voice is listed with that the engine does not have yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceSource:
    """What the engine is to make a voice of."""

    voice_name: str
    """How the engine is to call it."""
    name: str
    """How people call it."""
    model: str
    """The label of its model."""
    path: Path | None = None
    """A recording, an exported voice, or a folder of them (``voices.styles``); None for a predefined voice."""
    ready_made: str | None = None
    """The predefined voice, without its model's name."""
    steps: int | None = None
    """Of the model's sampler; None for the model's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfiguredVoice:
    """A voice of the settings."""

    name: str
    """Unique among voices and satellites, whatever its case."""
    engine_voices: tuple[str, ...]
    """Voices of the engine that may stand behind it: the first that is there does."""
    language: str = "en"
    """The tag of its model's language."""
    shown_language: str | None = None
    """The tag to show instead."""
    description: str = ""
    """Empty for a generated one."""
    styles: tuple[str, ...] = ()
    """Known before the engine has the voice; the default one first."""
    overrides: OptionOverrides = field(default_factory=OptionOverrides)
    source: VoiceSource | None = None
    """What the engine has to make for it; None where it only borrows a voice."""

    def names(self) -> Iterator[str]:
        yield self.name
        yield from (style_name(self.name, style) for style in self.styles)
        if self.source is not None:
            yield self.source.voice_name


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """A voice of the catalog."""

    voice: Voice
    overrides: OptionOverrides
    short: str
    """Its name among others, for example ``Anna``."""

    @property
    def engine(self) -> tuple[Voice | None, str | None]:
        """The engine's voice behind it, and the style."""
        return self.voice.engine_voice, self.voice.style


def configured_entry(voice: ConfiguredVoice, engine: Mapping[str, Voice]) -> CatalogEntry:
    """Give a voice of the settings one of the engine's voices, by their names; without one it is not installed."""
    there = [engine[name] for name in voice.engine_voices if name in engine]
    behind = next((each for each in there if each.installed), there[0] if there else None)
    language = voice.shown_language or (behind.languages[0] if behind else voice.language)
    description = voice.description or f"{voice.name} ({spoken_language(language)})"
    if behind is None:
        listed = replace(absent_voice(voice.name, description, language), speakers=voice.styles)
    else:
        languages = (voice.shown_language,) if voice.shown_language else behind.languages
        listed = replace(behind, name=voice.name, description=description, languages=languages, engine_voice=behind)
    listed = replace(listed, sample_rate_hz=voice.overrides.rate_hz or listed.sample_rate_hz)
    return CatalogEntry(listed, voice.overrides, voice.name)


def with_styles(entry: CatalogEntry) -> Iterator[CatalogEntry]:
    """A voice, then each of its styles as a voice of its own: Home Assistant has no page to choose a style."""
    yield entry
    if len(entry.voice.speakers) > 1:
        language = spoken_language(entry.voice.languages[0])
        for style in entry.voice.speakers:
            short = f"{entry.short}, {style}"
            voice = replace(
                entry.voice,
                name=style_name(entry.voice.name, style),
                description=f"{short} ({language})",
                speakers=(),
                style=style,
            )
            yield CatalogEntry(voice, entry.overrides, short)


def absent_voice(name: str, description: str, language: str) -> Voice:
    return Voice(
        name=name,
        description=description or name,
        languages=(language,),
        sample_rate_hz=_PLACEHOLDER_RATE_HZ,
        installed=False,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Satellite:
    """A device or room with a voice and options of its own."""

    name: str
    """Unique among satellites and voices, whatever its case."""
    voice: str | None = None
    """A listed voice; None for the default one."""
    description: str = ""
    """Empty for a generated one."""
    networks: tuple[Network, ...] = ()
    """Clients with an address in these are this satellite. No two satellites have the same one."""
    port: int | None = None
    """Clients of this port are this satellite."""
    announced_as: str | None = None
    """The name with which its port is announced; None for a generated one."""
    listed: bool = True
    """Whether clients can ask for it by name."""
    overrides: OptionOverrides = field(default_factory=OptionOverrides)


class SatelliteIndex:
    """Finds satellites by name, port and address."""

    def __init__(self, satellites: Sequence[Satellite]) -> None:
        self._all = tuple(satellites)
        # One look-up for each length of prefix there is, the narrowest networks first.
        self._by_prefix: dict[tuple[int, int], dict[int, Satellite]] = {}
        for satellite in self._all:
            for network in satellite.networks:
                of_length = self._by_prefix.setdefault((network.version, network.prefixlen), {})
                of_length[int(network.network_address)] = satellite
        self._prefixes = sorted(self._by_prefix, key=lambda prefix: -prefix[1])

    def __iter__(self) -> Iterator[Satellite]:
        return iter(self._all)

    def named(self, name: str, of_port: str | None = None) -> Satellite | None:
        """A listed satellite, or the one of the port that is named ``of_port``."""
        alike = (satellite for satellite in self._all if same_name(satellite.name, name))
        return next((satellite for satellite in alike if satellite.listed or satellite.name == of_port), None)

    def asking(self, *, address: str, satellite: str | None) -> Satellite | None:
        """The satellite of that port, else that of the narrowest network with the address.

        The address may have a zone; empty or none (a Unix socket), it belongs to no satellite.
        """
        if satellite is not None:
            of_port = next((each for each in self._all if each.name == satellite), None)
            if of_port is not None:
                return of_port
        client = _plain_address(address)
        return None if client is None else self._at(client)

    def _at(self, client: Address) -> Satellite | None:
        bits = client.max_prefixlen
        for version, length in self._prefixes:
            if version == client.version:
                network = int(client) >> (bits - length) << (bits - length)
                satellite = self._by_prefix[version, length].get(network)
                if satellite is not None:
                    return satellite
        return None


def _plain_address(text: str) -> Address | None:
    """An address, that of an IPv4 client of an IPv6 socket as IPv4. A zone (``%eth0``) makes no difference."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


class VoiceCatalog:
    """All voices and satellites; a request is resolved once, to a voice that carries its engine's.

    Precedence: a voice that the client names, the satellite of its port, the satellite of its address, the default
    voice, the first that is installed. A satellite that asks for a plain voice gets that voice with the satellite's
    options; a client that asks for a satellite by name gets that one.

    ``engine`` lists the engine's voices, the default one first, from any thread; equal as long as nothing changed.
    """

    def __init__(
        self,
        engine: Callable[[], Sequence[Voice]],
        *,
        voices: Sequence[ConfiguredVoice] = (),
        satellites: Sequence[Satellite] = (),
        reading: TextOptions | None = None,
        default: str | None = None,
    ) -> None:
        self._engine = engine
        self._configured = tuple(voices)
        self._satellites = SatelliteIndex(satellites)
        self._options = SynthesisOptions(text=reading or TextOptions())
        self._default = default
        self._private = {voice.source.voice_name for voice in self._configured if voice.source is not None}
        self._last: _Snapshot | None = None  # replaced as a whole: readable from any thread

    @property
    def satellites(self) -> tuple[Satellite, ...]:
        return tuple(self._satellites)

    def sources(self) -> tuple[VoiceSource, ...]:
        return tuple(voice.source for voice in self._configured if voice.source is not None)

    def voices(self, *, satellite: str | None = None) -> list[Voice]:
        """What clients can ask for: the default voice, satellites, configured voices, and the engine's own.

        The default is never a satellite. With ``satellite``, for its own port, that one alone; it is installed
        if any voice is, since another takes its place while its own is missing.
        """
        now = self._snapshot()
        if satellite is not None and satellite in now.satellites:
            is_any = any(entry.voice.installed for entry in now.plain)
            return [replace(now.satellites[satellite].voice, installed=is_any)]
        default = self._usual(None, now.plain).entry
        satellites = [now.satellites[each.name] for each in self._satellites if each.listed]
        by_name: dict[str, Voice] = {}
        for entry in (default, *satellites, *now.plain):
            if entry is not None:
                by_name.setdefault(entry.voice.name, entry.voice)
        return list(by_name.values())

    def resolve(
        self,
        *,
        name: str | None = None,
        speaker: str | None = None,
        language: str | None = None,
        address: str = "",
        satellite: str | None = None,
    ) -> VoiceMatch:
        """Resolve a request to a voice and options. A name that is not there is replaced, with a warning.

        With a name, ``language`` counts only if that name is not there. ``satellite`` owns the port of the connection.
        Raises ``VoiceError`` if no voice is installed, or none is named and none has the language.
        """
        now = self._snapshot()
        asked_for = self._satellites.named(name, satellite) if name else None
        host = asked_for or self._satellites.asking(address=address, satellite=satellite)
        usual = self._usual(host, now.plain)
        usual_name = usual.entry.voice.name if usual.entry is not None else None
        match = choose_voice(
            [entry.voice for entry in now.plain],
            name=usual_name if asked_for else name,
            speaker=speaker,
            language=language,
            default=usual_name,
            others=[each.name for each in self._satellites if each.listed or each.name == satellite],
        )
        entry = now.by_name[match.voice.name]
        options = now.options[match.voice.name]
        if host is not None:
            options = host.overrides.on(options)
        voice, warnings = match.voice, match.warnings
        if asked_for or not name:
            warnings = usual.warnings + warnings
            own = now.satellites[host.name] if host is not None else entry
            voice = own.voice if own.engine == entry.engine else voice
        why = match.why
        if host is not None:
            how = "the client names it" if asked_for else "by its port" if host.name == satellite else "by address"
            found = f": {why}" if (name or language) and not asked_for else ""
            why = f"for the satellite '{host.name}' ({how}){found}"
        return VoiceMatch(
            voice=voice, speaker=entry.voice.style or match.speaker, warnings=warnings, options=options, why=why
        )

    def _usual(self, satellite: Satellite | None, plain: Sequence[CatalogEntry]) -> "_Usual":
        """The voice of a satellite, or of all other clients, without a name; while it is not installed, another."""
        own = satellite.voice if satellite is not None else None
        wanted = own or self._default
        if wanted is None:
            return _Usual(next((entry for entry in plain if entry.voice.installed), None))
        entry = _found(plain, wanted)
        if entry is not None and entry.voice.installed:
            return _Usual(entry)
        substitute = self._substitute(entry, plain)
        if substitute is None:
            return _Usual(None)
        whose = f"of the satellite '{satellite.name}'" if satellite is not None and own else "of voice.default"
        what = "is not installed yet" if entry is not None else "does not exist"
        warning = f"the voice '{wanted}' {whose} {what}; '{substitute.voice.name}' speaks instead"
        return _Usual(substitute, (warning,))

    def _substitute(self, missing: CatalogEntry | None, plain: Sequence[CatalogEntry]) -> CatalogEntry | None:
        """Takes the place of a voice that is not installed: of its language, the default voice if that is one."""
        language = missing.voice.languages[0] if missing is not None else None
        voices = [entry.voice for entry in plain]
        default = _found([entry for entry in plain if entry.voice.installed], self._default or "")
        for tag in (language, None):
            try:
                match = choose_voice(voices, language=tag, default=default.voice.name if default else None)
            except VoiceError:  # none has the language, or none is installed at all
                continue
            return _found(plain, match.voice.name)
        return None

    def _snapshot(self) -> "_Snapshot":
        """All entries; made anew only when the engine's voices have changed."""
        engine = tuple(self._engine())
        last = self._last
        if last is None or last.engine != engine:
            plain = tuple(self._plain_entries(engine))
            satellites = {each.name: self._satellite_entry(each, plain) for each in self._satellites}
            by_name = {entry.voice.name: entry for entry in reversed(plain)}
            options = {name: entry.overrides.on(self._options) for name, entry in by_name.items()}
            last = self._last = _Snapshot(engine, plain, satellites, by_name, options)
        return last

    def _plain_entries(self, engine: Sequence[Voice]) -> Iterator[CatalogEntry]:
        by_name = {voice.name: voice for voice in engine}
        for configured in self._configured:
            yield from with_styles(configured_entry(configured, by_name))
        for voice in engine:
            if voice.name not in self._private:
                short = voice.description.partition(" (")[0] or voice.name
                yield from with_styles(CatalogEntry(replace(voice, engine_voice=voice), OptionOverrides(), short))

    def _satellite_entry(self, satellite: Satellite, plain: Sequence[CatalogEntry]) -> CatalogEntry:
        entry = _found(plain, satellite.voice) if satellite.voice else self._usual(None, plain).entry
        if entry is None:
            absent = absent_voice(satellite.name, satellite.description, "en")
            return CatalogEntry(absent, OptionOverrides(), satellite.name)
        language = spoken_language(entry.voice.languages[0])
        made = f"{satellite.name} ({entry.short}, {language})" if satellite.voice else f"{satellite.name} ({language})"
        voice = replace(
            entry.voice,
            name=satellite.name,
            description=satellite.description or made,
            sample_rate_hz=satellite.overrides.rate_hz or entry.voice.sample_rate_hz,
        )
        return CatalogEntry(voice, entry.overrides, satellite.name)


class _Usual(NamedTuple):
    """The voice for clients that name none; None if none is installed."""

    entry: CatalogEntry | None
    warnings: tuple[str, ...] = ()


class _Snapshot(NamedTuple):
    """The catalog at one time."""

    engine: tuple[Voice, ...]
    plain: tuple[CatalogEntry, ...]
    satellites: Mapping[str, CatalogEntry]
    by_name: Mapping[str, CatalogEntry]
    options: Mapping[str, SynthesisOptions]
    """By the name of the voice, without a satellite."""


def _found(entries: Iterable[CatalogEntry], name: str) -> CatalogEntry | None:
    """The entry with exactly this name, else the first with one that differs only in case."""
    alike = [entry for entry in entries if same_name(entry.voice.name, name)]
    return next((entry for entry in alike if entry.voice.name == name), alike[0] if alike else None)


class FallbackVoices:
    """Embedded voices that take the place of others under overload; ``embedded``: their names, the preferred first."""

    def __init__(self, catalog: VoiceCatalog, embedded: Sequence[str]) -> None:
        self._catalog = catalog
        self._embedded = tuple(embedded)

    def find(self, match: VoiceMatch) -> VoiceMatch | None:
        """An embedded voice of the same language, with the options that were meant; None if there is none."""
        behind = match.voice.engine_voice
        if behind is not None and behind.name in self._embedded:
            return match
        try:
            found = choose_voice(list(self._voices()), language=match.voice.languages[0])
        except VoiceError:
            return None
        return replace(match, voice=found.voice, speaker=found.speaker, why=f"it stands in for {match.voice.name!r}")

    def _voices(self) -> Iterator[Voice]:
        listed = self._catalog.voices()
        yield from (voice for name in self._embedded for voice in listed if voice.name == name)
