"""What people who do not know YAML write, and what they are told: the line of the mistake, and what to write there."""

from pathlib import Path

import pytest

from wyoming_pocket_tts.config.loader import load_settings
from wyoming_pocket_tts.core.errors import ConfigError


def problems(text: str, tmp_path: Path) -> list[str]:
    """What is said, without the file's name."""
    file = tmp_path / "tts.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_settings(file=file)
    return [line.removeprefix(f"{file}, ") for line in str(caught.value).splitlines()]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("voices:\n\tAnna: {from: alba}\n", "line 2: is not valid YAML: there is a tab; indent with spaces"),
        ("voice\n  default: alba\n", "line 1: is not valid YAML: a colon is missing: 'voice:'"),
        ("# mine\nvoice  # who\n\n  default: alba\n", "line 2: is not valid YAML: a colon is missing: 'voice:'"),
        ("log:\n  level: info\ntext\nvoice:\n", "line 3: is not valid YAML: a colon is missing: 'text:'"),
        (
            "voice: {default: alba}\nlog: level: info\n",
            "line 2: is not valid YAML: a colon too many, or too deep an indent; text with ': ' needs quotes",
        ),
        (
            "models:\n  names: [english, german\nvoice:\n  default: alba\n",
            "line 2: is not valid YAML: the '[' of this line is not closed: a ']' or a comma is missing at line 3",
        ),
        (
            "voices:\n  Anna: {from: alba\nvoice: {default: alba}\n",
            "line 2: is not valid YAML: the '{' of this line is not closed: a '}' or a comma is missing at line 3",
        ),
        (
            "voice: {default: 'alba}\nlog: {level: info}\n",
            "line 1: is not valid YAML: the quotation mark that is opened here is not closed",
        ),
        (
            "voices:\n  Anna:\n    from: alba\n   speed: 1\n",
            "line 4: is not valid YAML: the line is not indented like those that it belongs to, from line 2 on",
        ),
    ],
)
def test_what_is_no_yaml_is_told_where_the_mistake_was_made(text: str, expected: str, tmp_path: Path) -> None:
    assert problems(text, tmp_path) == [expected]


@pytest.mark.parametrize(
    ("text", "place", "advice"),
    [
        ("voice: alba", "line 1: voice: must hold", "; did you mean voice: {default: alba}?"),
        ("server: tcp://:1", "line 1: server: must hold", "; did you mean server: {uri: 'tcp://:1'}?"),
        ("voices:\n  Anna: alba", "line 2: voices.Anna: must hold", "; did you mean Anna: {from: alba}?"),
        ("voices: [alba]", "line 1: voices: must hold", "; names stand below it, as in Anna: {from: alba}"),
        ("satellites:\n- a", "line 1: satellites: must hold", "; names stand below it, as in Kitchen: {voice: alba}"),
        ("voice:\n  default alba", "line 1: voice: must hold", "; a colon is missing: 'default: alba'"),
        ("voice:\n  default:alba", "line 1: voice: must hold", "; a space belongs behind the colon: 'default: alba'"),
        ("log: 5", "line 1: log: must hold", ", not 5; did you mean log: {level: 5}?"),
        ("text: 5", "line 1: text: must hold", ", not 5"),
        ("voice: true", "line 1: voice: must hold", ", not true"),
    ],
)
def test_a_value_where_keys_belong_is_told_with_what_to_write(
    text: str, place: str, advice: str, tmp_path: Path
) -> None:
    (problem,) = problems(text, tmp_path)
    assert problem.startswith(place)
    assert problem.endswith(advice)


def test_a_colon_without_its_space_is_told_alone_and_what_else_is_wrong_too(tmp_path: Path) -> None:
    assert problems("voices:\n  Anna: {from:alba, speed: 9}\n", tmp_path) == [
        "line 2: a space belongs behind the colon: 'from: alba'",
        "line 2: voices.Anna.speed: should be less than or equal to 2, not 9",
    ]


def test_colons_of_other_things_are_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "tts.yaml"
    file.write_text("text: {replacements: {a:b: c, 'd:e': ''}}\n")
    assert dict(load_settings(file=file).text.replacements) == {"a:b": "c", "d:e": ""}


@pytest.mark.parametrize(
    ("uri", "meant"),
    [
        ("10200", "tcp://0.0.0.0:10200"),
        ("0.0.0.0:10200", "tcp://0.0.0.0:10200"),
        ("':10200'", "tcp://0.0.0.0:10200"),
        ("'[::1]:10200'", "tcp://[::1]:10200"),
        ("localhost:10200", "tcp://localhost:10200"),
        ("http://localhost:10200/", "tcp://localhost:10200"),
    ],
)
def test_a_uri_without_its_scheme_is_told_once_with_what_is_meant(uri: str, meant: str, tmp_path: Path) -> None:
    (problem,) = problems(f"server:\n  uri: {uri}\n", tmp_path)
    assert problem.startswith("line 2: server.uri: ")
    assert problem.endswith(f" should be tcp://HOST:PORT, unix:///PATH or stdio:// (did you mean '{meant}'?)")
