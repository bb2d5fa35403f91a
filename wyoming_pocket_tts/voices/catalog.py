"""Voices and satellites as clients see them; request -> options."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from pathlib import Path
from typing import NamedTuple

from wyoming_pocket_tts.core.errors import VoiceError, quote_untrusted
from wyoming_pocket_tts.core.types import OptionOverrides, SynthesisOptions, TextOptions, Voice
from wyoming_pocket_tts.voices.matching import VoiceMatch, choose_voice, same_name, spoken_language, style_name

_GONE_REMEMBERED = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceSource:
    """What the engine is to make a voice of."""

    voice_name: str
    """How the engine is to call it."""
    name: str
    """How people call it."""
    model: str
    """The label of the model that speaks it."""
    path: Path | None = None
    """A recording, an exported voice, or a folder of them (``voices.styles``); None for a ready-made voice."""
    ready_made: str | None = None
    """The ready-made voice, without its model's name."""
    steps: int | None = None
    """Of the model's sampler; None for what the model needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfiguredVoice:
    """A voice of the settings."""

    name: str
    """Unique among voices and satellites, whatever its case."""
    engine_voices: tuple[str, ...]
    """Voices of the engine that may speak for it: the first that is there does."""
    language: str = "en"
    """The tag of what its model speaks."""
    shown_language: str | None = None
    """The tag to show instead."""
    description: str = ""
    """What people read; empty to have it made."""
    styles: tuple[str, ...] = ()
    """Its styles, known before the engine has it; the default one first."""
    overrides: OptionOverrides = field(default_factory=OptionOverrides)
    source: VoiceSource | None = None
    """What the engine has to make for it; None where it only borrows a voice."""

    def names(self) -> Iterator[str]:
        """Yield what it and its styles are called, by people and by the engine."""
        yield self.name
        yield from (style_name(self.name, style) for style in self.styles)
        if self.source is not None:
            yield self.source.voice_name


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """Somebody who can be asked to speak, and who does it."""

    voice: Voice
    """As clients see it."""
    engine: Voice | None
    """As the engine knows it; None until it does."""
    speaker: str | None
    """The style in which the engine's voice speaks; None where the client may choose."""
    overrides: OptionOverrides
    short: str
    """What people call it among others, for example ``Anna``."""


Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True, kw_only=True)
class Satellite:
    """A room, or whoever else is spoken to in a way of its own."""

    name: str
    """Unique among satellites and voices, whatever its case."""
    voice: str | None = None
    """The listed voice that it has; None for the default one."""
    description: str = ""
    """What people read; empty to have it made."""
    networks: tuple[Network, ...] = ()
    """Clients with an address in these are this satellite. No two satellites have the same one."""
    port: int | None = None
    """Clients of this port are this satellite."""
    announced_as: str | None = None
    """Under which name its port is announced; None to have one made for the port."""
    listed: bool = True
    """Whether clients can ask for it by name."""
    overrides: OptionOverrides = field(default_factory=OptionOverrides)


