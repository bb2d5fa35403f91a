"""The app's folder, as the Supervisor reads it."""

import re
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.home_assistant_app.test_options import APP, CONFIG, ROOT, SCHEMA
from tests.image.dockerfile import read_dockerfile
from wyoming_pocket_tts import __version__
from wyoming_pocket_tts.home_assistant.app import INGRESS_PORT

LANGUAGES = sorted(APP.glob("translations/*.yaml"))


def test_the_repository_can_be_added_by_its_own_address() -> None:
    at_the_top = ROOT / "repository.yaml"
    assert at_the_top.resolve() == ROOT / "home-assistant" / "repository.yaml"
    assert yaml.safe_load(at_the_top.read_text(encoding="utf-8"))["name"]


def test_no_other_file_looks_like_an_app() -> None:
    """The Supervisor takes every config.yaml, config.yml and config.json below the repository for one."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=30)
    names = [Path(line) for line in listed.stdout.splitlines()]
    found = [name for name in names if re.fullmatch(r"config\.(ya?ml|json)", name.name)]
    assert found in ([], [Path("home-assistant/wyoming_pocket_tts/config.yaml")])


def test_the_app_is_of_this_version_and_found_by_home_assistant() -> None:
    assert CONFIG["version"] == __version__
    assert CONFIG["arch"] == ["aarch64", "amd64"]
    assert CONFIG["discovery"] == ["wyoming"]
    assert CONFIG["ports"] == {"10200/tcp": None}
    assert re.fullmatch(r"tcp://\[HOST\]:\[PORT:10200\]", CONFIG["watchdog"])
    assert re.fullmatch(r"[-_.A-Za-z0-9]+", CONFIG["slug"])
    assert f"## {__version__}" in (APP / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_supervisor_shows_the_page_where_it_is() -> None:
    assert (CONFIG["ingress"], CONFIG["ingress_port"]) == (True, INGRESS_PORT)
    assert re.fullmatch(r"mdi:[a-z-]+", CONFIG["panel_icon"])
    assert "webui" not in CONFIG, "it would win over the page"


def test_every_key_is_one_that_the_supervisor_knows() -> None:
    """Others it takes without a word, and without effect."""
    known = {
        *("name", "version", "slug", "description", "arch", "startup", "ports", "watchdog", "map", "options", "schema"),
        *("discovery", "backup_exclude", "ingress", "ingress_port", "panel_icon"),
    }
    assert set(CONFIG) <= known


def test_nothing_that_is_deprecated_is_left() -> None:
    assert not list(APP.glob("build.*"))
    assert not {"advanced", "codenotary", "auto_uart", "snapshot_exclude"} & set(CONFIG)


def test_the_image_starts_the_service_of_the_same_version() -> None:
    (image,) = read_dockerfile(APP / "Dockerfile", {"BUILD_VERSION": "1.2.3", "BUILD_ARCH": "aarch64"})
    labels = {"io.hass.type": "app", "io.hass.version": "1.2.3", "io.hass.arch": "aarch64"}
    assert image.labels() == labels
    assert read_dockerfile(APP / "Dockerfile")[0].arguments["BUILD_VERSION"] == __version__
    assert '"wyoming-pocket-tts==${BUILD_VERSION}"' in image.last("RUN").text
    assert image.last("CMD").words == ["/app/run.sh"]
    run = APP / "run.sh"
    assert run.stat().st_mode & 0o111
    assert "python -m wyoming_pocket_tts.home_assistant.app" in run.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", LANGUAGES, ids=lambda path: path.stem)
def test_every_option_is_explained_in_every_language(path: Path) -> None:
    page = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert set(page["network"]) == set(CONFIG["ports"])
    assert set(page["configuration"]) == set(SCHEMA)
    for name, kind in SCHEMA.items():
        told: dict[str, Any] = page["configuration"][name]
        assert told["name"]
        assert told["description"]
        fields = set(kind[0]) if isinstance(kind, list) and isinstance(kind[0], dict) else set()
        assert set(told.get("fields", {})) == fields
        assert all(field["name"] for field in told.get("fields", {}).values())


def test_there_are_english_and_german() -> None:
    assert [path.stem for path in LANGUAGES] == ["de", "en"]


@pytest.mark.parametrize(("name", "is_square"), [("icon.png", True), ("logo.png", False)])
def test_the_pictures_are_pngs_of_the_right_shape(name: str, is_square: bool) -> None:
    head = (APP / name).read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", head[16:24])
    assert (width == height) is is_square
    assert 100 <= height <= 256


def test_the_profile_says_its_name_where_the_supervisor_changes_it_and_nowhere_else() -> None:
    """An installed app has a prefix to its name, and its profile gets that name in the line that begins it."""
    lines = (APP / "apparmor.txt").read_text(encoding="utf-8").splitlines()
    begins = [line for line in lines if re.match(r"profile ([^ ]+).*$", line)]
    assert len(begins) == 1
    assert [line for line in lines if f"={CONFIG['slug']}" in line] == []


def test_apparmor_takes_the_profile() -> None:
    profile = (APP / "apparmor.txt").read_text(encoding="utf-8")
    assert f"profile {CONFIG['slug']} flags=(attach_disconnected,mediate_deleted)" in profile
    if shutil.which("apparmor_parser") is None or not Path("/etc/apparmor.d/tunables/global").exists():
        pytest.skip("apparmor_parser is not here (apt install apparmor)")
    command = ["apparmor_parser", "--skip-kernel-load", "--skip-cache", str(APP / "apparmor.txt")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
