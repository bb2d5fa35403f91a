"""Whatever happens while a model is converted, what is used is whole, and the next start works."""

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tests.pocket.fake_hub import Served, fake_hub
from tests.pocket.onnx.bundles import INSTALLING, LIMIT_SECONDS, children, install_elsewhere, until, write_small_model
from tests.pocket.random_models import changed
from tests.support.tiers import mostly
from wyoming_pocket_tts.core.errors import Cancelled, DownloadError, ModelError
from wyoming_pocket_tts.pocket.hub import fetch
from wyoming_pocket_tts.pocket.onnx import install as installing
from wyoming_pocket_tts.pocket.onnx.bundle import ModelBundle, Precision, bundle_directory, open_bundle
from wyoming_pocket_tts.pocket.onnx.install import ensure_converted, find_converted
from wyoming_pocket_tts.pocket.registry import load_config
from wyoming_pocket_tts.pocket.schema import ModelConfig
from wyoming_pocket_tts.pocket.worker_client import (
    DoneMessage,
    Progress,
    UnsupportedPrecision,
    WorkerTask,
    parse,
    run_task,
)

MODEL = "model.yaml"
INT8, FP32 = Precision.INT8, Precision.FP32


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The config file of a model."""
    directory = tmp_path_factory.mktemp("model")
    write_small_model(directory)
    return directory / MODEL


@pytest.fixture(scope="module")
def config(model: Path) -> ModelConfig:
    return load_config(model)


@pytest.fixture(scope="module")
def original(config: ModelConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with the model in it."""
    data_dir = tmp_path_factory.mktemp("data")
    ensure_converted(None, config, data_dir=data_dir)
    return data_dir


@pytest.fixture
def data_dir(original: Path, tmp_path: Path) -> Path:
    """The same, to be damaged."""
    return Path(shutil.copytree(original, tmp_path / "data"))


def never(*_: object, **__: object) -> None:
    raise AssertionError("nothing was to be converted")


def place(data_dir: Path, config: ModelConfig) -> Path:
    return bundle_directory(data_dir, None, config, precision=INT8)


def whole(bundle: ModelBundle) -> bool:
    bundle.verify()
    return sorted(path.name for path in bundle.directory.iterdir()) == sorted([*bundle.files, "manifest.json"])


def nothing_left(data_dir: Path) -> bool:
    """Whether nothing but bundles and their locks is there."""
    return all(path.name.endswith(".lock") or not path.name.startswith(".") for path in (data_dir / "models").iterdir())


def test_a_model_is_converted_once(config: ModelConfig, tmp_path: Path) -> None:
    told: list[Progress] = []
    assert find_converted(None, config, data_dir=tmp_path, precision=INT8) is None
    bundle = ensure_converted(None, config, data_dir=tmp_path, report=told.append)
    assert bundle.precision is INT8
    assert whole(bundle)
    assert nothing_left(tmp_path)
    assert {progress.stage for progress in told} == {"download", "convert", "verify"}
    assert bundle == ensure_converted(None, config, data_dir=tmp_path, report=never, run=never)
    assert bundle == find_converted(None, config, data_dir=tmp_path, precision=INT8)
    assert find_converted(None, config, data_dir=tmp_path, precision=FP32) is None


def test_text_rules_are_those_of_today(config: ModelConfig, data_dir: Path) -> None:
    newer = changed(config, {"remove_semicolons": True})
    assert ensure_converted(None, newer, data_dir=data_dir, run=never).config.remove_semicolons


def test_it_can_be_made_anew(config: ModelConfig, data_dir: Path) -> None:
    before = place(data_dir, config).stat().st_ino
    assert whole(ensure_converted(None, config, data_dir=data_dir, anew=True))
    assert place(data_dir, config).stat().st_ino != before
    assert nothing_left(data_dir)