class VoiceCatalog:
    """The voices that clients see, and how each of them is spoken.

    Precedence: a voice that the client names, then the satellite of the port it came by, then the satellite of its
    address, then the default voice, then the first that is installed. Who is recognised as a satellite and asks for a
    plain voice gets that voice in the satellite's manner; who asks for another satellite gets that one.

    Args:
        engine: gives the engine's voices, the default one first; may be called from any thread.
        voices: those of the settings.
        satellites: those of the settings.
        reading: what becomes of texts unless a voice or satellite says otherwise.
        default: the listed voice for clients that name none; None for the first that is installed.
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
        self._manner = SynthesisOptions(reading=reading or TextOptions())
        self._default = default
        self._private = {voice.source.voice_name for voice in self._configured if voice.source is not None}
        self._last_scene: _Scene | None = None  # replaced as a whole: readable from any thread

    @property
    def satellites(self) -> tuple[Satellite, ...]:
        """All satellites, in the order of the settings."""
        return tuple(self._satellites)

    def sources(self) -> tuple[VoiceSource, ...]:
        """What the engine has to make so that every configured voice can speak."""
        return tuple(voice.source for voice in self._configured if voice.source is not None)

    def voices(self, *, satellite: str | None = None) -> list[Voice]:
        """What clients can ask for: the default voice, satellites, configured voices, and the engine's own.

        The default is never a satellite. Voices that cannot speak yet are listed as not installed.

        Args:
            satellite: the name of the satellite whose own port is asked: that port offers the satellite alone, so that
                nobody who chooses from its list chooses somebody else. It is installed if anybody is, since a
                substitute speaks while its voice is missing.
        """
        scene = self._scene()
        if satellite is not None and satellite in scene.satellites:
            anybody = any(part.voice.installed for part in scene.plain)
            return [replace(scene.satellites[satellite].voice, installed=anybody)]
        default = self._usual(None, scene.plain).part
        satellites = [scene.satellites[each.name] for each in self._satellites if each.listed]
        by_name: dict[str, Voice] = {}
        for part in (default, *satellites, *scene.plain):
            if part is not None:
                by_name.setdefault(part.voice.name, part.voice)
        return list(by_name.values())

    def choose(
        self,
        *,
        name: str | None = None,
        speaker: str | None = None,
        language: str | None = None,
        address: str = "",
        satellite: str | None = None,
    ) -> VoiceMatch:
        """Find who is to speak for a client, and how. A wish for a name never ends in silence.

        Args:
            name: of a listed voice, or of one of its styles.
            speaker: a style.
            language: a tag; with a name it counts only where that name is not there.
            address: the client's IP address, empty if it has none.
            satellite: the name of the satellite whose own port the client connected to.

        Raises:
            VoiceError: no voice is installed, or nobody is named and nobody speaks the language.
        """
        scene = self._scene()
        asked_for = self._satellites.named(name, satellite) if name else None
        host = asked_for or self._satellites.asking(address=address, satellite=satellite)
        usual = self._usual(host, scene.plain)
        usual_name = usual.part.voice.name if usual.part is not None else None
        choice = choose_voice(
            [part.voice for part in scene.plain],
            name=usual_name if asked_for else name,
            speaker=speaker,
            language=language,
            default=usual_name,
            others=[each.name for each in self._satellites if each.listed or each.name == satellite],
        )
        part = scene.by_name[choice.voice.name]
        manner = part.overrides.on(self._manner)
        if host is not None:
            manner = host.overrides.on(manner)
        voice, warnings = choice.voice, choice.warnings
        if asked_for or not name:
            warnings = usual.warnings + warnings
            own = scene.satellites[host.name] if host is not None else part
            voice = own.voice if (own.engine, own.speaker) == (part.engine, part.speaker) else voice
        why = choice.why
        if host is not None:
            how = "the client names it" if asked_for else "by its port" if host.name == satellite else "by address"
            found = f": {why}" if (name or language) and not asked_for else ""
            why = f"for the satellite '{host.name}' ({how}){found}"
        return VoiceMatch(
            voice=voice, speaker=part.speaker or choice.speaker, warnings=warnings, manner=manner, why=why
        )

    def part(self, name: str) -> CatalogEntry:
        """Find a listed voice, or a satellite's that is not listed, by its exact name.

        A voice that has gone lately is still found, so that answers which began with it end with it.

        Raises:
            VoiceError: there is no such voice.
        """
        scene = self._scene()
        part = scene.satellites.get(name) or scene.by_name.get(name) or scene.gone.get(name)
        if part is None:
            raise VoiceError(f"there is no voice {quote_untrusted(name)}")
        return part

    def base(self, name: str) -> str:
        """The engine's name of the voice behind a listed one.

        Raises:
            VoiceError: there is no such voice, or the engine does not have it yet.
        """
        part = self.part(name)
        if part.engine is None:
            raise VoiceError(f"the voice '{name}' is not installed yet")
        return part.engine.name

    def _usual(self, satellite: Satellite | None, plain: Sequence[CatalogEntry]) -> "_Usual":
        """Whom a satellite, or everybody else, hears without a wish; while that one is not installed, a substitute."""
        own = satellite.voice if satellite is not None else None
        wanted = own or self._default
        if wanted is None:
            return _Usual(next((part for part in plain if part.voice.installed), None))
        part = _found(plain, wanted)
        if part is not None and part.voice.installed:
            return _Usual(part)
        substitute = self._substitute(part, plain)
        if substitute is None:
            return _Usual(None)
        whose = f"of the satellite '{satellite.name}'" if satellite is not None and own else "of voice.default"
        what = "is not installed yet" if part is not None else "does not exist"
        warning = f"the voice '{wanted}' {whose} {what}; '{substitute.voice.name}' speaks instead"
        return _Usual(substitute, (warning,))

    def _substitute(self, missing: CatalogEntry | None, plain: Sequence[CatalogEntry]) -> CatalogEntry | None:
        """Who speaks for a voice that is not installed: one of its language, the default voice if that is one."""
        language = missing.voice.languages[0] if missing is not None else None
        voices = [part.voice for part in plain]
        default = _found([part for part in plain if part.voice.installed], self._default or "")
        for tag in (language, None):
            try:
                choice = choose_voice(voices, language=tag, default=default.voice.name if default else None)
            except VoiceError:  # nobody speaks it, or nobody is installed at all
                continue
            return _found(plain, choice.voice.name)
        return None

    def _scene(self) -> "_Scene":
        """Who can be asked now. Made anew only when the engine's voices have changed."""
        engine = tuple(self._engine())
        scene = self._last_scene
        if scene is None or scene.engine != engine:
            plain = tuple(self._plain_parts(engine))
            satellites = {each.name: self._satellite_part(each, plain) for each in self._satellites}
            gone = {} if scene is None else scene.gone_in(part.voice.name for part in plain)
            scene = self._last_scene = _Scene(engine, plain, satellites, gone)
        return scene

    def _plain_parts(self, engine: Sequence[Voice]) -> Iterator[CatalogEntry]:
        by_name = {voice.name: voice for voice in engine}
        for configured in self._configured:
            yield from with_styles(configured_part(configured, by_name))
        for voice in engine:
            if voice.name not in self._private:
                short = voice.description.partition(" (")[0] or voice.name
                yield from with_styles(CatalogEntry(voice, voice, None, OptionOverrides(), short))

    def _satellite_part(self, satellite: Satellite, plain: Sequence[CatalogEntry]) -> CatalogEntry:
        part = _found(plain, satellite.voice) if satellite.voice else self._usual(None, plain).part
        if part is None:
            absent = absent_voice(satellite.name, satellite.description, "en")
            return CatalogEntry(absent, None, None, OptionOverrides(), satellite.name)
        language = spoken_language(part.voice.languages[0])
        made = f"{satellite.name} ({part.short}, {language})" if satellite.voice else f"{satellite.name} ({language})"
        voice = replace(
            part.voice,
            name=satellite.name,
            description=satellite.description or made,
            sample_rate_hz=satellite.overrides.rate_hz or part.voice.sample_rate_hz,
        )
        return CatalogEntry(voice, part.engine, part.speaker, part.overrides, satellite.name)


