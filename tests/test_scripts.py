"""``script/setup`` on machines that lack something, and how rarely it installs. A stand-in plays the interpreter."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

PYTHON = """#!/usr/bin/env bash
# Answers what script/setup asks a Python; notes what pip is told.
case "$*" in
  *version_info*) exit "${FAKE_TOO_OLD:-0}" ;;
  *"import venv"*) exit "${FAKE_NO_VENV:-0}" ;;
  "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
  *"import pip"*) ;;
  "-V" | "-VV") echo "Python 3.12.0" ;;
  "-m pip "*) echo "$*" >>"$FAKE_LOG" && exit "${FAKE_PIP_FAILS:-0}" ;;
  *) exit 99 ;;
esac
"""


class House:
    """A copy of the scripts in a place of its own, and a Python to find there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        shutil.copytree(ROOT / "script", path / "script")
        (path / "pyproject.toml").write_text("one")
        self.python = path / "python3.12"
        self.python.write_text(PYTHON)
        self.python.chmod(0o755)
        self.log = path / "pip.log"

    def setup(self, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.path / "script" / "setup", *options],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
            cwd="/",
            env={**os.environ, "PYTHON": str(self.python), "FAKE_LOG": str(self.log), **environment},
        )

    @property
    def installed(self) -> list[str]:
        """What pip was asked to install, in order."""
        return [line.rpartition(" ")[2] for line in self.log.read_text().splitlines()] if self.log.exists() else []


@pytest.fixture
def house(tmp_path: Path) -> House:
    place = tmp_path / "a house"
    place.mkdir()
    return House(place)


def test_it_installs_once_until_something_changes(house: House) -> None:
    first = house.setup()
    assert (first.returncode, first.stdout) == (0, ""), first.stderr
    assert "Making .venv with Python 3.12.0" in first.stderr
    assert len(house.installed) == 1
    again = house.setup()
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    assert len(house.installed) == 1
    (house.path / "pyproject.toml").write_text("two")
    assert house.setup().returncode == 0
    assert len(house.installed) == 2


def test_the_tools_for_development_include_what_serving_needs(house: House) -> None:
    assert house.setup("--dev").returncode == 0
    assert house.setup().returncode == 0
    assert [line.endswith("[dev,torch]") for line in house.installed] == [True]
    assert "torch==" in (ROOT / "script" / "constraints.txt").read_text(encoding="utf-8")


def test_serving_never_installs_torch(house: House) -> None:
    assert house.setup().returncode == 0
    assert house.setup("--dev").returncode == 0
    assert ["torch" in line for line in house.installed] == [False, True]


def test_an_installation_that_failed_is_tried_again(house: House) -> None:
    assert house.setup(FAKE_PIP_FAILS="1").returncode == 1
    assert house.setup().returncode == 0
    assert len(house.installed) == 2


def test_a_python_without_venv_names_the_package(house: House) -> None:
    done = house.setup(FAKE_NO_VENV="1")
    assert done.returncode == 1
    assert "sudo apt install python3.12-venv" in done.stderr


def test_a_python_that_is_too_old_or_missing_names_the_package(house: House) -> None:
    for environment in ({"FAKE_TOO_OLD": "1"}, {"PYTHON": "no-such-python"}):
        done = house.setup(**environment)
        assert done.returncode == 1
        assert "Python 3.11 or newer is needed" in done.stderr
        assert "sudo apt install python3 python3-venv" in done.stderr


def test_unknown_options_are_refused(house: House) -> None:
    done = house.setup("--fast")
    assert done.returncode == 1
    assert "usage: script/setup [--dev]" in done.stderr
