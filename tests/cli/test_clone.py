"""The command that makes a voice of a recording, as a person runs it: from checks to a voice that speaks."""

import os
import subprocess
import sys
import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml
from numpy.typing import NDArray

from tests.cli.in_process import replace_released_models
from tests.pocket.fake_hub import Served, fake_hub
from tests.pocket.onnx.bundles import write_small_model
from tests.pocket.random_models import changed
from wyoming_pocket_tts.cli.clone import CONSENT_NOTE, CloneOptions, checked_name, clone_voice, model_of_service
from wyoming_pocket_tts.cli.model_choice import ModelSelection
from wyoming_pocket_tts.core.errors import ConfigError, MissingFile, TtsError, VoiceError
from wyoming_pocket_tts.pocket import registry as configs
from wyoming_pocket_tts.pocket.model import TTSModel
from wyoming_pocket_tts.pocket.voice_state import read_state

LIMIT_SECONDS = 50.0
RATE_HZ = 24_000


def recorded(seconds: float = 4.0) -> NDArray[np.float64]:
    """Something like vowels with pauses: nothing to complain about."""
    time = np.arange(int(RATE_HZ * seconds)) / RATE_HZ
    voiced = sum(np.sin(2 * np.pi * 120 * k * time) / k for k in range(1, 8))
    return np.asarray(0.1 * voiced * (np.sin(2 * np.pi * 2 * time) > -0.5))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, and data where it is converted already; for reading but for the voices."""
    root = tmp_path_factory.mktemp("clone")
    write_small_model(root)
    soundfile.write(root / "anna.wav", recorded(), RATE_HZ)
    TTSModel.load_model(config=root / "model.yaml", precision="int8", data_dir=root / "data")
    return root


@pytest.fixture
def wanted(folder: Path, tmp_path: Path) -> CloneOptions:
    """A data directory of one's own, which shares the converted model."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "models").symlink_to(folder / "data" / "models")
    return CloneOptions(recording=str(folder / "anna.wav"), name="Anna", data_dir=tmp_path / "data")


@pytest.fixture
def choice(folder: Path) -> ModelSelection:
    return ModelSelection(config=str(folder / "model.yaml"))


def told_by(wanted: CloneOptions, choice: ModelSelection, *, quiet: bool = False) -> list[str]:
    told: list[str] = []
    clone_voice(wanted, choice, quiet=quiet, tell=told.append)
    return told


def voices_in(wanted: CloneOptions) -> list[str]:
    return sorted(path.name for path in (wanted.data_dir / "voices").iterdir())