class _Usual(NamedTuple):
    """Who speaks when nobody is named; no part if nobody is installed."""

    part: CatalogEntry | None
    warnings: tuple[str, ...] = ()


class _Scene:
    """Everybody who can be asked, at one time."""

    def __init__(
        self,
        engine: tuple[Voice, ...],
        plain: tuple[CatalogEntry, ...],
        satellites: Mapping[str, CatalogEntry],
        gone: Mapping[str, CatalogEntry],
    ) -> None:
        self.engine = engine
        self.plain = plain
        self.satellites = satellites
        self.by_name = {part.voice.name: part for part in reversed(plain)}
        self.gone = gone

    def gone_in(self, names: Iterable[str]) -> dict[str, CatalogEntry]:
        """Of those who are here or went before, the last ones that these names lack."""
        there = set(names)
        gone = [(name, part) for name, part in (*self.gone.items(), *self.by_name.items()) if name not in there]
        return dict(gone[-_GONE_REMEMBERED:])


def _found(parts: Iterable[CatalogEntry], name: str) -> CatalogEntry | None:
    """The part with the very name, else the first whose name differs only in case."""
    alike = [part for part in parts if same_name(part.voice.name, name)]
    return next((part for part in alike if part.voice.name == name), alike[0] if alike else None)


_RATE_OF_THE_ABSENT_HZ = 24_000
"""What a voice is listed with that cannot speak yet. Nobody hears it."""


