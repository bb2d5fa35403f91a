"""Where machines cannot be made, somebody is told why and what to do."""

import os
import shutil

import pytest

from tests.lan.network import why_not


def test_who_is_not_root_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert why_not.__wrapped__() == "only root can make networks: run it with sudo"


def test_what_is_missing_is_named_as_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda tool: None if tool == "ip" else f"/usr/bin/{tool}")
    assert why_not.__wrapped__() == "tools are missing: apt install iproute2"
