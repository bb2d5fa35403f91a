"""Everybody who can be asked to speak: satellites, configured voices, and the engine's own; and whom a client gets.

Knows no settings file, no model and no audio.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from wyoming_pocket_tts.errors import VoiceError, shown
from wyoming_pocket_tts.satellites import Satellite, Satellites
from wyoming_pocket_tts.speech import Manner, Reading, Voice
from wyoming_pocket_tts.voices.catalogue import Choice, choose_voice
from wyoming_pocket_tts.voices.names import same, spoken_language
from wyoming_pocket_tts.voices.overrides import Overrides
from wyoming_pocket_tts.voices.parts import (
    ConfiguredVoice,
    Part,
    VoiceSource,
    absent_voice,
    configured_part,
    with_styles,
)

_GONE_REMEMBERED = 64


class Cast:
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
        reading: Reading | None = None,
        default: str | None = None,
    ) -> None:
        self._engine = engine
        self._configured = tuple(voices)
        self._satellites = Satellites(satellites)
        self._manner = Manner(reading=reading or Reading())
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
    ) -> Choice:
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
        return Choice(voice=voice, speaker=part.speaker or choice.speaker, warnings=warnings, manner=manner, why=why)

    def part(self, name: str) -> Part:
        """Find a listed voice, or a satellite's that is not listed, by its exact name.

        A voice that has gone lately is still found, so that answers which began with it end with it.

        Raises:
            VoiceError: there is no such voice.
        """
        scene = self._scene()
        part = scene.satellites.get(name) or scene.by_name.get(name) or scene.gone.get(name)
        if part is None:
            raise VoiceError(f"there is no voice {shown(name)}")
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

    def _usual(self, satellite: Satellite | None, plain: Sequence[Part]) -> "_Usual":
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

    def _substitute(self, missing: Part | None, plain: Sequence[Part]) -> Part | None:
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

    def _plain_parts(self, engine: Sequence[Voice]) -> Iterator[Part]:
        by_name = {voice.name: voice for voice in engine}
        for configured in self._configured:
            yield from with_styles(configured_part(configured, by_name))
        for voice in engine:
            if voice.name not in self._private:
                short = voice.description.partition(" (")[0] or voice.name
                yield from with_styles(Part(voice, voice, None, Overrides(), short))

    def _satellite_part(self, satellite: Satellite, plain: Sequence[Part]) -> Part:
        part = _found(plain, satellite.voice) if satellite.voice else self._usual(None, plain).part
        if part is None:
            absent = absent_voice(satellite.name, satellite.description, "en")
            return Part(absent, None, None, Overrides(), satellite.name)
        language = spoken_language(part.voice.languages[0])
        made = f"{satellite.name} ({part.short}, {language})" if satellite.voice else f"{satellite.name} ({language})"
        voice = replace(
            part.voice,
            name=satellite.name,
            description=satellite.description or made,
            sample_rate_hz=satellite.overrides.rate_hz or part.voice.sample_rate_hz,
        )
        return Part(voice, part.engine, part.speaker, part.overrides, satellite.name)


class _Usual(NamedTuple):
    """Who speaks when nobody is named; no part if nobody is installed."""

    part: Part | None
    warnings: tuple[str, ...] = ()


class _Scene:
    """Everybody who can be asked, at one time."""

    def __init__(
        self,
        engine: tuple[Voice, ...],
        plain: tuple[Part, ...],
        satellites: Mapping[str, Part],
        gone: Mapping[str, Part],
    ) -> None:
        self.engine = engine
        self.plain = plain
        self.satellites = satellites
        self.by_name = {part.voice.name: part for part in reversed(plain)}
        self.gone = gone

    def gone_in(self, names: Iterable[str]) -> dict[str, Part]:
        """Of those who are here or went before, the last ones that these names lack."""
        there = set(names)
        gone = [(name, part) for name, part in (*self.gone.items(), *self.by_name.items()) if name not in there]
        return dict(gone[-_GONE_REMEMBERED:])


def _found(parts: Iterable[Part], name: str) -> Part | None:
    """The part with the very name, else the first whose name differs only in case."""
    alike = [part for part in parts if same(part.voice.name, name)]
    return next((part for part in alike if part.voice.name == name), alike[0] if alike else None)