def run(*arguments: str, at: Path) -> "subprocess.CompletedProcess[str]":
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WYOMING_", "HF_"))}
    ours = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(at / "hub"), "XDG_CACHE_HOME": str(at / "cache")}
    return subprocess.run(
        [sys.executable, "-m", "wyoming_pocket_tts", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_SECONDS,
        cwd=at,
        env={**kept, **ours, "PYTHONPATH": str(Path(__file__).parents[2])},
    )


@pytest.mark.slow
def test_one_command_makes_a_voice_that_speaks(folder: Path, tmp_path: Path) -> None:
    model, recording = str(folder / "model.yaml"), str(folder / "anna.wav")
    (tmp_path / "tts.yaml").write_text(f"models: {{names: {model}}}\n")
    arguments = ("clone", recording, "--name", "Anna Lena", "--settings", "tts.yaml", "--data-dir", "data")
    done = run(*arguments, at=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[:2] == [CONSENT_NOTE, "The recording is good: 4 s, clear and even."]
    assert f"{model}: converting" in lines
    voice = Path("data/voices/Anna Lena.safetensors")
    kept, example, service, *entry = lines[-6:]
    assert kept == f"{recording} -> {voice}"
    assert example == f"Try it: wyoming-pocket-tts generate --config {model} --voice '{voice}'"
    assert "with --data-dir data takes the voice up by itself, as 'Anna Lena'" in service
    assert yaml.safe_load("\n".join(entry)) == {"voices": {"Anna Lena": {"from": str((tmp_path / voice).resolve())}}}
    assert sorted(path.name for path in (tmp_path / "data" / "voices").iterdir()) == [voice.name]
    spoken = run(
        "generate", "Hello.", "--config", model, "--voice", str(voice), "--eos-threshold", "-99", "-o", "a.wav",
        at=tmp_path,
    )  # fmt: skip
    assert spoken.returncode == 0, spoken.stderr
    assert (tmp_path / "a.wav").stat().st_size > 10_000
    again = run(*arguments, at=tmp_path)
    assert again.returncode == 2
    assert again.stderr.startswith(f"wyoming-pocket-tts: {voice}: there is such a voice already: choose another name")


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_the_voice_is_what_the_model_hears_in_the_recording(
    wanted: CloneOptions, choice: ModelSelection, tmp_path: Path, suffix: str
) -> None:
    recording = tmp_path / f"voice.{suffix}"
    soundfile.write(recording, np.stack([recorded()] * 2, axis=1)[::2], RATE_HZ // 2)
    told_by(replace(wanted, recording=str(recording)), choice)
    model = TTSModel.load_model(config=choice.config, precision="int8", data_dir=wanted.data_dir)
    heard, kept = model.get_state_for_audio_prompt(recording), read_state(wanted.data_dir / "voices/Anna.safetensors")
    assert kept.model is not None
    for one, other in zip(heard.layers, kept.layers, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("samples", "advice"),
    [
        (recorded(2), "Advice: The recording has 2.0 s of speech"),
        (np.clip(recorded() * 3, -0.2, 0.2), "Advice: The recording is clipped"),
        (recorded() + 0.03 * np.random.default_rng(0).standard_normal(4 * RATE_HZ), "Advice: The background is only"),
        (recorded() * np.repeat([1, 0.1], 2 * RATE_HZ), "Advice: The level changes by 20 dB"),
        (recorded(40), "Advice: The recording is 40 s long, of which the first 30 s are used."),
        (recorded(), "The recording is good: 4 s, clear and even."),
    ],
    ids=["short", "clipped", "noisy", "uneven", "long", "good"],
)
def test_what_would_make_a_poor_voice_is_said_with_advice(
    wanted: CloneOptions, choice: ModelSelection, tmp_path: Path, samples: NDArray[np.float64], advice: str
) -> None:
    soundfile.write(tmp_path / "voice.wav", samples, RATE_HZ)
    told = told_by(replace(wanted, recording=str(tmp_path / "voice.wav")), choice)
    assert [line for line in told if line.startswith(advice)] == [told[1]]
    assert voices_in(wanted) == ["Anna.safetensors"]


def test_no_voice_is_made_of_silence_and_nothing_is_downloaded_for_it(tmp_path: Path, choice: ModelSelection) -> None:
    soundfile.write(tmp_path / "voice.wav", np.zeros(RATE_HZ), RATE_HZ)
    silent = CloneOptions(recording=str(tmp_path / "voice.wav"), name="Nobody", data_dir=tmp_path / "data")
    with pytest.raises(VoiceError, match=r"voice\.wav: The recording is silent\. Check the microphone"):
        told_by(silent, choice)
    with pytest.raises(MissingFile, match="there is no such file"):
        told_by(replace(silent, recording=str(tmp_path / "none.wav")), choice)
    assert not (tmp_path / "data" / "models").exists()
    assert voices_in(silent) == []


@pytest.mark.parametrize("name", ["Anna", "anna-2", "Zoë", "Grandma Jane", "R2_D2", "मोहन", "9", "x" * 64])
def test_names_that_people_have(name: str) -> None:
    assert checked_name(name) == name
    assert checked_name(unicodedata.normalize("NFD", name)) == name


@pytest.mark.parametrize(
    "name",
    ["", " ", ".", "..", "a/b", "../a", "a\\b", ".hidden", "-a", " a", "a ", "a.", "a\n", "a\0", "a:b", "x" * 65],
)
def test_names_that_files_should_not_have(name: str, wanted: CloneOptions, choice: ModelSelection) -> None:
    with pytest.raises(ConfigError, match="--name"):
        told_by(replace(wanted, name=name), choice)
    assert not (wanted.data_dir / "voices").exists()


@pytest.mark.parametrize(
    ("name", "owner"),
    [
        ("kokoro-ray", "an embedded voice"),
        ("Kokoro-Selma", "an embedded voice"),
        ("english-alba", "a ready-made voice"),
        ("German-Alba", "a ready-made voice"),
        ("grandma", "voices.Grandma in the settings"),
        ("KITCHEN", "satellites.Kitchen in the settings"),
    ],
)
def test_a_name_that_the_service_would_pass_over_is_refused_first_of_all(tmp_path: Path, name: str, owner: str) -> None:
    (tmp_path / "tts.yaml").write_text("voices: {Grandma: {from: alba}}\nsatellites: {Kitchen: {}}\n")
    done = run("clone", "none.wav", "--name", name, "--settings", "tts.yaml", "--data-dir", "data", at=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"wyoming-pocket-tts: --name '{name}': is the name of {owner} already: choose another name\n"
    )
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("names", [("none",), ("german",)])
def test_a_voice_that_the_service_will_not_speak_with_is_pointed_out(
    wanted: CloneOptions, choice: ModelSelection, names: tuple[str, ...]
) -> None:
    told = told_by(replace(wanted, service_models=names), choice)
    note = next(line for line in told if line.startswith("Note: "))
    assert ("speak with no model (models.names is 'none')" if names == ("none",) else "speak with german") in note
    assert "which is for model: set models.names" in note
    assert any("and speaks with that model takes the voice up" in line for line in told)
    heard = told_by(replace(wanted, name="Berta", service_models=(*names, str(choice.config))), choice)
    assert not any(line.startswith("Note: ") for line in heard)


def test_a_voice_is_replaced_only_when_that_is_said(
    wanted: CloneOptions, choice: ModelSelection, tmp_path: Path
) -> None:
    told_by(wanted, choice)
    voice = wanted.data_dir / "voices" / "Anna.safetensors"
    before = voice.read_bytes()
    soundfile.write(tmp_path / "other.wav", recorded(5), RATE_HZ)
    other = replace(wanted, recording=str(tmp_path / "other.wav"))
    with pytest.raises(ConfigError, match="there is such a voice already"):
        told_by(other, choice)
    assert voice.read_bytes() == before
    told_by(replace(other, force=True), choice)
    assert voice.read_bytes() != before


@pytest.mark.parametrize("neighbour", ["anna.safetensors", "Anna.wav", "ANNA/", "Anna.safetensors/"])
def test_two_voices_cannot_have_the_same_name(wanted: CloneOptions, choice: ModelSelection, neighbour: str) -> None:
    """Clients do not tell upper case from lower, and a folder or a recording is a voice as well."""
    place = wanted.data_dir / "voices" / neighbour
    (place if neighbour.endswith("/") else place.parent).mkdir(parents=True)
    if not neighbour.endswith("/"):
        place.touch()
    name = "Anna.safetensors" if neighbour == "Anna.safetensors/" else "Anna"
    with pytest.raises(ConfigError, match="would be the same voice: choose another name, or remove it"):
        told_by(replace(wanted, name=name, force=True), choice)


def test_the_note_about_consent_comes_once_for_a_data_directory(wanted: CloneOptions, choice: ModelSelection) -> None:
    assert told_by(replace(wanted, name="Quiet"), choice, quiet=True) != []
    assert not (wanted.data_dir / "consent-note-shown.txt").exists()
    assert told_by(wanted, choice).count(CONSENT_NOTE) == 1
    assert CONSENT_NOTE in (wanted.data_dir / "consent-note-shown.txt").read_text()
    assert CONSENT_NOTE not in told_by(replace(wanted, name="Berta"), choice)
    assert voices_in(wanted) == ["Anna.safetensors", "Berta.safetensors", "Quiet.safetensors"]


def test_quiet_says_nothing(folder: Path, wanted: CloneOptions) -> None:
    done = run(
        "clone", wanted.recording, "--name", "Anna", "--config", str(folder / "model.yaml"), "--data-dir",
        str(wanted.data_dir), "--quiet", at=folder,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert voices_in(wanted) == ["Anna.safetensors"]


def test_what_the_disk_refuses_leaves_nothing_behind(
    wanted: CloneOptions, choice: ModelSelection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("wyoming_pocket_tts.core.system.sync", full)
    with pytest.raises(VoiceError, match=r"Anna\.safetensors: the voice cannot be written \(No space left on device\)"):
        told_by(wanted, choice)
    assert voices_in(wanted) == []
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="choose another place with --data-dir"):
        told_by(replace(wanted, data_dir=tmp_path / "file"), choice)


def test_the_voice_is_for_the_model_that_the_service_speaks_with_first() -> None:
    assert model_of_service(ModelSelection(), ["german", "english"]) == ModelSelection(language="german")
    assert model_of_service(ModelSelection(), ["mine.yaml"]) == ModelSelection(config="mine.yaml")
    assert model_of_service(ModelSelection(), ["none"]) == ModelSelection()
    assert model_of_service(ModelSelection(language="dutch"), ["german"]) == ModelSelection(language="dutch")
    assert model_of_service(ModelSelection(config="mine.yaml"), ["german"]) == ModelSelection(config="mine.yaml")


def test_weights_that_can_hear_are_fetched_when_they_are_to_be_had(
    folder: Path, wanted: CloneOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    own = configs.load_config(folder / "model.yaml")
    apart = replace(wanted, data_dir=tmp_path / "apart")
    with fake_hub({}) as server:
        gated = changed(
            own, {"weights_path": f"{server.url}/whole", "weights_path_without_voice_cloning": own.weights_path}
        )
        replace_released_models(monkeypatch, gated)
        with pytest.raises(TtsError, match=r"these weights cannot clone voices.*accept the terms"):
            told_by(apart, ModelSelection(language="german"))
        assert voices_in(apart) == []
        server.files["whole"] = Served(Path(str(own.weights_path)).read_bytes())
        told = told_by(apart, ModelSelection(language="german"))
    assert voices_in(apart) == ["Anna.safetensors"]
    assert told[-5].startswith("Try it: wyoming-pocket-tts generate --language german --voice ")
