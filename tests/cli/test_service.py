"""``install-service``: what it puts where, what it leaves alone, and systemd's own opinion of the unit."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from wyoming_pocket_tts.cli.service import (
    DEFAULT_SETTINGS,
    TEMPLATE,
    InstalledProgram,
    SystemdHost,
    _bound,
    install_unit,
    uninstall_unit,
    unit_text,
)
from wyoming_pocket_tts.config.loader import load_settings
from wyoming_pocket_tts.core.errors import ConfigError, TtsError

ROOT = Path(__file__).parents[2]
WORST_EXPOSURE = 2.0
"""Of systemd's scale from 0 to 10; docs/install.md tells what it is."""

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here (apt install systemd)"
)


class House:
    """A file system of its own, an installation in it, and a systemctl that notes what it is told."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.asked: list[str] = []
        self.told: list[str] = []
        self.refuses: str | None = None

    def machine(self, *, is_running: bool = True, may_change: bool = True, systemd_version: int = 257) -> SystemdHost:
        return SystemdHost(
            root=self.root,
            systemd_version=systemd_version,
            is_running=is_running,
            may_change=may_change,
            run=self._run,
        )

    def _run(self, command: Sequence[str]) -> str:
        assert command[0] == "systemctl"
        self.asked.append(" ".join(command[1:]))
        if self.refuses in command:
            raise TtsError("systemctl failed")
        return ""

    def install(
        self, machine: SystemdHost | None = None, settings: Path = DEFAULT_SETTINGS, *, dry_run: bool = False
    ) -> None:
        self.asked, self.told = [], []
        install_unit(
            SYSTEM, settings, machine or self.machine(), dry_run=dry_run, again="sudo it", tell=self.told.append
        )

    def uninstall(self, machine: SystemdHost | None = None) -> None:
        self.asked, self.told = [], []
        uninstall_unit(machine or self.machine(), dry_run=False, again="sudo it", tell=self.told.append)

    @property
    def unit(self) -> Path:
        return self.root / "etc/systemd/system/wyoming-pocket-tts.service"

    @property
    def settings(self) -> Path:
        return self.root / "etc/wyoming-pocket-tts/settings.yaml"


SYSTEM = InstalledProgram(path=Path("/bin/sh"), directories=(Path("/usr"),))
"""Lies where everybody can read it."""


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_a_service_is_installed_and_started(house: House) -> None:
    house.install()
    assert house.asked == ["daemon-reload", "enable wyoming-pocket-tts.service", "restart wyoming-pocket-tts.service"]
    assert f"ExecStart=/bin/sh serve --config {DEFAULT_SETTINGS}\n" in house.unit.read_text()
    assert load_settings(file=house.settings) == load_settings()
    assert {path.stat().st_mode & 0o777 for path in (house.unit, house.settings)} == {0o644}
    assert [path.name for path in house.unit.parent.iterdir()] == [house.unit.name]


def test_a_second_time_changes_nothing(house: House) -> None:
    house.install()
    house.settings.write_text("voice: {default: alba}\n")
    before = house.unit.stat()
    house.install()
    assert house.asked == ["enable wyoming-pocket-tts.service", "start wyoming-pocket-tts.service"]
    assert house.unit.stat() == before
    assert house.settings.read_text() == "voice: {default: alba}\n"


def test_an_older_unit_is_brought_up_to_date(house: House) -> None:
    house.install()
    text = house.unit.read_text()
    house.unit.write_text("[Service]\n")
    house.install()
    assert house.unit.read_text() == text
    assert house.asked[0] == "daemon-reload"
    assert house.asked[-1].startswith("restart")


def test_a_dry_run_tells_everything_and_does_nothing(house: House) -> None:
    house.install(house.machine(may_change=False), dry_run=True)
    assert (house.asked, list(house.root.iterdir())) == ([], [])
    told = "\n".join(house.told)
    for part in ("would write /etc/systemd/system/", "ExecStart=/bin/sh", "systemctl enable", "systemctl restart"):
        assert part in told


def test_without_root_it_says_what_to_type(house: House) -> None:
    with pytest.raises(TtsError, match="only root may set a service up: sudo it"):
        house.install(house.machine(may_change=False))
    assert list(house.root.iterdir()) == []


def test_in_an_image_without_a_running_systemd_it_is_enabled_alone(house: House) -> None:
    house.install(house.machine(is_running=False))
    assert house.asked == ["enable wyoming-pocket-tts.service"]
    assert "The service is installed, and not started: systemd does not run here" in house.told[-2]
    assert f"serve --config {DEFAULT_SETTINGS}" in house.told[-2]


def test_a_service_that_does_not_start_points_to_its_log(house: House) -> None:
    house.refuses = "restart"
    with pytest.raises(TtsError, match="journalctl -eu wyoming-pocket-tts"):
        house.install()


def test_it_is_said_how_the_service_is_examined(house: House) -> None:
    house.install()
    told = house.told[-1]
    assert "sudo systemd-run " in told
    assert told.endswith(
        " /bin/sh doctor --config /etc/wyoming-pocket-tts/settings.yaml --data-dir /var/lib/wyoming-pocket-tts"
    )
    unit = house.unit.read_text()
    assert "--property=EnvironmentFile=-/etc/default/wyoming-pocket-tts " in told
    assert "EnvironmentFile=-/etc/default/wyoming-pocket-tts\n" in unit
    assert "--setenv=HF_HOME=/var/cache/wyoming-pocket-tts/hub " in told
    assert "HF_HOME=%C/wyoming-pocket-tts/hub" in unit


def test_a_root_who_shares_nothing_makes_settings_that_the_service_can_read(house: House) -> None:
    before = os.umask(0o077)
    try:
        house.install()
    finally:
        os.umask(before)
    assert house.settings.parent.stat().st_mode & 0o777 == 0o755
    assert house.settings.stat().st_mode & 0o777 == 0o644


def test_settings_that_the_service_could_not_read_are_refused(house: House) -> None:
    """Before there is a service that would be started again and again."""
    file = house.root / "srv/tts/mine.yaml"
    file.parent.mkdir(parents=True)
    file.touch()
    for place, mode in ((file, 0o600), (file.parent, 0o700)):
        usual = place.stat().st_mode
        place.chmod(mode)
        shown = f"/{place.relative_to(house.root)}"
        with pytest.raises(
            ConfigError, match=f"^{shown}: the service's own user cannot read it: sudo chmod .* {shown}"
        ):
            house.install(settings=Path("/srv/tts/mine.yaml"))
        assert not house.unit.exists()
        place.chmod(usual)
    house.install(settings=Path("/srv/tts/mine.yaml"))
    assert house.unit.exists()


def test_uninstalling_keeps_what_belongs_to_the_user_and_says_where_it_is(house: House) -> None:
    house.install()
    data = house.root / "var/lib/private/wyoming-pocket-tts"
    data.mkdir(parents=True)
    (house.root / "var/lib/wyoming-pocket-tts").symlink_to("/nowhere/as/long/as/it/is/no/real/root")
    (house.root / "etc/default").mkdir()
    (house.root / "etc/default/wyoming-pocket-tts").write_text("HF_TOKEN=secret\n")
    (house.unit.parent / f"{house.unit.name}.d").mkdir()
    theirs = (
        "etc/wyoming-pocket-tts",
        "etc/default/wyoming-pocket-tts",
        "etc/systemd/system/wyoming-pocket-tts.service.d",
        "var/lib/wyoming-pocket-tts",
        "var/lib/private/wyoming-pocket-tts",
    )
    house.uninstall()
    assert house.asked == ["disable --now wyoming-pocket-tts.service", "daemon-reload"]
    assert not house.unit.exists()
    assert house.settings.exists()
    assert house.told[-1].endswith(f"sudo rm -r {' '.join(f'/{place}' for place in theirs)}")
    house.uninstall()
    assert (house.asked, house.told) == ([], ["The service is not installed."])


def test_settings_with_mistakes_stop_it_before_anything_is_changed(house: House) -> None:
    for text, complaint in (("loud: true\n", "unknown key 'loud'"), ("data_dir: /srv/tts\n", "leave data_dir out")):
        (house.root / "etc").mkdir(exist_ok=True)
        (house.root / "etc/tts.yaml").write_text(text)
        with pytest.raises(ConfigError, match=complaint):
            house.install(settings=Path("/etc/tts.yaml"))
        assert not house.unit.exists()


def test_settings_where_the_service_cannot_see_them_are_refused(house: House) -> None:
    (house.root / "home/pi").mkdir(parents=True)
    (house.root / "home/pi/tts.yaml").touch()
    with pytest.raises(ConfigError, match="sudo install -D -m 644 /home/pi/tts"):
        house.install(settings=Path("/home/pi/tts.yaml"))


def test_settings_in_tmp_are_refused_with_the_reason() -> None:
    here = InstalledProgram(path=Path("/bin/sh"), directories=())
    with pytest.raises(ConfigError, match=r"tts\.yaml: what lies there is removed at times, and hidden from services"):
        unit_text(here, Path("/tmp/tts.yaml"), systemd_version=257)  # noqa: S108  (nothing is made there)


def test_an_installation_in_a_home_is_let_into_the_sandbox_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A home of mode 700, as Debian makes them: systemd makes a way of its own to what is let in."""
    monkeypatch.setattr("wyoming_pocket_tts.cli.service._HOMES", (tmp_path,))
    monkeypatch.setattr("wyoming_pocket_tts.cli.service._TEMPORARY", ())
    program = tmp_path / "pi" / "my tts" / "bin" / "wyoming-pocket-tts"
    program.parent.mkdir(parents=True)
    program.touch(mode=0o755)
    (tmp_path / "pi").chmod(0o700)
    place = tmp_path / "pi" / "my tts"
    installed = InstalledProgram(path=program, directories=(place, Path("/usr")))
    text = unit_text(installed, DEFAULT_SETTINGS, systemd_version=257)
    assert f"\nProtectHome=tmpfs\nBindReadOnlyPaths={tmp_path}/pi/my\\ tts\n" in text
    assert f'\nExecStart="{program}" serve' in text
    assert "ProtectHome=yes" not in text
    place.chmod(0o700)
    with pytest.raises(ConfigError, match=r"the service's own user cannot read it: sudo chmod -R o\+rX"):
        unit_text(installed, DEFAULT_SETTINGS, systemd_version=257)


