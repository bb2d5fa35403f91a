"""The settings: what wins over what, and errors that a person can act on."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from wyoming_pocket_tts.errors import ConfigError
from wyoming_pocket_tts.places import default_data_dir
from wyoming_pocket_tts.settings import Settings, leaves, shown
from wyoming_pocket_tts.settings_sources import load_settings, unknown_variables

EXAMPLE = Path(__file__).parents[1] / "config" / "wyoming-pocket-tts.yaml"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "config.yaml"


def problem(config: Path, text: str) -> str:
    config.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_settings(file=config)
    return str(caught.value)


def test_without_sources_the_defaults_hold() -> None:
    assert load_settings() == Settings()
    assert Settings().server.uri == "tcp://0.0.0.0:10200"


def test_flags_win_over_environment_over_file_over_defaults(config: Path) -> None:
    config.write_text("log: {level: error, format: json}\nvoice: {default: from-file}\nserver: {shutdown_seconds: 1}\n")
    environment = {"WYOMING_POCKET_TTS_LOG_LEVEL": "warning", "WYOMING_POCKET_TTS_VOICE_DEFAULT": "from-environment"}
    settings = load_settings(file=config, environment=environment, flags={"log.level": "debug", "data_dir": None})
    assert settings.log.level == "debug"
    assert settings.voice.default == "from-environment"
    assert settings.log.format == "json"
    assert settings.server.shutdown_seconds == 1


def test_every_setting_has_a_variable_of_its_own() -> None:
    names = [leaf.variable for leaf in leaves()]
    assert len(names) == len(set(names))
    assert "WYOMING_POCKET_TTS_SERVER_URI" in names
    assert "WYOMING_POCKET_TTS_DATA_DIR" in names


def test_variables_are_text_and_become_what_they_mean() -> None:
    environment = {
        "WYOMING_POCKET_TTS_DISCOVERY_ANNOUNCE": "false",
        "WYOMING_POCKET_TTS_SERVER_SHUTDOWN_SECONDS": "2.5",
        "WYOMING_POCKET_TTS_VOICE_DEFAULT": "",
    }
    settings = load_settings(environment=environment)
    assert settings.discovery.announce is False
    assert settings.server.shutdown_seconds == 2.5
    assert settings.voice.default is None


def test_the_tree_does_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().log.level = "debug"


@pytest.mark.parametrize("text", ["", "# nothing\n", "log:\n", "log:\n  level:\nvoice: {}\n"])
def test_files_and_sections_may_be_empty(config: Path, text: str) -> None:
    config.write_text(text)
    assert load_settings(file=config) == Settings()


def test_an_unknown_key_names_its_line_the_nearest_key_and_all_others(config: Path) -> None:
    message = problem(config, "# mine\nlog:\n  levle: debug\n")
    assert message == f"{config}, line 3: unknown key 'log.levle' (did you mean 'level'?); allowed here: format, level"


def test_an_unknown_section_is_explained_too(config: Path) -> None:
    message = problem(config, "sever: {uri: stdio://}\n")
    assert "line 1: unknown key 'sever' (did you mean 'server'?); allowed here: data_dir, discovery, log" in message


def test_a_wrong_value_names_what_is_allowed(config: Path) -> None:
    message = problem(config, "voice:\n  default: x\nlog:\n  level: loud\n")
    assert message.startswith(f"{config}, line 4: log.level: should be 'debug', 'info', 'warning' or 'error'")
    assert message.endswith("not 'loud'")


def test_every_problem_has_a_line_of_its_own(config: Path) -> None:
    lines = problem(config, "server:\n  uri: http://x\n  shutdown_seconds: -1\nlog: 5\n").splitlines()
    assert len(lines) == 3
    assert "line 2: server.uri: 'http://x' should be tcp://HOST:PORT, unix:///PATH or stdio://" in lines[0]
    assert "line 3: server.shutdown_seconds: should be greater than or equal to 0, not -1" in lines[1]
    assert "line 4: log: must hold keys of its own, not 5" in lines[2]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("log:\n  level: 'debug\n", "is not valid YAML"),
        ("log: {level: debug}\nlog: {level: info}\n", "line 2: key 'log' stands there a second time"),
        ("- a\n- b\n", "must hold keys such as data_dir"),
        ("log: !!python/object:os.system {}\n", "line 1: is not valid YAML: could not determine a constructor"),
        ("log: 2024-13-45\n", "is not valid YAML: month must be in 1..12"),
        ("log: \x01\n", "is not valid YAML"),
        ("on: true\n", "line 1"),
    ],
)
def test_files_that_cannot_be_settings_are_named(config: Path, text: str, expected: str) -> None:
    message = problem(config, text)
    assert message.startswith(str(config))
    assert expected in message


def test_a_missing_or_unreadable_file_is_named(config: Path) -> None:
    with pytest.raises(ConfigError, match=r"config\.yaml: cannot be read: No such file"):
        load_settings(file=config)
    config.write_bytes(b"log: \xff\n")
    with pytest.raises(ConfigError, match="is not UTF-8"):
        load_settings(file=config)


def test_wrong_variables_and_flags_are_named() -> None:
    with pytest.raises(ConfigError, match=r"variable WYOMING_POCKET_TTS_LOG_FORMAT: log\.format: should be"):
        load_settings(environment={"WYOMING_POCKET_TTS_LOG_FORMAT": "xml"})
    with pytest.raises(ConfigError, match=r"option --uri: server\.uri: 'tcp://h:x' should be tcp://HOST:PORT"):
        load_settings(flags={"server.uri": "tcp://h:x"})


def test_a_variable_with_a_typing_error_is_pointed_out() -> None:
    environment = {"WYOMING_POCKET_TTS_LOG_LEVLE": "debug", "HOME": "/x", "WYOMING_POCKET_TTS_LOG_LEVEL": "info"}
    assert unknown_variables(environment) == [
        "WYOMING_POCKET_TTS_LOG_LEVLE is not a setting (did you mean 'WYOMING_POCKET_TTS_LOG_LEVEL'?)"
    ]


def test_data_lives_where_the_system_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", "/xdg")
    assert default_data_dir() == Path("/xdg/wyoming-pocket-tts")
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert default_data_dir() == Path("/home/somebody/.local/share/wyoming-pocket-tts")
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/tts:/var/lib/other")
    assert default_data_dir() == Path("/var/lib/tts")


def test_a_tilde_is_the_home_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    assert load_settings(flags={"data_dir": Path("~/tts")}).data_dir == Path("/home/somebody/tts")


def test_the_example_file_shows_every_setting_with_its_default(tmp_path: Path) -> None:
    """Uncommented, the example is a file that changes nothing but what has no default."""
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    uncommented = [line.removeprefix("#") if line.startswith(("#  ", "#data_dir")) else line for line in lines]
    example = tmp_path / "example.yaml"
    example.write_text("\n".join(uncommented), encoding="utf-8")
    settings = load_settings(file=example)
    for leaf in leaves():
        value: object = settings
        assert f"{leaf.key[-1]}:" in "\n".join(uncommented)
        for part in leaf.key:
            value = getattr(value, part)
        assert not leaf.default or shown(value) == leaf.default
    assert load_settings(file=EXAMPLE) == Settings()
