"""Who can be asked, who gets whom, and in which options."""

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest

from wyoming_pocket_tts.core.errors import VoiceError
from wyoming_pocket_tts.core.types import OptionOverrides, TextOptions, Voice
from wyoming_pocket_tts.voices.catalog import ConfiguredVoice, Satellite, VoiceCatalog, VoiceSource


def voice(name: str, language: str = "en", *, speakers: tuple[str, ...] = (), installed: bool = True) -> Voice:
    return Voice(
        name=name,
        description=f"{name.title()} (engine)",
        languages=(language,),
        sample_rate_hz=24_000,
        speakers=speakers,
        installed=installed,
    )


ENGINE = (
    voice("english-alba"),
    voice("german-juergen", "de"),
    voice("french-lola", "fr", installed=False),
    voice("own-english-anna", speakers=("calm", "happy")),
)
SOURCE = VoiceSource(voice_name="own-english-anna", name="Anna", model="english", path=Path("/anna"))
VOICES = (
    ConfiguredVoice(
        name="Anna",
        engine_voices=("own-english-anna",),
        shown_language="en-GB",
        styles=("calm", "happy"),
        overrides=OptionOverrides(speed=0.9, volume_db=2),
        source=SOURCE,
    ),
    ConfiguredVoice(name="Karl", engine_voices=("german-juergen",), language="de"),
    ConfiguredVoice(name="Lola", engine_voices=("french-lola",), language="fr", description="Lola from Lyon"),
)
SATELLITES = (
    Satellite(name="Kitchen", voice="Anna", overrides=OptionOverrides(volume_db=6, rate_hz=16_000)),
    Satellite(name="Office", voice="karl", networks=(ip_network("10.0.0.0/8"),), listed=False),
    Satellite(
        name="Desk", voice="Anna (happy)", networks=(ip_network("10.0.0.1"),), overrides=OptionOverrides(speed=1.2)
    ),
    Satellite(name="Attic", voice="Lola", port=10_300, overrides=OptionOverrides(volume_db=-6)),
    Satellite(name="Hall", overrides=OptionOverrides(speed=0.8)),
)


def cast(
    engine: Sequence[Voice] = ENGINE, *, default: str | None = None, satellites: Sequence[Satellite] = SATELLITES
) -> VoiceCatalog:
    return VoiceCatalog(lambda: engine, voices=VOICES, satellites=satellites, default=default)


def engine_name(chosen: Voice) -> str | None:
    return None if chosen.engine_voice is None else chosen.engine_voice.name


def test_the_list_begins_with_the_default_then_come_satellites_configured_voices_and_the_engines() -> None:
    assert [voice.name for voice in cast(default="Karl").voices()] == [
        *("Karl", "Kitchen", "Desk", "Attic", "Hall"),
        *("Anna", "Anna (calm)", "Anna (happy)", "Lola"),
        *("english-alba", "german-juergen", "french-lola"),
    ]


def test_the_first_installed_voice_is_the_default_and_never_a_satellite() -> None:
    assert cast().voices()[0].name == "Anna"
    assert cast(ENGINE[:3]).voices()[0].name == "Karl"
    assert cast().resolve().voice.name == "Anna"


def test_people_can_read_the_list() -> None:
    assert {voice.name: voice.description for voice in cast().voices()} == {
        "Anna": "Anna (English)",
        "Anna (calm)": "Anna, calm (English)",
        "Anna (happy)": "Anna, happy (English)",
        "Karl": "Karl (German)",
        "Lola": "Lola from Lyon",
        "Kitchen": "Kitchen (Anna, English)",
        "Desk": "Desk (Anna, happy, English)",
        "Attic": "Attic (Lola, French)",
        "Hall": "Hall (English)",
        "english-alba": "English-Alba (engine)",
        "german-juergen": "German-Juergen (engine)",
        "french-lola": "French-Lola (engine)",
    }


