import pytest

from wyoming_pocket_tts.core.errors import VoiceError
from wyoming_pocket_tts.core.types import Voice
from wyoming_pocket_tts.voices.matching import choose_voice


def voice(name: str, *languages: str, speakers: tuple[str, ...] = (), installed: bool = True) -> Voice:
    return Voice(
        name=name,
        description=name,
        languages=languages,
        sample_rate_hz=24_000,
        speakers=speakers,
        installed=installed,
    )


VOICES = (
    voice("away", "fr-FR", installed=False),
    voice("anna", "en-US"),
    voice("Bert", "en_GB", "en-US"),
    voice("clara", "de-DE", "en", speakers=("calm", "Merry")),
    voice("bert", "de-AT"),
    voice("abroad", "de-DE", installed=False),
)


@pytest.mark.parametrize(
    ("wish", "chosen", "speaker"),
    [
        ({}, "anna", None),
        ({"default": "clara"}, "clara", "calm"),
        ({"name": ""}, "anna", None),
        ({"name": "anna", "default": "clara"}, "anna", None),
        ({"name": "ANNA"}, "anna", None),
        ({"name": "bert"}, "bert", None),
        ({"name": "Bert"}, "Bert", None),
        ({"name": "anna", "language": "de"}, "anna", None),
        ({"name": "clara"}, "clara", "calm"),
        ({"name": "clara", "speaker": "merry"}, "clara", "Merry"),
        ({"name": "Merry"}, "clara", "Merry"),
        ({"name": "MERRY"}, "clara", "Merry"),
        ({"name": "calm", "speaker": "Merry"}, "clara", "Merry"),
        ({"speaker": "calm"}, "clara", "calm"),
        ({"speaker": "calm", "language": "de"}, "clara", "calm"),
        ({"language": "en"}, "clara", "calm"),
        ({"language": "en-US"}, "anna", None),
        ({"language": "en_US"}, "anna", None),
        ({"language": "EN-us"}, "anna", None),
        ({"language": "en-US", "default": "Bert"}, "Bert", None),
        ({"language": "en_GB"}, "Bert", None),
        ({"language": "en-GB"}, "Bert", None),
        ({"language": "en-AU"}, "anna", None),
        ({"language": "en-AU", "default": "Bert"}, "Bert", None),
        ({"language": "de"}, "clara", "calm"),
        ({"language": "de", "default": "anna"}, "clara", "calm"),
        ({"language": "de-AT"}, "bert", None),
    ],
)
def test_wishes_that_can_be_granted(wish: dict[str, str], chosen: str, speaker: str | None) -> None:
    choice = choose_voice(VOICES, **wish)
    assert (choice.voice.name, choice.speaker, choice.warnings) == (chosen, speaker, ())


@pytest.mark.parametrize(
    ("wish", "chosen", "speaker", "warning"),
    [
        ({"name": "zoe"}, "anna", None, "voice 'zoe' does not exist; 'anna' speaks instead"),
        ({"name": "zoe", "default": "clara"}, "clara", "calm", "voice 'zoe' does not exist; 'clara' speaks instead"),
        ({"name": "zoe", "language": "de"}, "clara", "calm", "'clara' speaks instead"),
        ({"name": "away"}, "anna", None, "voice 'away' is not installed"),
        ({"name": "away", "language": "fr-FR"}, "anna", None, "voice 'away' is not installed; 'anna' speaks instead"),
        ({"name": "away", "language": "fr", "default": "Bert"}, "Bert", None, "'Bert' speaks instead"),
        ({"name": "abroad"}, "clara", "calm", "voice 'abroad' is not installed; 'clara' speaks instead"),
        ({"name": "abroad", "language": "en"}, "clara", "calm", "voice 'abroad' is not installed"),
        ({"name": "zoe", "language": "fr-FR"}, "anna", None, "voice 'zoe' does not exist; 'anna' speaks instead"),
        ({"name": "anna", "speaker": "calm"}, "anna", None, "'anna' has no speaker 'calm'; it has none"),
        ({"name": "clara", "speaker": "sad"}, "clara", "calm", "no speaker 'sad'; it has 'calm', 'Merry'"),
        ({"speaker": "sad"}, "anna", None, "no speaker 'sad'"),
        ({"speaker": "calm", "language": "de-AT"}, "bert", None, "no speaker 'calm'"),
        ({"default": "zoe"}, "anna", None, "default voice 'zoe' is not installed"),
    ],
)
def test_wishes_that_are_granted_in_part_warn_and_never_end_in_silence(
    wish: dict[str, str], chosen: str, speaker: str | None, warning: str
) -> None:
    choice = choose_voice(VOICES, **wish)
    assert (choice.voice.name, choice.speaker) == (chosen, speaker)
    assert len(choice.warnings) == 1
    assert warning in choice.warnings[0]


def test_an_unknown_language_names_those_there_are() -> None:
    with pytest.raises(VoiceError, match=r"no voice speaks 'fr-FR'; languages: de-AT, de-DE, en, en-US, en_GB"):
        choose_voice(VOICES, language="fr-FR")


def test_without_an_installed_voice_nobody_speaks() -> None:
    with pytest.raises(VoiceError, match="no voice is installed"):
        choose_voice(VOICES[:1], name="away")


def test_who_names_a_voice_that_there_is_not_is_told_all_names_there_are() -> None:
    (warning,) = choose_voice(VOICES, name="zoe", others=("Kitchen", "Office")).warnings
    assert warning.endswith("(voices: 'Kitchen', 'Office', 'anna', 'Bert', 'clara', 'bert')")


def test_the_names_told_are_no_more_than_fit_into_a_line() -> None:
    voices = [voice(f"voice-{number:03}", "en") for number in range(500)]
    (warning,) = choose_voice(voices, name="zoe", others=["Kitchen"] * 100).warnings
    assert len(warning) < 400
    assert warning.endswith(" more)")
    shown = warning.count("'Kitchen'")
    assert f"and {600 - shown} more" in warning


@pytest.mark.parametrize(
    ("wish", "why"),
    [
        ({}, "it is the first that is installed"),
        ({"default": "Bert"}, "it is the default voice"),
        ({"name": "anna"}, "the client names it"),
        ({"name": "calm"}, "the client names its style"),
        ({"speaker": "calm"}, "it has the style that the client names"),
        ({"language": "de-AT"}, "it is the first that speaks 'de-AT'"),
        ({"name": "zoe"}, "'zoe' does not exist: it is the first that is installed"),
        ({"name": "away"}, "'away' is not installed: no voice speaks 'fr-FR': it is the first that is installed"),
    ],
)
def test_a_choice_says_by_which_rule_it_was_made(wish: dict[str, str], why: str) -> None:
    assert choose_voice(VOICES, **wish).why == why
