"""The commands that fetch and convert ahead of time, as a person runs them."""

import json
import os
import pty
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.cli.in_process import replace_released_models
from tests.pocket.fake_hub import Served, fake_hub
from tests.pocket.onnx.bundles import write_small_model
from tests.pocket.random_models import changed
from tests.pocket.tokenizers import tokenizer_files
from wyoming_pocket_tts.cli import models as providing
from wyoming_pocket_tts.cli.models import DownloadOptions, download_models, models_table, released_models
from wyoming_pocket_tts.pocket import registry as configs
from wyoming_pocket_tts.pocket.hub import HubFile
from wyoming_pocket_tts.pocket.onnx.bundle import Precision, open_bundle
from wyoming_pocket_tts.pocket.onnx.install import ensure_converted
from wyoming_pocket_tts.pocket.random_model import write_random_model
from wyoming_pocket_tts.pocket.schema import ModelConfig
from wyoming_pocket_tts.pocket.voice_state import VoiceState, write_state

LIMIT_SECONDS = 50.0
MODEL = "english_2m_2026-10"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("model")
    write_small_model(directory)
    return directory / "model.yaml"


@pytest.fixture(scope="module")
def files_of_the_hub(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The smallest released model with random weights, and two of its voices, by their places."""
    directory, config = tmp_path_factory.mktemp("hub"), configs.released_model(MODEL)
    tokenizer = tokenizer_files().sentencepiece
    write_random_model(directory, config, seed=1, tokenizer=tokenizer)
    sizes = config.flow_lm.transformer
    layer = np.ones((2, 5, sizes.kv_heads, sizes.head_dim), np.float32)
    write_state(VoiceState(layers=(layer,) * sizes.num_layers), directory / "voice.safetensors")
    files = {
        str(config.weights_path): directory / "model.safetensors",
        config.flow_lm.lookup_table.tokenizer_path: tokenizer,
        **{configs.voice_state_source(MODEL, voice): directory / "voice.safetensors" for voice in ("alba", "jean")},
    }
    return {source: file.read_bytes() for source, file in files.items()}


@pytest.mark.slow
def test_what_is_downloaded_is_enough_for_a_machine_without_a_network(
    files_of_the_hub: dict[str, bytes], tmp_path: Path
) -> None:
    places = {HubFile.parse(source): content for source, content in files_of_the_hub.items()}
    served = {f"{place.repository}/{place.path}": content for place, content in places.items()}
    arguments = ("download", MODEL, "--voices", "jean", "--data-dir", "data")
    with fake_hub(served, commits={str(place.revision) for place in places}) as server:
        online = {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": server.url, "HF_HUB_DISABLE_XET": "1", "NO_PROXY": "127.0.0.1"}
        done = run(*arguments, at=tmp_path, **online)
    assert (done.returncode, done.stderr) == (0, "")
    summary, hint = done.stdout.splitlines()[-2:]
    assert summary.endswith("(int8); voices: alba, jean")
    assert hint == f"Use it: wyoming-pocket-tts serve --model {MODEL} --data-dir data"
    assert any("downloading 100%" in line for line in done.stdout.splitlines())
    (tmp_path / "data").rename(tmp_path / "moved")
    moved = run(*arguments[:-1], "moved", "--local-files-only", at=tmp_path, HF_HOME=str(tmp_path / "empty"))
    assert (moved.returncode, moved.stderr) == (0, "")
    assert [line.partition(":")[0] for line in moved.stdout.splitlines()] == [MODEL, "Use it"]
    (tmp_path / "tts.yaml").write_text("data_dir: moved\n")
    by_settings = run(*arguments[:-2], "--settings", "tts.yaml", "--local-files-only", at=tmp_path)
    assert by_settings.stdout.splitlines()[-1] == f"Use it: wyoming-pocket-tts serve --config tts.yaml --model {MODEL}"
    by_environment = run(*arguments[:-2], "--local-files-only", at=tmp_path, WYOMING_POCKET_TTS_DATA_DIR="moved")
    assert by_environment.stdout.splitlines()[-1].endswith(f"--model {MODEL} --data-dir moved")
    listed = json.loads(run("models", "--json", "--data-dir", "moved", at=tmp_path).stdout)["models"]
    assert {model["name"]: model["converted"] for model in listed if model["converted"]} == {MODEL: ["int8"]}


@pytest.fixture
def released(model: Path, monkeypatch: pytest.MonkeyPatch) -> ModelConfig:
    """Every released model is ours."""
    config = configs.load_config(model)
    replace_released_models(monkeypatch, config)
    return config


def environment(home: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WYOMING_", "HF_"))}
    ours = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(home / "hub"), "XDG_CACHE_HOME": str(home / "cache")}
    return {**kept, **ours, "PYTHONPATH": str(Path(__file__).parents[2]), **more}


def run(*arguments: str, at: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "wyoming_pocket_tts", *arguments]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_SECONDS,
        cwd=at,
        env=environment(at, **variables),
    )


@pytest.mark.slow
def test_a_model_of_ones_own_is_converted_and_it_is_said_how_to_use_it(model: Path, tmp_path: Path) -> None:
    arguments = ("convert", "--config", str(model), "--data-dir", "data", "--precision", "mixed")
    done = run(*arguments, at=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    (directory,) = (tmp_path / "data" / "models").glob("custom-mixed-*")
    bundle = open_bundle(directory)
    bundle.verify()
    *stages, summary, voice, hint = done.stdout.splitlines()
    assert [stage.removeprefix(f"{model}: ") for stage in stages] == [
        "downloading",
        "converting",
        "comparing with the exact model",
        "encoding the recording of its voice",
    ]
    assert summary == f"{model}: {bundle.size_bytes / 1e6:.0f} MB in data/models/{directory.name} (mixed)"
    assert voice.startswith(f"{model}: its voice is not here yet ({configs.voice_audio_source('alba')}: ")
    assert voice.endswith("; serve will try again")
    assert hint == f"Use it: wyoming-pocket-tts serve --model {model} --precision mixed --data-dir data"
    again = run(*arguments, at=tmp_path)
    assert again.stdout.splitlines()[-3:] == [summary, voice, hint]
    assert run(*arguments, "--quiet", "--force", at=tmp_path).stdout.splitlines() == [summary, voice, hint]


def test_a_person_sees_a_bar(model: Path, tmp_path: Path) -> None:
    (tmp_path / "model.yaml").symlink_to(model)  # a short name: a terminal's line may cut a long one
    here, there = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "wyoming_pocket_tts", "convert", "--config", "model.yaml", "--data-dir", "data"],
        stdout=subprocess.PIPE,
        stderr=there,
        cwd=tmp_path,
        env=environment(tmp_path),
    ) as process:
        os.close(there)
        shown = b""
        while True:
            try:
                shown += os.read(here, 4096)
            except OSError:  # the other end was closed
                break
        assert process.stdout is not None
        told = process.stdout.read().decode()
    os.close(here)
    assert process.returncode == 0
    assert b"converting [" in shown
    assert b"####" in shown
    assert told.startswith("model.yaml: 4")  # the summary alone
    assert shown.endswith(b"\r\x1b[K")


@pytest.mark.parametrize(
    ("arguments", "message", "status"),
    [
        (("download", "germane"), "there is no model 'germane' (did you mean 'german'", 2),
        (("download", "german", "--voices", "alba,jan"), "there is no ready-made voice 'jan'", 1),
        (("download", "german", "--precision", "int2"), "int2", 2),
        (("download", "none"), "there is nothing to do", 2),
        (("download", "german"), "is not on this machine", 1),
        (("convert", "--config", "none.yaml"), "none.yaml: there is no such file", 2),
        (("convert", "--config", "model.onnx"), "a model's config is a YAML file", 2),
    ],
)
def test_what_is_wrong_is_said_in_a_line(arguments: tuple[str, ...], message: str, status: int, tmp_path: Path) -> None:
    done = run(*arguments, "--data-dir", "data", at=tmp_path)
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.returncode == status


def test_a_released_model_comes_with_its_voices(
    released: ModelConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    brought: dict[str, list[str]] = {}
    monkeypatch.setattr(
        providing, "download_voices", lambda name, voices, **_: brought.setdefault(name, []).extend(voices)
    )
    told: list[str] = []
    download_models(
        ["german", "dutch"],
        DownloadOptions(data_dir=tmp_path, voices=["alba, Jean", "alba"]),
        quiet=True,
        tell=told.append,
    )
    assert brought == {"german": ["juergen", "alba", "jean"], "dutch": ["daan", "alba", "jean"]}
    assert [line.partition(":")[0] for line in told] == ["german", "dutch", "Use it"]
    assert told[0].endswith("(int8); voices: juergen, alba, jean")
    assert told[-1] == "Use it: wyoming-pocket-tts serve --model german --model dutch"
    brought.clear()
    download_models(["german"], DownloadOptions(data_dir=tmp_path, all_voices=True), quiet=True, tell=told.append)
    assert sorted(brought["german"]) == sorted(configs.voice_names())


def test_weights_that_can_clone_are_fetched_when_they_are_to_be_had(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(providing, "download_voices", lambda *_, **__: None)
    own = configs.load_config(model)
    with fake_hub({}) as server:
        gated = changed(
            own,
            {"weights_path": f"{server.url}/whole", "weights_path_without_voice_cloning": own.weights_path},
        )
        replace_released_models(monkeypatch, gated)
        told: list[str] = []
        how = DownloadOptions(data_dir=tmp_path)
        download_models(["german"], how, quiet=True, tell=told.append)
        assert "(int8, without voice cloning)" in told[0]
        server.files["whole"] = Served(Path(str(own.weights_path)).read_bytes())
        download_models(["german"], replace(how, local_files_only=True), quiet=True, tell=told.append)
        assert "(int8, without voice cloning)" in told[2]
        download_models(["german"], how, quiet=True, tell=told.append)
        assert "(int8);" in told[4]


def test_the_list_of_models_shows_which_are_converted(released: ModelConfig, tmp_path: Path) -> None:
    ensure_converted("german", released, data_dir=tmp_path, precision=Precision.MIXED)
    listed = {model.name: model for model in released_models(tmp_path)}
    assert listed["german"].converted == ("mixed",)
    assert listed["german"].installed
    assert listed["dutch"].converted == ()
    assert released_models()[-1].converted == ()
    (line,) = (line for line in models_table(list(listed.values())).splitlines() if line.startswith("german "))
    assert line.endswith("  yes        mixed")