@pytest.mark.perf
def test_converting_needs_little_memory(config: ModelConfig, tmp_path: Path) -> None:
    """What does not grow with the model: Python, the runtime, and a graph of 40 MB that is tried."""
    order = WorkerTask(
        task="convert", directory=tmp_path, key="0" * 64, name=None, config=config, precision=INT8, steps=1
    )
    with subprocess.Popen(
        [sys.executable, "-m", "wyoming_pocket_tts.pocket.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(order.model_dump_json().encode() + b"\n")
        child.stdin.flush()
        last = parse(child.stdout.readlines()[-1])
    assert isinstance(last, DoneMessage)
    assert last.peak_bytes is not None
    assert last.peak_bytes < 250_000_000


# --- what is there is not what it should be


def truncate(bundle: Path) -> None:
    os.truncate(bundle / "flow.data", 1000)


def flip(bundle: Path) -> None:
    path = bundle / "codec.data"
    path.write_bytes(path.read_bytes()[::-1])


def edit(bundle: Path) -> None:
    path = bundle / "manifest.json"
    path.write_text(path.read_text().replace('"steps": 1', '"steps": 2'))


def age(bundle: Path) -> None:
    path = bundle / "manifest.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 0'))


def halve(bundle: Path) -> None:
    for name in ("manifest.json", "decoder.onnx"):
        (bundle / name).unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    mostly(
        pytest.mark.slow,
        [(truncate, "flow.data"), (flip, "codec.data"), (edit, "changed"), (age, "format"), (halve, "manifest.json")],
        fast=[(truncate, "flow.data"), (edit, "changed")],
    ),
)
def test_what_is_damaged_is_made_anew_with_a_message(
    damage: Callable[[Path], None], message: str, config: ModelConfig, data_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    damage(place(data_dir, config))
    assert whole(ensure_converted(None, config, data_dir=data_dir))
    assert message in caplog.text
    assert "converted anew" in caplog.text
    assert nothing_left(data_dir)


def test_a_bundle_of_another_model_is_not_used(
    config: ModelConfig, data_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    here = place(data_dir, config)
    other = ensure_converted(None, config, data_dir=data_dir, precision=FP32).directory
    shutil.rmtree(here)
    other.rename(here)
    bundle = ensure_converted(None, config, data_dir=data_dir)
    assert bundle.precision is INT8
    assert "made from something else" in caplog.text


@pytest.mark.parametrize("has_bundle", [False, True])
def test_what_somebody_put_there_is_kept(
    has_bundle: bool, config: ModelConfig, data_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    here = place(data_dir, config)
    if not has_bundle:
        shutil.rmtree(here)
        here.mkdir()
    (here / "diary.txt").write_text("Dear diary")
    (here / "manifest.json").unlink(missing_ok=True)
    assert whole(ensure_converted(None, config, data_dir=data_dir))
    (aside,) = here.parent.glob(f"{here.name}.set-aside-*")
    assert (aside / "diary.txt").read_text() == "Dear diary"
    assert str(aside) in caplog.text


def test_neither_a_file_nor_a_link_is_taken_for_a_model(
    config: ModelConfig, data_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    here = place(data_dir, config)
    here.rename(tmp_path / "elsewhere")
    here.symlink_to(tmp_path / "elsewhere")
    assert whole(ensure_converted(None, config, data_dir=data_dir))
    assert not here.is_symlink()
    assert "is a link" in caplog.text
    open_bundle(tmp_path / "elsewhere").verify()
    shutil.rmtree(here)
    here.write_text("Dear diary")
    assert whole(ensure_converted(None, config, data_dir=data_dir))
    assert {
        path.read_text() for path in here.parent.glob("*.set-aside-*") if path.is_file() and not path.is_symlink()
    } == {"Dear diary"}


def test_leftovers_are_cleared_but_for_what_is_not_ours(config: ModelConfig, tmp_path: Path) -> None:
    here = place(tmp_path, config)
    ours, theirs = (here.with_name(f".{here.name}.{name}.partial") for name in ("ours", "theirs"))
    for directory, name in ((ours, "flow.data"), (theirs, "diary.txt")):
        directory.mkdir(parents=True)
        (directory / name).touch()
    ensure_converted(None, config, data_dir=tmp_path)
    assert not ours.exists()
    assert (theirs / "diary.txt").exists()


# --- interruptions


@pytest.fixture
def silent_server() -> Iterator[str]:
    """An address that accepts and never answers: a conversion from there does not end by itself for half a minute."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/model.safetensors"


@pytest.fixture
def waiting(config: ModelConfig, silent_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelConfig:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return changed(config, {"weights_path": silent_server})


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_child_breaks_nothing(how: signal.Signals, config: ModelConfig, tmp_path: Path) -> None:
    killed: list[psutil.Process] = []

    def kill(progress: Progress) -> None:
        if progress.stage == "convert" and not killed:
            killed.extend(children())
            for child in killed:
                child.send_signal(how)

    with pytest.raises(
        ModelError, match="killed, most likely because memory" if how is signal.SIGKILL else "status -15"
    ):
        ensure_converted(None, config, data_dir=tmp_path, report=kill)
    assert nothing_left(tmp_path)
    assert whole(ensure_converted(None, config, data_dir=tmp_path))


def test_a_killed_parent_takes_its_child_with_it(
    waiting: ModelConfig, config: ModelConfig, model: Path, tmp_path: Path
) -> None:
    hanging = tmp_path / MODEL
    hanging.write_text(model.read_text().replace(str(config.weights_path), str(waiting.weights_path)))
    parent = install_elsewhere(hanging, tmp_path)
    process = psutil.Process(parent.pid)
    until(lambda: bool(process.children()))
    (child,) = process.children()
    assert parent.stdout is not None
    assert parent.stdout.readline() == "download\n"
    parent.kill()
    parent.communicate()
    _, alive = psutil.wait_procs([child], timeout=10)
    assert not alive
    (left,) = (path for path in (tmp_path / "models").iterdir() if path.suffix == ".partial")
    target = left.with_name(left.name.removeprefix(".").rpartition(".partial")[0].rpartition(".")[0])
    assert not target.exists()


def test_what_a_killed_parent_left_is_cleared_by_the_next(model: Path, config: ModelConfig, tmp_path: Path) -> None:
    """It is killed in the middle of writing; its child is held so that it cannot be quicker."""
    program = INSTALLING.format(before="import psutil, signal").replace(
        "    print(progress.stage, flush=True)",
        "    if progress.stage == 'convert':\n"
        "        [child.suspend() for child in psutil.Process().children()]\n"
        "        print('writing', flush=True)\n"
        "        signal.pause()",
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(model), str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "writing\n"
        (child,) = psutil.Process(parent.pid).children()
        parent.kill()
    with pytest.raises(BlockingIOError), next(tmp_path.glob("models/.*.lock")).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the child holds it, too: nobody may clear up under it
    child.resume()
    psutil.wait_procs([child], timeout=10)
    assert not nothing_left(tmp_path)
    assert whole(ensure_converted(None, config, data_dir=tmp_path))
    assert nothing_left(tmp_path)


def test_giving_up_ends_the_child_at_once(waiting: ModelConfig, tmp_path: Path) -> None:
    stop = threading.Event()

    def give_up(progress: Progress) -> None:
        assert children()
        stop.set()

    with pytest.raises(Cancelled):
        ensure_converted(None, waiting, data_dir=tmp_path, report=give_up, stop=stop)
    assert not children()
    assert nothing_left(tmp_path)


def test_an_error_in_the_report_ends_the_child_too(waiting: ModelConfig, tmp_path: Path) -> None:
    def interrupt(progress: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ensure_converted(None, waiting, data_dir=tmp_path, report=interrupt)
    assert not children()
    assert nothing_left(tmp_path)


# --- two at once


def test_of_two_threads_one_converts_and_the_other_uses_it(config: ModelConfig, tmp_path: Path) -> None:
    second_waits = threading.Event()
    conversions: list[WorkerTask] = []

    def slowly(order: WorkerTask, **options: object) -> None:
        conversions.append(order)
        assert second_waits.wait(LIMIT_SECONDS)
        run_task(order, **options)  # type: ignore[arg-type]

    def report(progress: Progress) -> None:
        if progress.stage == "wait":
            second_waits.set()

    with ThreadPoolExecutor(2) as threads:
        both = [
            threads.submit(ensure_converted, None, config, data_dir=tmp_path, report=report, run=slowly, anew=anew)
            for anew in (False, True)
        ]
        first, second = (future.result() for future in both)
    assert first == second
    assert whole(first)
    assert len(conversions) == 1


def test_of_two_processes_one_converts(model: Path, tmp_path: Path) -> None:
    both = [install_elsewhere(model, tmp_path) for _ in range(2)]
    outputs = [process.communicate(timeout=LIMIT_SECONDS) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    printed = [stdout.splitlines() for stdout, _ in outputs]
    assert sum("convert" in lines for lines in printed) == 1
    assert printed[0][-1] == printed[1][-1]
    assert nothing_left(tmp_path)


def test_waiting_for_another_can_be_given_up(waiting: ModelConfig, tmp_path: Path) -> None:
    stop, gate = threading.Event(), threading.Event()

    def hold(order: WorkerTask, **_: object) -> None:
        assert gate.wait(LIMIT_SECONDS)
        raise ModelError("released")

    def give_up(progress: Progress) -> None:
        assert progress.stage == "wait"
        stop.set()

    with ThreadPoolExecutor(1) as threads:
        holder = threads.submit(ensure_converted, None, waiting, data_dir=tmp_path, run=hold)
        until(lambda: any(tmp_path.glob("models/*.partial")) or any(tmp_path.glob("models/.*.partial")))
        with pytest.raises(Cancelled):
            ensure_converted(None, waiting, data_dir=tmp_path, report=give_up, stop=stop, run=never)
        gate.set()
        with pytest.raises(ModelError, match="released"):
            holder.result()


# --- what cannot work


@pytest.mark.parametrize("precision", [Precision.INT8, Precision.MIXED])
def test_a_processor_without_products_of_8_bits_gets_what_is_faster_there(
    precision: Precision,
    config: ModelConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(installing, "cpu_flags", lambda: frozenset({"fp", "asimd", "crc32"}))  # a Raspberry Pi 4
    bundle = ensure_converted(None, config, data_dir=tmp_path, precision=precision)
    assert bundle.precision is Precision.FP32
    assert "does not multiply 8-bit numbers" in caplog.text
    again = ensure_converted(None, config, data_dir=tmp_path, precision=precision, run=never)
    assert again.directory == bundle.directory


def test_a_full_disk_is_named_and_leaves_nothing(model: Path, config: ModelConfig, tmp_path: Path) -> None:
    """The system limits how large a file may become: to a program that is like a disk without room."""
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, resource.RLIM_INFINITY))"
    process = install_elsewhere(model, tmp_path, before=limit)
    _, stderr = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == 1
    assert f"ModelError: {tmp_path / 'models'}: File too large: free some space" in stderr
    assert nothing_left(tmp_path)
    assert whole(ensure_converted(None, config, data_dir=tmp_path))


def test_a_disk_that_is_really_full(config: ModelConfig, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(small)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only those who may mount can make a small disk")
    try:
        with pytest.raises(ModelError, match="No space left on device: free some space, or choose another place"):
            ensure_converted(None, config, data_dir=small)
        assert nothing_left(small)
        subprocess.run(["mount", "-o", "remount,size=200m", str(small)], check=True)
        assert whole(ensure_converted(None, config, data_dir=small))
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_place_that_cannot_be_written_to_is_named(config: ModelConfig, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ModelError, match=r"file/models: Not a directory; .* --data-dir"):
        ensure_converted(None, config, data_dir=tmp_path / "file")


@pytest.mark.parametrize(
    ("differences", "message"),
    [
        ({"weights_path": "{tokenizer}"}, "no safetensors file"),
        ({"weights_path": "{directory}/none.safetensors"}, "none.safetensors: there is no such file"),
        ({"flow_lm": {"transformer": {"num_layers": 3}}}, "does not belong to this config"),
        ({"flow_lm": {"lookup_table": {"tokenizer_path": "{directory}/none.model"}}}, "no such tokenizer file"),
        ({"flow_lm": {"lookup_table": {"tokenizer_path": "{weights}"}}}, "cannot be read as a SentencePiece model"),
    ],
)
def test_wrong_files_are_named(
    differences: dict[str, object], message: str, config: ModelConfig, model: Path, tmp_path: Path
) -> None:
    places = {
        "{directory}": str(model.parent),
        "{tokenizer}": config.flow_lm.lookup_table.tokenizer_path,
        "{weights}": str(config.weights_path),
    }
    text = json.dumps(differences)
    for name, path in places.items():
        text = text.replace(name, path)
    with pytest.raises(ModelError, match=message):
        ensure_converted(None, changed(config, json.loads(text)), data_dir=tmp_path)
    assert nothing_left(tmp_path)


def test_nothing_is_downloaded_when_that_is_forbidden(waiting: ModelConfig, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="not to be used"):
        ensure_converted(None, waiting, data_dir=tmp_path, local_files_only=True)


# --- processors


def test_a_precision_that_does_not_work_gives_way(
    config: ModelConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tried = []

    def refuse(order: WorkerTask, **options: object) -> None:
        tried.append(order.precision)
        if order.precision is not FP32:
            raise UnsupportedPrecision(f"{order.precision} does not run on this machine")
        run_task(order, **options)  # type: ignore[arg-type]

    bundle = ensure_converted(None, config, data_dir=tmp_path, precision=Precision.INT4, run=refuse)
    assert tried == ["int4", "int8", "fp32"]
    assert bundle.precision is FP32
    assert whole(bundle)
    assert "int8 does not run on this machine; fp32 is used instead of int8" in caplog.text
    caplog.clear()
    assert ensure_converted(None, config, data_dir=tmp_path, precision=Precision.INT4, run=never) == bundle
    assert "in fp32 instead of int4" in caplog.text


def test_where_none_works_it_is_said(config: ModelConfig, tmp_path: Path) -> None:
    def refuse(order: WorkerTask, **_: object) -> None:
        raise UnsupportedPrecision(f"{order.precision} does not run on this machine")

    with pytest.raises(ModelError, match="fp32 does not run on this machine"):
        ensure_converted(None, config, data_dir=tmp_path, precision=Precision.MIXED, run=refuse)
    assert nothing_left(tmp_path)


def test_a_processor_that_meets_an_instruction_that_it_lacks(
    config: ModelConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    refused: list[Progress] = []

    def fail(progress: Progress) -> None:
        if progress.stage == "verify" and not refused:
            refused.append(progress)
            for child in children():
                child.send_signal(signal.SIGILL)

    bundle = ensure_converted(None, config, data_dir=tmp_path, report=fail)
    assert bundle.precision is FP32
    assert "int8 does not run on this machine: it ended with SIGILL; fp32 is used" in caplog.text


def test_on_another_processor_it_is_proved_again(
    config: ModelConfig, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installing, "cpu_name", lambda: "another+avx2")
    orders: list[WorkerTask] = []

    def watched(order: WorkerTask, **options: object) -> None:
        orders.append(order)
        run_task(order, **options)  # type: ignore[arg-type]

    before = place(data_dir, config).stat().st_ino
    assert whole(ensure_converted(None, config, data_dir=data_dir, run=watched))
    assert [order.task for order in orders] == ["prove"]
    assert whole(ensure_converted(None, config, data_dir=data_dir, run=never))
    assert open_bundle(place(data_dir, config)).proved_on[-1] == "another+avx2"
    assert place(data_dir, config).stat().st_ino == before


def test_what_another_processor_cannot_run_is_made_anew(
    config: ModelConfig, data_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(installing, "cpu_name", lambda: "another")
    orders: list[tuple[str, str]] = []

    def refuse(order: WorkerTask, **options: object) -> None:
        orders.append((order.task, order.precision))
        if order.precision is INT8:
            raise UnsupportedPrecision("int8 has an error of 140% in the language model on this machine")
        run_task(order, **options)  # type: ignore[arg-type]

    assert ensure_converted(None, config, data_dir=data_dir, run=refuse).precision is FP32
    assert orders == [("prove", "int8"), ("convert", "int8"), ("convert", "fp32")]
    assert caplog.text.count("converted anew") == 1
    assert "error of 140%" in caplog.text


# --- voice cloning


def test_weights_that_can_clone_are_used_when_they_have_come(
    config: ModelConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    weights = Path(str(config.weights_path)).read_bytes()
    with fake_hub({}) as server:
        gated = changed(
            config,
            {
                "weights_path": f"{server.url}/model.safetensors",
                "weights_path_without_voice_cloning": config.weights_path,
            },
        )
        without = ensure_converted(None, gated, data_dir=tmp_path)
        assert (without.has_voice_cloning, without.encoder) == (False, None)
        assert not (without.directory / "encoder.onnx").exists()
        assert whole(without)
        assert "model.safetensors" in caplog.text  # the child's warning reaches our log
        assert ensure_converted(None, gated, data_dir=tmp_path, run=never) == without
        server.files["model.safetensors"] = Served(weights)
        fetch(f"{server.url}/model.safetensors")
    assert ensure_converted(None, gated, data_dir=tmp_path).has_voice_cloning
