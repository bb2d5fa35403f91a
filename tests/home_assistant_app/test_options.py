"""Every option of the app's page is a setting, every setting is an option or has a reason not to be one."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from wyoming_pocket_tts.config.loader import load_settings
from wyoming_pocket_tts.config.schema import Settings, leaves
from wyoming_pocket_tts.core.errors import ConfigError
from wyoming_pocket_tts.home_assistant.options import FIXED, FORMER, NAMED, PLAIN, TOKEN, WORDS, settings_of

ROOT = Path(__file__).parents[2]
APP = ROOT / "home-assistant" / "wyoming_pocket_tts"
CONFIG = yaml.safe_load((APP / "config.yaml").read_text(encoding="utf-8"))
SCHEMA: Mapping[str, Any] = CONFIG["schema"]
DATA = Path("/data")
SHARE = Path("/share/wyoming-pocket-tts")

NOT_OFFERED = (
    "server.uri",  # the container's port is fixed
    "server.shutdown_timeout",
    *(f"server.limits.{what}" for what in ("max_", "idle_", "write_", "queue_")),
    # they fit a house
    "discovery.name",  # Home Assistant is told by the Supervisor
    "data_dir",  # the app's own directory
    "models.languages",  # models of one's own need files that an app cannot see
    "metrics.",  # for operators, who have no way to that port
    "log.format",  # the Supervisor's log is for people
    "voices.NAME.text.",
    "satellites.NAME.text.",  # three levels of lists are no page for people
    "voices.NAME.eos_threshold",
    "satellites.NAME.eos_threshold",
    "voices.NAME.sampler_steps",
    "voices.NAME.sample_rate",
    "satellites.NAME.sample_rate",  # Home Assistant converts
    "satellites.NAME.name",  # nobody hears announcements of an app
)
"""Settings, or sections of them, that the page leaves out."""

FULL: dict[str, Any] = {
    "models": ["german", "english"],
    "precision": "mixed",
    "model_voices": "default",
    "voice": "Anna",
    "threads": 3,
    "memory_mb": 400,
    "offline": True,
    "normalize": False,
    "emoji": "speak",
    "replacements": [{"written": "HA", "spoken": "Home Assistant"}],
    "pronunciations": [{"written": "Siobhan", "spoken": "Shivawn"}],
    "voices": [
        {
            "name": "Anna",
            "from": "voices/anna.wav",
            "model": "german",
            "language": "de-AT",
            "description": "The calm one",
            **(manner := {
                "speed": 0.9,
                "volume": -3.5,
                "pause": 0.4,
                "leading_silence": 0.1,
                "trailing_silence": 0.2,
                "temperature": 0.5,
            }),
        }
    ],
    "satellites": [
        {
            "name": "Kitchen",
            "voice": "Anna",
            "description": "Loud",
            "address": "192.168.1.20, 10.0.0.0/8",
            "port": 10201,
            "listed": False,
            **manner,
        }
    ],
    "real_time": True,
    "overload": "embedded",
    "hub_token": "hf_secret",
    "log_level": "debug",
}  # fmt: skip
"""Everything that can be said, and nothing as it is without saying so."""


def translated(options: Mapping[str, Any], tmp_path: Path) -> Settings:
    file = tmp_path / "settings.yaml"
    file.write_text(json.dumps(settings_of(options, data=DATA, recordings=SHARE)))
    return load_settings(file=file)


def option_keys() -> Iterator[tuple[str, str]]:
    """Each option of the schema, and the key of the setting that it is."""
    for name, kind in SCHEMA.items():
        if name in PLAIN:
            yield name, PLAIN[name]
        elif name in WORDS:
            assert set(kind[0]) == {"written", "spoken"}
            yield name, WORDS[name]
        elif name in NAMED:
            assert set(kind[0]) == NAMED[name] | {"name"}
            yield from ((f"{name}.{key}", f"{name}.NAME.{FORMER.get(key, key)}") for key in kind[0] if key != "name")
        else:
            assert name == TOKEN


def value_at(values: Mapping[str, Any], key: str) -> object:
    """What stands at a key; ``NAME`` is the only name there is."""
    found: Any = values
    for part in key.split("."):
        found = next(iter(found.values())) if part == "NAME" else found[part]
    return found


def test_the_page_has_every_option_that_the_translation_knows() -> None:
    assert set(SCHEMA) == {*PLAIN, *WORDS, *NAMED, TOKEN}
    assert set(CONFIG["options"]) <= set(SCHEMA)


def test_every_option_is_a_setting_and_every_setting_an_option_or_left_out_for_a_reason() -> None:
    offered = [key for _, key in option_keys()]
    assert len(offered) == len(set(offered))
    settings = {leaf.yaml_key for leaf in leaves()}
    assert {*offered, *FIXED} <= settings
    left = settings - {*offered, *FIXED}
    unexplained = {key for key in left if not key.startswith(NOT_OFFERED)}
    assert unexplained == set(), "offer them, or say here why not"
    assert not [key for key in offered if key.startswith(NOT_OFFERED)]


def test_every_option_reaches_its_setting(tmp_path: Path) -> None:
    """There and back: what each setting holds in the end is what its option said, and not its default."""
    assert set(FULL) == set(SCHEMA)
    found = translated(FULL, tmp_path).model_dump(mode="json", by_alias=True)
    default = load_settings().model_dump(mode="json", by_alias=True)
    expected = settings_of(FULL, data=DATA, recordings=SHARE)
    assert value_at(expected, "satellites.NAME.address") == ["192.168.1.20", "10.0.0.0/8"]
    expected["satellites"]["Kitchen"]["address"] = ["192.168.1.20/32", "10.0.0.0/8"]  # as the settings write them
    expected["server"]["limits"]["on_overload"] = "fallback"  # the option keeps the setting's former values
    for option, key in option_keys():
        assert value_at(found, key) == value_at(expected, key), option
        if "NAME" not in key:
            assert value_at(found, key) != value_at(default, key), option


def test_recordings_are_those_of_the_share_and_ready_made_voices_stay_names(tmp_path: Path) -> None:
    options = {"voices": [{"name": "A", "from": "voices/anna.wav"}, {"name": "B", "from": "alba"}]}
    voices = translated(options, tmp_path).voices
    assert [voice.source for voice in voices.values()] == ["/share/wyoming-pocket-tts/voices/anna.wav", "alba"]


def test_the_page_as_it_comes_is_the_service_as_it_comes(tmp_path: Path) -> None:
    found = translated(CONFIG["options"], tmp_path)
    plain = load_settings(flags={"data_dir": DATA, "discovery.announce": False})
    assert found == plain


def test_an_empty_field_counts_as_unset(tmp_path: Path) -> None:
    empty = {"voice": "", "threads": None, "models": [], "satellites": [{"name": "Hall", "voice": "", "address": ""}]}
    found = translated(empty, tmp_path)
    assert (found.voice.default, found.models) == (None, load_settings().models)
    assert (found.satellites["Hall"].voice, found.satellites["Hall"].address) == (None, ())


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"loud": True}, "loud: no such option; there are emoji"),
        (
            {"voices": [{"name": "A", "from": "alba"}, {"name": "A", "from": "marius"}]},
            "voices: 'A' is there twice",
        ),
        ({"voices": [{"from": "alba"}]}, "voices: each needs its 'name'"),
        ({"replacements": [{"written": "", "spoken": "x"}]}, "replacements: each needs its 'written'"),
    ],
)
def test_mistakes_name_the_option(options: Mapping[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(complaint)):
        settings_of(options, data=DATA, recordings=SHARE)


KINDS = re.compile(
    r"(bool|port|str|password|int(\(\d*,\d*\))?|float(\([\d.]*,[\d.]*\))?|list\([\w|]+\)|match\(.*\))\??"
)
"""What the Supervisor knows as the type of an option. It has no negative bounds."""


def test_the_schema_is_one_that_the_supervisor_takes() -> None:
    for name, kind in SCHEMA.items():
        element = kind[0] if isinstance(kind, list) else kind
        nested = element if isinstance(element, dict) else {name: element}
        for key, each in nested.items():
            assert KINDS.fullmatch(each), f"{name}.{key}: {each}"
        is_required = not isinstance(element, str) or not element.endswith("?")
        assert is_required == (name in CONFIG["options"]), f"{name}: a required option has a default, no other has"


def test_choices_of_the_page_are_those_of_the_settings(tmp_path: Path) -> None:
    for name, kind in SCHEMA.items():
        if isinstance(kind, str) and kind.startswith("list("):
            for choice in kind.removeprefix("list(").removesuffix(")").split("|"):
                translated({name: choice}, tmp_path)