def test_what_is_listed_says_what_clients_get() -> None:
    listed = {voice.name: voice for voice in cast().voices()}
    assert listed["Anna"].languages == ("en-GB",)
    assert listed["Anna"].speakers == ("calm", "happy")
    assert listed["Anna (happy)"].speakers == ()
    assert (listed["Kitchen"].sample_rate_hz, listed["Desk"].sample_rate_hz) == (16_000, 24_000)
    assert listed["Kitchen"].languages == ("en-GB",)
    assert not listed["Lola"].installed
    assert not listed["Attic"].installed


def test_a_port_of_its_own_offers_the_satellite_alone() -> None:
    everybody = cast()
    (office,) = everybody.voices(satellite="Office")
    assert (office.name, office.languages) == ("Office", ("de",))
    choice = everybody.resolve(name="Office", satellite="Office")
    assert (choice.voice.name, choice.warnings) == ("Office", ())
    assert everybody.voices(satellite="Garage") == everybody.voices()


def test_a_port_of_its_own_speaks_before_its_voice_has_come() -> None:
    (attic,) = cast().voices(satellite="Attic")
    assert attic.installed
    assert not cast(ENGINE[2:3]).voices(satellite="Attic")[0].installed
    assert cast().resolve(name="Attic", satellite="Attic").voice.name == "Anna"


def test_before_the_engine_has_a_voice_it_is_listed_with_its_styles_as_not_installed() -> None:
    listed = {voice.name: voice for voice in cast(ENGINE[:2]).voices()}
    for name in ("Anna", "Anna (happy)", "Kitchen", "Desk", "Lola"):
        assert not listed[name].installed
    assert listed["Lola"].languages == ("fr",)
    assert all(voice.languages for voice in listed.values())


def test_the_list_follows_the_engine() -> None:
    engine = list(ENGINE[:3])
    growing = VoiceCatalog(lambda: engine, voices=VOICES, satellites=SATELLITES)
    assert growing.resolve(name="Kitchen").voice.name == "english-alba"
    engine.append(ENGINE[3])
    assert growing.resolve(name="Kitchen").voice.name == "Kitchen"
    engine.remove(ENGINE[3])
    assert growing.resolve(name="Kitchen").voice.name == "english-alba"


@pytest.mark.parametrize(
    ("wish", "chosen", "spoken_by", "options"),
    [
        # nobody is named and nobody recognised
        ({}, "Anna", ("own-english-anna", "calm"), (0.9, 2)),
        ({"address": "192.168.0.1"}, "Anna", ("own-english-anna", "calm"), (0.9, 2)),
        # a client names a voice
        ({"name": "Karl"}, "Karl", ("german-juergen", None), (1, 0)),
        ({"name": "english-alba"}, "english-alba", ("english-alba", None), (1, 0)),
        ({"name": "Anna (happy)"}, "Anna (happy)", ("own-english-anna", "happy"), (0.9, 2)),
        ({"name": "Anna", "speaker": "happy"}, "Anna", ("own-english-anna", "happy"), (0.9, 2)),
        # a client names a satellite
        ({"name": "kitchen"}, "Kitchen", ("own-english-anna", "calm"), (0.9, 6)),
        ({"name": "Kitchen", "speaker": "happy"}, "Kitchen", ("own-english-anna", "happy"), (0.9, 6)),
        ({"name": "Hall"}, "Hall", ("own-english-anna", "calm"), (0.8, 2)),
        ({"name": "Desk", "language": "de"}, "Desk", ("own-english-anna", "happy"), (1.2, 2)),
        # a client is recognised: the narrowest network, the port before any
        ({"address": "10.1.2.3"}, "Office", ("german-juergen", None), (1, 0)),
        ({"address": "10.0.0.1"}, "Desk", ("own-english-anna", "happy"), (1.2, 2)),
        ({"address": "::ffff:10.0.0.1"}, "Desk", ("own-english-anna", "happy"), (1.2, 2)),
        ({"address": "10.0.0.1", "satellite": "Kitchen"}, "Kitchen", ("own-english-anna", "calm"), (0.9, 6)),
        # who is recognised and names a plain voice lends the options, but not to another satellite
        ({"address": "10.0.0.1", "name": "Karl"}, "Karl", ("german-juergen", None), (1.2, 0)),
        ({"address": "10.0.0.1", "name": "Anna"}, "Anna", ("own-english-anna", "calm"), (1.2, 2)),
        ({"address": "10.0.0.1", "name": "Kitchen"}, "Kitchen", ("own-english-anna", "calm"), (0.9, 6)),
        ({"address": "10.0.0.1", "language": "de"}, "Karl", ("german-juergen", None), (1.2, 0)),
    ],
)
def test_who_gets_whom(
    wish: dict[str, str], chosen: str, spoken_by: tuple[str, str | None], options: tuple[float, float]
) -> None:
    """``spoken_by`` is the engine's voice and its style, ``options`` speed and volume."""
    everybody = cast()
    choice = everybody.resolve(**wish)
    assert choice.voice.name == chosen
    assert (engine_name(choice.voice), choice.speaker) == spoken_by
    assert (choice.options.speed, choice.options.volume_db) == options
    assert choice.warnings == ()


