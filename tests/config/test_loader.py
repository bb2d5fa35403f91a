"""The settings: what wins over what, and errors that a person can act on."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from wyoming_pocket_tts.config.diagnostics import Severity
from wyoming_pocket_tts.config.fields import environment_text
from wyoming_pocket_tts.config.loader import RENAMED, SourceMap, load_settings, unknown_variables
from wyoming_pocket_tts.config.schema import Settings, leaves
from wyoming_pocket_tts.core.errors import ConfigError
from wyoming_pocket_tts.core.system import default_data_dir
from wyoming_pocket_tts.voices.resolver import resolve_voices

EXAMPLE = Path(__file__).parents[2] / "config" / "wyoming-pocket-tts.yaml"


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
    config.write_text("log: {level: error, format: json}\nvoice: {default: from-file}\nserver: {shutdown_timeout: 1}\n")
    environment = {"WYOMING_POCKET_TTS_LOG_LEVEL": "warning", "WYOMING_POCKET_TTS_VOICE_DEFAULT": "from-environment"}
    settings = load_settings(file=config, environment=environment, flags={"log.level": "debug", "data_dir": None})
    assert settings.log.level == "debug"
    assert settings.voice.default == "from-environment"
    assert settings.log.format == "json"
    assert settings.server.shutdown_timeout == 1


def test_every_setting_has_a_variable_of_its_own() -> None:
    names = [leaf.variable for leaf in leaves() if not leaf.file_only]
    assert len(names) == len(set(names))
    assert "WYOMING_POCKET_TTS_SERVER_URI" in names
    assert "WYOMING_POCKET_TTS_DATA_DIR" in names


def test_variables_are_text_and_become_what_they_mean() -> None:
    environment = {
        "WYOMING_POCKET_TTS_DISCOVERY_ANNOUNCE": "false",
        "WYOMING_POCKET_TTS_SERVER_SHUTDOWN_TIMEOUT": "2.5",
        "WYOMING_POCKET_TTS_VOICE_DEFAULT": "",
    }
    settings = load_settings(environment=environment)
    assert settings.discovery.announce is False
    assert settings.server.shutdown_timeout == 2.5
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
    lines = problem(config, "server:\n  uri: http://x\n  shutdown_timeout: -1\nlog: 5\n").splitlines()
    assert len(lines) == 3
    assert "line 2: server.uri: 'http://x' should be tcp://HOST:PORT, unix:///PATH or stdio://" in lines[0]
    assert "line 3: server.shutdown_timeout: should be greater than or equal to 0, not -1" in lines[1]
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


def test_a_wrong_variable_is_named_even_if_an_option_overrides_it() -> None:
    with pytest.raises(ConfigError, match=r"variable WYOMING_POCKET_TTS_LOG_LEVEL: log\.level: should be"):
        load_settings(environment={"WYOMING_POCKET_TTS_LOG_LEVEL": "loud"}, flags={"log.level": "debug"})


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
        assert f"{leaf.key[-1]}:" in "\n".join(uncommented)
        if leaf.file_only:
            continue
        value: object = settings
        for part in leaf.key:
            value = getattr(value, part)
        assert not leaf.default or environment_text(value) == leaf.default
    assert load_settings(file=EXAMPLE) == Settings()


@pytest.mark.parametrize("example", sorted(EXAMPLE.parent.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_examples_can_be_used(example: Path) -> None:
    casting = resolve_voices(load_settings(file=example), embedded=("kokoro-ray", "kokoro-selma"))
    casting.admit(SourceMap(example))
    assert all(problem.severity is Severity.MISSING for problem in casting.problems)


# Voices, satellites and texts


def test_names_are_free_and_what_stands_below_them_is_checked_with_its_line(config: Path) -> None:
    message = problem(config, "voices:\n  Anna B:\n    from: alba\n    speed: 3\n")
    assert message == f"{config}, line 4: voices.Anna B.speed: should be less than or equal to 2, not 3"
    message = problem(config, "satellites:\n  Kitchen:\n    voice: x\n    text:\n      emojis: drop\n")
    assert f"{config}, line 5: unknown key 'satellites.Kitchen.text.emojis' (did you mean 'emoji'?)" in message
    message = problem(config, "voices:\n  A:\n    speed: 1\n")
    assert f"{config}, line 2: voices.A.from: is missing: Source of the voice" in message
    message = problem(config, "satellites:\n  Kitchen:\n    frm: x\n")
    assert "allowed here: address, description, eos_threshold, leading_silence, name, port" in message


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("speed: 0.4", "greater than or equal to 0.5"),
        ("speed: .nan", "voices.A.speed"),
        ("speed: yes", "should be a number, not true"),
        ("speed: '1'", "should be a number, not '1'"),
        ("sampler_steps: 0", "greater than or equal to 1"),
        ("sampler_steps: 1.5", "should be a whole number, not 1.5"),
        ("volume: 21", "less than or equal to 20"),
        ("volume: -41", "greater than or equal to -40"),
        ("temperature: -0.1", "greater than or equal to 0"),
        ("eos_threshold: .inf", "voices.A.eos_threshold"),
        ("sentence_silence: 11", "less than or equal to 10"),
        ("leading_silence: -1", "greater than or equal to 0"),
        ("trailing_silence: x", "should be a number, not 'x'"),
        ("sample_rate: 7999", "greater than or equal to 8000"),
        ("sample_rate: 48001", "less than or equal to 48000"),
        ("language: english!", "'english!' should be the tag of a language, such as de or de-DE"),
        ("description: ''", "should be a text that is not empty, not ''"),
        ("model: 5", "should be text, not 5"),
        ("text: {emoji: shout}", "should be 'drop' or 'speak', not 'shout'"),
        ("text: {normalize: 1}", "should be true or false, not 1"),
    ],
)
def test_every_value_of_a_voice_is_bounded(config: Path, entry: str, expected: str) -> None:
    message = problem(config, f"voices:\n  A:\n    from: alba\n    {entry}\n")
    assert f"{config}, line 4: voices.A." in message
    assert expected in message


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("address: 192.168.1.5/24", "'192.168.1.5/24' should be 192.168.1.0/24 (the network) or 192.168.1.5 (one"),
        ("address: kitchen.local", "satellites.K.address: 'kitchen.local' should be an IP address or network, such"),
        ("address: 10.1", "10.1 should be text such as"),
        ("address: [10.0.0.1, 10.0.0.300]", "satellites.K.address.1: '10.0.0.300' should be"),
        ("port: 0", "greater than or equal to 1"),
        ("port: 65536", "less than or equal to 65535"),
        ("port: '10201'", "should be a whole number, not '10201'"),
        ("visible: maybe", "should be true or false, not 'maybe'"),
        ("name: a.b", "'a.b' should be printable and without a dot"),
        ("voice: ''", "satellites.K.voice"),
    ],
)  # fmt: skip
def test_every_value_of_a_satellite_is_checked(config: Path, entry: str, expected: str) -> None:
    message = problem(config, f"satellites:\n  K:\n    {entry}\n")
    assert f"{config}, line 3: satellites.K." in message
    assert expected in message


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.168.1.20", ["192.168.1.20/32"]),
        ("[192.168.1.0/24, 'fd00::/8']", ["192.168.1.0/24", "fd00::/8"]),
        ("fe80::1%eth0", ["fe80::1/128"]),
        ("'::ffff:192.168.1.0/120'", ["192.168.1.0/24"]),
        ("'::/0'", ["::/0"]),
    ],
)
def test_addresses_and_networks_are_taken_as_people_write_them(config: Path, address: str, expected: list[str]) -> None:
    config.write_text(f"satellites: {{K: {{address: {address}}}}}")
    assert [str(network) for network in load_settings(file=config).satellites["K"].address] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("voices: {' A': {from: alba}}", "should be printable, without spaces around it or doubled"),
        ("voices: {A: }", "line 1: voices.A.from: is missing: Source of the voice"),
        ("voices: {A: alba}", "line 1: voices.A: must hold keys of its own, not 'alba'"),
        ("voices: [A]", "line 1: voices: must hold keys of its own"),
        ("text: {replacements: {TV: }}", "line 1: text.replacements.TV: should be text, not nothing"),
        ("text: {replacements: {' ': a}}", "the key ' ' of text.replacements: ' ' should hold a word or sign"),
        ("text: {replacements: [a]}", "text.replacements: must hold keys of its own"),
        ("voices: {A: {from: 'https://x/a.wav'}}", "'https://x/a.wav' is an address; fetch the recording"),
    ],
)
def test_mistakes_that_yaml_invites_are_explained(config: Path, text: str, expected: str) -> None:
    assert expected in problem(config, text)


def test_keys_are_the_text_that_is_written(config: Path) -> None:
    config.write_text(
        "voices: {no: {from: alba}, 24: {from: jean}}\ntext: {replacements: {off: a, 1.10: b, null: c}}\n"
    )
    settings = load_settings(file=config)
    assert list(settings.voices) == ["no", "24"]
    assert dict(settings.text.replacements) == {"off": "a", "1.10": "b", "null": "c"}


FORMER = {
    "models.memory_mb": "400",
    "voices.NAME.rate": "16000",
    "voices.NAME.pause": "0.5",
    "voices.NAME.steps": "4",
    "satellites.NAME.rate": "16000",
    "satellites.NAME.pause": "0.5",
    "satellites.NAME.listed": "false",
}


def test_former_keys_are_renamed_within_their_section() -> None:
    keys = {leaf.yaml_key for leaf in leaves()}
    for former, present in RENAMED.items():
        assert former not in keys
        assert present in keys
        assert former.rpartition(".")[0] == present.rpartition(".")[0]
    assert FORMER.keys() <= RENAMED.keys()


@pytest.mark.parametrize("former", FORMER)
def test_former_keys_in_a_file_stay_valid_with_a_warning(config: Path, former: str) -> None:
    *sections, old = former.replace("NAME", "Anna").split(".")
    new = RENAMED[former].rpartition(".")[2]
    lines = [f"{'  ' * depth}{section}:" for depth, section in enumerate(sections)]
    lines += [f"{'  ' * len(sections)}from: alba"] if sections[0] == "voices" else []

    def load(name: str) -> Settings:
        config.write_text("\n".join([*lines, f"{'  ' * len(sections)}{name}: {FORMER[former]}"]))
        return load_settings(file=config, check_conflicts=False, warn=warnings.append)

    warnings: list[str] = []
    assert load(old) == load(new) != Settings()
    path = ".".join(sections)
    assert warnings == [f"{config}, line {len(lines) + 1}: {path}.{old} is now called {path}.{new}"]


def test_a_wrong_value_of_a_former_key_has_its_line(config: Path) -> None:
    message = problem(config, "voices:\n  A:\n    from: alba\n    rate: 1\n")
    assert message == f"{config}, line 4: voices.A.sample_rate: should be greater than or equal to 8000, not 1"


def test_a_former_key_beside_its_present_one_is_unknown(config: Path) -> None:
    message = problem(config, "models:\n  memory_mb: 1\n  memory_budget_mb: 2\n")
    assert message.startswith(f"{config}, line 2: unknown key 'models.memory_mb' (did you mean 'memory_budget_mb'?)")


def test_former_variables_and_flags_stay_valid_with_a_warning() -> None:
    warnings: list[str] = []
    environment = {"WYOMING_POCKET_TTS_MODELS_MEMORY_MB": "400"}
    assert unknown_variables(environment) == []
    assert load_settings(environment=environment, warn=warnings.append).models.memory_budget_mb == 400
    present = environment | {"WYOMING_POCKET_TTS_MODELS_MEMORY_BUDGET_MB": "500"}
    assert load_settings(environment=present).models.memory_budget_mb == 500
    assert load_settings(flags={"models.memory_mb": 300}, warn=warnings.append).models.memory_budget_mb == 300
    renamed = "models.memory_mb is now called models.memory_budget_mb"
    variable, flag = warnings
    assert variable == f"environment variable WYOMING_POCKET_TTS_MODELS_MEMORY_MB: {renamed}"
    assert flag.endswith(renamed)


def test_sections_below_names_may_have_commented_out_lines(config: Path) -> None:
    config.write_text("voices:\n  A:\n    from: alba\n    speed:\n    text:\n      emoji:\nsatellites:\n")
    assert load_settings(file=config).voices["A"].speed is None


def test_the_text_section_can_be_set_from_everywhere(config: Path) -> None:
    config.write_text("text: {normalize: false, emoji: speak, replacements: {HA: Home Assistant}}")
    settings = load_settings(
        file=config, environment={"WYOMING_POCKET_TTS_TEXT_EMOJI": "drop"}, flags={"text.normalize": True}
    )
    assert (settings.text.normalize, settings.text.emoji) == (True, "drop")
    assert settings.text.replacements == {"HA": "Home Assistant"}


def test_paths_in_a_file_start_where_the_file_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "etc").mkdir()
    config = tmp_path / "etc" / "config.yaml"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/somebody")
    config.write_text(
        "data_dir: data\nmodels: {names: [english, mine.yaml, 'hf://a/b.yaml']}\n"
        "voices: {A: {from: a.wav}, B: {from: recordings/b/}, C: {from: ~/c.wav}, D: {from: /d.wav}, E: {from: alba}}\n"
    )
    settings = load_settings(file=Path("etc/config.yaml"))
    assert settings.data_dir == tmp_path / "etc" / "data"
    assert settings.models.names == ("english", f"{tmp_path}/etc/mine.yaml", "hf://a/b.yaml")
    sources = [voice.source for voice in settings.voices.values()]
    etc = f"{tmp_path}/etc"
    assert sources == [f"{etc}/a.wav", f"{etc}/recordings/b", "/home/somebody/c.wav", "/d.wav", "alba"]
    assert load_settings(flags={"data_dir": Path("data")}).data_dir == Path("data")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "voices:\n  Anna: {from: alba}\nsatellites:\n  anna: {}\n",
            "line 4: satellites.anna: 'anna' is the name of voices.Anna already",
        ),
        (
            "satellites:\n  A: {address: 10.0.0.0/8}\n  B:\n    address: [10.0.0.1, 10.0.0.0/8]\n",
            "line 4: satellites.B.address.1: 10.0.0.0/8 is an address of satellites.A already",
        ),
        (
            "satellites:\n  A: {address: 10.0.0.1}\n  B: {address: '::ffff:10.0.0.1'}\n",
            "line 3: satellites.B.address: 10.0.0.1 is an address of satellites.A already",
        ),
        (
            "satellites:\n  A: {port: 10201}\n  B: {port: 10201}\n",
            "line 3: satellites.B.port: 10201 is the port of satellites.A already; take another",
        ),
        (
            "satellites:\n  A: {port: 10200}\n",
            "line 2: satellites.A.port: 10200 is the port of server.uri already; take another",
        ),
        ("metrics: {port: 10200}\n", "line 1: metrics.port: 10200 is the port of server.uri already; take another"),
        (
            "satellites:\n  A: {port: 10201}\nmetrics:\n  port: 10201\n",
            "line 4: metrics.port: 10201 is the port of satellites.A already; take another",
        ),
        (
            "server: {uri: 'unix:///run/x'}\nsatellites:\n  A: {port: 10200}\n",
            "line 3: satellites.A.port: needs a server.uri of tcp://",
        ),
        (
            "discovery: {name: House}\nsatellites:\n  A: {port: 1, name: house}\n",
            "line 3: satellites.A.name: is announced already, as discovery.name",
        ),
        (
            "satellites:\n  A: {port: 1, name: x}\n  B: {port: 2, name: X}\n",
            "line 3: satellites.B.name: is announced already, as satellites.A.name",
        ),
        (
            "discovery: {name: House}\nsatellites:\n  A: {port: 1, name: House B}\n  b: {port: 2}\n",
            "line 4: satellites.b.name: would be 'House b', which is announced already, as satellites.A.name",
        ),
        ("satellites:\n  A: {name: x}\n", "line 2: satellites.A.name: is what a port is announced as"),
        ("satellites:\n  A: {visible: false}\n", "line 2: satellites.A: is not visible and has neither"),
    ],
)
def test_settings_that_cannot_be_together_are_refused(config: Path, text: str, expected: str) -> None:
    message = problem(config, text)
    assert message.startswith(f"{config}, {expected}")
    assert len(message.splitlines()) == 1


def test_networks_may_nest_and_a_satellite_may_repeat_itself(config: Path) -> None:
    config.write_text(
        "satellites: {A: {address: [10.0.0.0/8, 10.0.0.0/8]}, B: {address: 10.1.0.0/16, port: 10201}, C: {port: 10202}}"
    )
    assert len(load_settings(file=config).satellites) == 3


def test_a_clash_with_a_flag_is_found_too(config: Path) -> None:
    config.write_text("satellites: {A: {port: 10201}}")
    assert load_settings(file=config).satellites["A"].port == 10201
    with pytest.raises(ConfigError, match="10201 is the port of server"):
        load_settings(file=config, flags={"server.uri": "tcp://0.0.0.0:10201"})


def test_what_stands_not_in_the_file_has_no_line_of_it(config: Path) -> None:
    config.write_text("voice: {}\n\nsatellites:\n  Kitchen: {}\n")
    where = SourceMap(config)
    assert where.place(("satellites", "Kitchen", "port")) == f"{config}, line 4"
    assert where.place(("voice", "default")) == where.place(("models", "names")) == "settings"
    assert SourceMap(None).place(("voice", "default")) == "settings"