def test_what_lies_in_tmp_or_nowhere_is_no_service(tmp_path: Path) -> None:
    program = tmp_path / "wyoming-pocket-tts"
    with pytest.raises(ConfigError, match="is not there"):
        unit_text(InstalledProgram(path=program, directories=()), DEFAULT_SETTINGS, systemd_version=257)
    with pytest.raises(ConfigError, match="what lies there is removed at times, and hidden from services: install"):
        unit_text(
            InstalledProgram(path=Path("/bin/sh"), directories=(Path("/tmp"),)),  # noqa: S108  (nothing is made there)
            DEFAULT_SETTINGS,
            systemd_version=257,
        )


def test_words_of_a_unit_are_quoted(tmp_path: Path) -> None:
    text = unit_text(SYSTEM, Path("/etc/100% $mine/tts.yaml"), systemd_version=257)
    assert 'ExecStart=/bin/sh serve --config "/etc/100%% $$mine/tts.yaml"\n' in text


def test_paths_that_are_let_in_are_escaped_as_systemd_reads_them() -> None:
    """What was tried: a booted systemd let this directory in, and no other."""
    assert _bound(Path("/home/pi/my tts:x$y%z")) == r"/home/pi/my\ tts\:x$y%%z"


def test_the_unit_in_the_repository_is_the_one_that_is_installed() -> None:
    assert (ROOT / "systemd/wyoming-pocket-tts.service").resolve() == TEMPLATE.resolve()


