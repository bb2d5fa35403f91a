from pathlib import Path

from wyoming_pocket_tts.pocket.voice_store import style_files


def touched(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def test_a_folder_has_a_style_for_each_recording_in_the_order_of_names(tmp_path: Path) -> None:
    folder = touched(tmp_path / "anna", "sad.wav", "Happy.MP3", "calm.flac", "notes.txt", ".calm.wav", "folder")
    (folder / "more.wav").mkdir()
    assert list(style_files(folder)) == ["calm", "Happy", "sad"]
    assert style_files(folder)["sad"] == folder / "sad.wav"


def test_the_style_named_default_is_the_default(tmp_path: Path) -> None:
    assert list(style_files(touched(tmp_path, "angry.wav", "Default.ogg", "calm.wav"))) == ["Default", "angry", "calm"]


def test_an_exported_voice_counts_more_than_the_recording_it_comes_from(tmp_path: Path) -> None:
    folder = touched(tmp_path, "calm.flac", "calm.safetensors", "calm.wav")
    assert style_files(folder) == {"calm": folder / "calm.safetensors"}


def test_a_file_has_one_style_without_a_name_and_what_is_not_there_has_none(tmp_path: Path) -> None:
    file = touched(tmp_path, "anna.wav") / "anna.wav"
    assert style_files(file) == {"": file}
    assert style_files(tmp_path / "nobody") == {}