def test_voice_default_speaks_for_those_whom_no_rule_knows() -> None:
    with_default = cast(default="Karl")
    assert with_default.resolve().voice.name == "Karl"
    assert with_default.resolve(name="Hall").voice.languages == ("de",)
    assert with_default.resolve(address="10.0.0.1").voice.name == "Desk"


@pytest.mark.parametrize(
    ("wish", "default", "chosen", "warning"),
    [
        # a substitute of the language, else the default
        (
            {"satellite": "Attic"},
            None,
            "Anna",
            "the voice 'Lola' of the satellite 'Attic' is not installed yet; 'Anna'",
        ),
        ({"name": "Attic"}, "Karl", "Karl", "'Karl' speaks instead"),
        ({}, "Lola", "Anna", "the voice 'Lola' of voice.default is not installed yet; 'Anna' speaks instead"),
        ({}, "Zoe", "Anna", "the voice 'Zoe' of voice.default does not exist; 'Anna' speaks instead"),
        ({"name": "Zoe"}, "Karl", "Karl", "voice 'Zoe' does not exist; 'Karl' speaks instead"),
        ({"name": "Zoe", "address": "10.9.9.9"}, None, "Karl", "voice 'Zoe' does not exist; 'Karl' speaks instead"),
    ],
)
def test_nobody_is_answered_with_silence(wish: dict[str, str], default: str | None, chosen: str, warning: str) -> None:
    choice = cast(default=default).resolve(**wish)
    assert choice.voice.name == chosen
    assert len(choice.warnings) == 1
    assert warning in choice.warnings[0]


def test_a_satellites_missing_voice_is_replaced_by_one_of_its_language_and_its_manner_stays() -> None:
    here = (voice("english-alba"), voice("french-rafael", "fr-FR"), ENGINE[2])
    choice = cast(here).resolve(satellite="Attic")
    assert choice.voice.name == "french-rafael"
    assert choice.options.volume_db == -6


def test_a_client_that_names_a_voice_hears_nothing_of_a_satellites_troubles() -> None:
    assert cast().resolve(name="Karl", satellite="Attic").warnings == ()


def test_manners_add_up_from_the_service_over_the_voice_to_the_satellite() -> None:
    rooms = [
        Satellite(name="Kitchen", voice="Anna", overrides=OptionOverrides(emoji="speak", replacements=(("a", "2"),)))
    ]
    spoken = ConfiguredVoice(
        name="Anna", engine_voices=("english-alba",), overrides=OptionOverrides(normalize=False, temperature=0.1)
    )
    reading = TextOptions(replacements=(("a", "1"), ("b", "1")))
    everybody = VoiceCatalog(lambda: ENGINE, voices=[spoken], satellites=rooms, reading=reading)
    options = everybody.resolve(name="Kitchen").options
    assert options.text == TextOptions(normalize=False, emoji="speak", replacements=(("a", "2"), ("b", "1")))
    assert options.temperature == 0.1
    assert everybody.resolve(name="english-alba").options.text == reading