def systemd_version() -> int:
    shown = subprocess.run(["systemd-analyze", "--version"], capture_output=True, text=True, check=True, timeout=30)
    found = re.match(r"systemd (\d+)", shown.stdout)
    assert found is not None
    return int(found[1])


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    text = unit_text(SYSTEM, DEFAULT_SETTINGS, systemd_version=systemd_version())
    path = tmp_path / "wyoming-pocket-tts.service"
    path.write_text(text)
    return path


@needs_systemd
def test_systemd_finds_nothing_wrong_with_the_unit(unit: Path) -> None:
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, [line for line in done.stderr.splitlines() if unit.name in line]) == (
        0,
        "",
        [],
    )
    unit.write_text(unit.read_text().replace("ProtectClock=", "ProtectClocks="))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False, timeout=60)
    assert "ProtectClocks" in done.stderr, "or this test could not fail"


@needs_systemd
def test_the_sandbox_is_as_tight_as_the_documentation_says(unit: Path) -> None:
    command = ["systemd-analyze", "security", "--offline=yes", "--no-pager", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    if found is None:
        pytest.skip(f"this systemd-analyze does not judge files: {done.stderr}")
    assert float(found[1]) <= WORST_EXPOSURE


def test_the_command_says_what_it_would_do(tmp_path: Path) -> None:
    """Or why it cannot: this repository may lie in /tmp, which a service never sees."""
    told = dry_run(f"{fake_systemctl(tmp_path)}:{os.environ['PATH']}")
    assert "would run systemctl enable wyoming-pocket-tts.service" in told or "hidden from services" in told


def test_without_systemd_the_command_says_so() -> None:
    assert "there is no systemd here" in dry_run("")


def dry_run(path: str) -> str:
    command = [sys.executable, "-m", "wyoming_pocket_tts", "install-service", "--dry-run"]
    environment = {**os.environ, "PATH": path}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30, env=environment)
    return done.stdout + done.stderr


def fake_systemctl(folder: Path) -> Path:
    program = folder / "systemctl"
    program.write_text("#!/bin/sh\necho 'systemd 252 (252.38)'\n")
    program.chmod(0o755)
    return folder