def configured_part(voice: ConfiguredVoice, engine: Mapping[str, Voice]) -> CatalogEntry:
    """Let a voice of the settings be spoken by one of the engine's, given by their names; without one it is absent."""
    there = [engine[name] for name in voice.engine_voices if name in engine]
    spoken_by = next((each for each in there if each.installed), there[0] if there else None)
    language = voice.shown_language or (spoken_by.languages[0] if spoken_by else voice.language)
    description = voice.description or f"{voice.name} ({spoken_language(language)})"
    if spoken_by is None:
        listed = replace(absent_voice(voice.name, description, language), speakers=voice.styles)
    else:
        languages = (voice.shown_language,) if voice.shown_language else spoken_by.languages
        listed = replace(spoken_by, name=voice.name, description=description, languages=languages)
    listed = replace(listed, sample_rate_hz=voice.overrides.rate_hz or listed.sample_rate_hz)
    return CatalogEntry(listed, spoken_by, None, voice.overrides, voice.name)


def with_styles(part: CatalogEntry) -> Iterator[CatalogEntry]:
    """A voice, then each of its styles as a voice of its own: Home Assistant has no page to choose a style."""
    yield part
    if len(part.voice.speakers) > 1:
        language = spoken_language(part.voice.languages[0])
        for style in part.voice.speakers:
            short = f"{part.short}, {style}"
            voice = replace(
                part.voice,
                name=style_name(part.voice.name, style),
                description=f"{short} ({language})",
                speakers=(),
            )
            yield CatalogEntry(voice, part.engine, style, part.overrides, short)


def absent_voice(name: str, description: str, language: str) -> Voice:
    """A voice that cannot speak yet."""
    return Voice(
        name=name,
        description=description or name,
        languages=(language,),
        sample_rate_hz=_RATE_OF_THE_ABSENT_HZ,
        installed=False,
    )


Address = IPv4Address | IPv6Address


class SatelliteIndex:
    """All satellites of the house."""

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
        """All of them, in the order of the settings."""
        return iter(self._all)

    def named(self, name: str, of_port: str | None = None) -> Satellite | None:
        """The satellite that a client asks for: one that is listed, or the one of the port, ``of_port``."""
        alike = (satellite for satellite in self._all if same_name(satellite.name, name))
        return next((satellite for satellite in alike if satellite.listed or satellite.name == of_port), None)

    def asking(self, *, address: str, satellite: str | None) -> Satellite | None:
        """Who asks: the satellite whose port it is, else that of the narrowest network with the client's address.

        Args:
            address: the client's IP address, with or without a zone; empty or no address (a Unix socket) is nobody's.
            satellite: the name of the satellite whose own port the client connected to.
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


class FallbackVoices:
    """Embedded voices that can take others' places.

    Args:
        cast: everybody who can be asked to speak.
        embedded: the embedded voices' names there, the preferred one first.
    """

    def __init__(self, cast: VoiceCatalog, embedded: Sequence[str]) -> None:
        self._cast = cast
        self._embedded = tuple(embedded)

    def find(self, choice: VoiceMatch) -> VoiceMatch | None:
        """An embedded voice of the same language, in the manner of the one that was meant; None if there is none.

        Who is spoken by an embedded voice already, stays.
        """
        if self._is_embedded(choice.voice):
            return choice
        try:
            found = choose_voice(list(self._voices()), language=choice.voice.languages[0])
        except VoiceError:
            return None
        return replace(choice, voice=found.voice, speaker=found.speaker, why=f"it stands in for {choice.voice.name!r}")

    def _is_embedded(self, voice: Voice) -> bool:
        try:
            return self._cast.base(voice.name) in self._embedded
        except VoiceError:  # it has just gone
            return False

    def _voices(self) -> Iterator[Voice]:
        yield from (voice for name in self._embedded for voice in self._cast.voices() if voice.name == name)