def test_a_voice_is_spoken_by_the_first_of_the_engines_that_is_installed() -> None:
    spoken = ConfiguredVoice(name="Anna", engine_voices=("own-english-anna", "english-alba"))
    absent = replace(ENGINE[3], installed=False)
    for engine, name in (
        (ENGINE, "own-english-anna"),
        ((*ENGINE[:3], absent), "english-alba"),
        (ENGINE[:3], "english-alba"),
    ):
        choice = VoiceCatalog(lambda engine=engine: engine, voices=[spoken]).resolve(name="Anna")  # type: ignore[misc]
        assert engine_name(choice.voice) == name


def test_who_is_not_there_has_no_voice_of_the_engine() -> None:
    listed = {each.name: each for each in cast(ENGINE[:2]).voices()}
    assert listed["Anna"].engine_voice is None
    assert not listed["Anna"].installed
    with pytest.raises(VoiceError, match="no voice is installed"):
        cast(ENGINE[2:3]).resolve()
    assert cast(()).voices()


def test_a_voice_that_comes_later_under_a_name_that_is_taken_stays_behind() -> None:
    everybody = cast((*ENGINE, voice("Kitchen"), voice("anna")))
    kitchens = [each for each in everybody.voices() if each.name == "Kitchen"]
    assert [each.description for each in kitchens] == ["Kitchen (Anna, English)"]
    assert everybody.resolve(name="Kitchen").options.volume_db == 6
    assert engine_name(everybody.resolve(name="Anna").voice) == "own-english-anna"


def test_the_engine_is_told_what_to_make() -> None:
    assert cast().sources() == (SOURCE,)


def test_a_single_style_is_no_voice_of_its_own() -> None:
    lonely = VoiceCatalog(lambda: [voice("a", speakers=("calm",)), voice("b", speakers=("calm", "sad"))])
    assert [each.name for each in lonely.voices()] == ["a", "b", "b (calm)", "b (sad)"]


def test_a_cast_of_nobody_is_the_engines_voices() -> None:
    nobody = VoiceCatalog(lambda: ENGINE[:3])
    assert nobody.voices() == list(ENGINE[:3])
    assert nobody.resolve(name="german-juergen").voice.engine_voice is ENGINE[1]


def test_who_names_a_voice_that_is_not_there_is_told_of_satellites_too() -> None:
    (warning,) = cast().resolve(name="Küche").warnings
    assert "'Küche' does not exist" in warning
    assert "(voices: 'Kitchen', 'Desk', 'Attic', 'Hall', 'Anna', " in warning, "'Office' is not listed"
    (warning,) = cast().resolve(name="Küche", satellite="Office").warnings
    assert "'Office'" in warning, "at its own port it is"


def test_a_name_with_a_language_that_nobody_speaks_is_spoken_all_the_same() -> None:
    choice = cast().resolve(name="french-lola", language="fr-FR")
    assert choice.voice.name == "Anna"
    (warning,) = choice.warnings
    assert "voice 'french-lola' is not installed; 'Anna' speaks instead" in warning
    with pytest.raises(VoiceError, match="no voice speaks 'fr-FR'"):
        cast().resolve(language="fr-FR")


@pytest.mark.parametrize(
    ("wish", "why"),
    [
        ({"name": "Kitchen"}, "for the satellite 'Kitchen' (the client names it)"),
        ({"name": "Karl"}, "the client names it"),
        ({"address": "10.2.3.4"}, "for the satellite 'Office' (by address)"),
        ({"satellite": "Hall", "address": "10.2.3.4"}, "for the satellite 'Hall' (by its port)"),
        ({"satellite": "Hall", "name": "Karl"}, "for the satellite 'Hall' (by its port): the client names it"),
        ({"address": "10.0.0.1", "language": "de"}, "for the satellite 'Desk' (by address): it is the first that"),
        ({}, "it is the default voice"),
    ],
)
def test_a_choice_says_by_which_rule_it_was_made(wish: dict[str, str], why: str) -> None:
    assert cast().resolve(**wish).why.startswith(why)
