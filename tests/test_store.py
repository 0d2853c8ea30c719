import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from slbench.errors import StoreError
from slbench.files import write_atomic
from slbench.record import Failure, Labels, read_failure
from slbench.store import AlreadyEndedError, Store, safe
from tests.support import make_record, make_speed, missing, naming, runs


def finish(store: Store, **changes: Any) -> Path:
    """Store a record of the tiny run; return its folder."""
    (run,) = runs()
    folder = store.begin(run.spec, run.labels)
    store.finish(folder, make_record(run, **changes))
    return folder


def test_a_file_is_replaced_without_leaving_temporary_files(tmp_path: Path) -> None:
    path = tmp_path / "new" / "x.json"
    write_atomic(path, b"old")
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    assert [entry.name for entry in path.parent.iterdir()] == ["x.json"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failed_write_keeps_the_old_content_and_leaves_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "x.json"
    write_atomic(path, b"old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail) if step == "fsync" else monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="No space left"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.json"]


def test_a_run_is_missing_then_failed_then_missing_again_then_done(tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    (run,) = runs()

    def state() -> str:
        return store.states([run.spec])[run.spec.run_id]

    assert state() == "missing"
    store.begin(run.spec, run.labels)
    assert state() == "missing"
    failure = Failure(kind="killed", reason="killed by SIGKILL", signal="SIGKILL")
    store.fail(run.spec, run.labels, failure)
    assert state() == "failed"
    assert store.failure(run.spec.run_id) == failure
    folder = store.begin(run.spec, run.labels)
    assert state() == "missing"
    assert store.failure(run.spec.run_id) is None
    store.finish(folder, make_record(run))
    assert state() == "done"
    assert store.record(run.spec.run_id) == make_record(run)


def test_the_name_of_a_folder_has_labels_seed_and_id(tmp_path: Path) -> None:
    store = Store(tmp_path)
    (run,) = runs({"seed": [3]})
    folder = store.begin(run.spec, run.labels)
    assert folder.relative_to(tmp_path).as_posix() == f"runs/tiny-none-fashion-mnist-12k-s3-{run.spec.run_id}"
    assert json.loads((folder / "spec.json").read_text()) == run.spec.as_dict()


def test_begin_removes_the_files_of_an_earlier_attempt(tmp_path: Path) -> None:
    store = Store(tmp_path)
    (run,) = runs()
    folder = store.begin(run.spec, run.labels)
    (folder / "metrics.csv").write_text("epoch\n1\n")
    (folder / "deep" / "deeper").mkdir(parents=True)
    (folder / "deep" / "deeper" / "x").touch()
    assert store.begin(run.spec, run.labels) == folder
    assert {entry.name for entry in folder.iterdir()} == {"spec.json", "launch.json"}


def test_a_run_with_a_checkpoint_is_paused_and_keeps_its_history_when_it_begins_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    (run,) = runs()
    folder = store.begin(run.spec, run.labels, trial="trial 3 of a", command="slbench run-grid a.toml")
    for name in ("checkpoint.pt", "temperatures.csv"):
        (folder / name).touch()
    (folder / "metrics.csv").write_text("epoch\n1\n2\n")
    assert store.states([run.spec]) == {run.spec.run_id: "paused"}
    assert store.epochs_done(run.spec) == 2
    ((spec, launch),) = store.begun()
    assert (spec, launch.labels, launch.trial) == (run.spec, run.labels, "trial 3 of a")
    store.begin(run.spec, run.labels)
    assert store.epochs_done(run.spec) == 2
    assert not (folder / "temperatures.csv").exists()
    (folder / "metrics.csv").unlink()
    (folder / "metrics.csv").mkdir()  # left by something else
    store.begin(run.spec, run.labels)
    assert not (folder / "metrics.csv").exists()
    (folder / "launch.json").write_text("{")
    assert store.launch(run.spec) is None
    store.finish(folder, make_record(run))
    assert not (folder / "launch.json").exists()


def test_a_run_is_found_by_the_beginning_of_its_id_and_by_its_folder(tmp_path: Path) -> None:
    store = Store(tmp_path)
    folder = finish(store)
    run_id = folder.name.rpartition("-")[2]
    for name in (run_id, run_id[:3], folder.name, str(folder)):
        assert store.find(name) == (run_id, folder)


def test_a_folder_is_found_by_its_id_under_another_label(tmp_path: Path) -> None:
    store = Store(tmp_path)
    folder = finish(store)
    (run,) = runs()
    renamed = Labels(backbone="Other", method="else", dataset="data")
    assert store.folder(run.spec, renamed) == folder
    (folder / "record.json").unlink()
    assert store.begin(run.spec, renamed) == folder
    assert len(list((tmp_path / "runs").iterdir())) == 1


def test_a_folder_that_was_renamed_by_hand_is_found_by_its_id(tmp_path: Path) -> None:
    store = Store(tmp_path)
    folder = finish(store)
    (run,) = runs()
    folder.rename(folder.with_name(f"mine-{run.spec.run_id}"))
    assert store.states([run.spec])[run.spec.run_id] == "done"
    assert store.record(run.spec.run_id) is not None


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("ViT-small", "vit-small"),
        ("../../etc/passwd", "etc-passwd"),
        ("/", "x"),
        ("..", "x"),
        ("", "x"),
        ("a\x00b\nc", "a-b-c"),
        ("Größe é 網", "gr-e"),
        ("x" * 99, "x" * 40),
        ("CON.", "con"),
        ("-rf *", "rf"),
    ],
)
def test_a_folder_name_is_lower_case_ascii(name: str, folder: str) -> None:
    assert safe(name) == folder


def test_folders_of_hostile_labels_are_inside_the_store(tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    (run,) = runs()
    labels = Labels(backbone="../../x", method="[*]?\n", dataset="$(touch y)/.")
    folder = store.begin(run.spec, labels)
    assert folder.parent == tmp_path / "results" / "runs"
    assert store.folder(run.spec, run.labels) == folder
    assert [entry.name for entry in tmp_path.iterdir()] == ["results"]


@pytest.mark.parametrize(
    ("content", "parts"),
    [(b"garbage", ("json",)), (b"{}", ("run_id",)), (b"", ("json",))],
)
def test_the_error_for_a_damaged_record_has_its_file_and_a_remedy(
    tmp_path: Path, content: bytes, parts: tuple[object, ...]
) -> None:
    store = Store(tmp_path)
    path = finish(store) / "record.json"
    path.write_bytes(content)
    (run,) = runs()
    with pytest.raises(StoreError) as caught:
        store.record(run.spec.run_id)
    assert not missing(str(caught.value), path, "folder", *parts)
    assert caught.value.exit_code == 2


def test_a_record_of_another_version_is_an_error(tmp_path: Path) -> None:
    store = Store(tmp_path)
    path = finish(store) / "record.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"novelty": 1}))
    with pytest.raises(StoreError, match=naming("novelty")):
        list(store.records())


def test_records_are_in_the_requested_order(tmp_path: Path) -> None:
    store = Store(tmp_path)
    seeds = runs({"seed": [0, 1, 2]})
    for run in seeds:
        store.finish(store.begin(run.spec, run.labels), make_record(run))
    ids = [seeds[2].spec.run_id, "0" * 12, seeds[0].spec.run_id]
    assert [record.run_id for record in store.records(ids)] == [ids[0], ids[2]]
    assert len(list(store.records())) == 3


def test_a_missing_store_is_empty_and_reading_does_not_create_it(tmp_path: Path) -> None:
    store = Store(tmp_path / "a" / "b")
    store.check(writing=True)
    assert store.ids() == {}
    assert list(store.records()) == []
    assert store.throughput("m", "k") is None
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_is_a_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "results"
    file.touch()
    for root in (file, file / "below"):
        with pytest.raises(StoreError) as caught:
            Store(root).check(writing=False)
        assert not missing(str(caught.value), root, file, "--store")


def test_a_store_that_cannot_be_written_to_is_refused_only_for_writing() -> None:
    Store(Path("/proc/slbench")).check(writing=False)
    with pytest.raises(StoreError, match=naming("/proc/slbench", "--store")):
        Store(Path("/proc/slbench")).check(writing=True)


def test_throughput_is_stored_by_machine(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.add_throughput(make_speed("k", 5.0))
    assert store.throughput("00machine00", "k") == make_speed("k", 5.0)
    assert store.throughput("00machine00", "other") is None
    assert store.throughput("another", "k") is None


def test_a_damaged_throughput_counts_as_missing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.add_throughput(make_speed("k"))
    (tmp_path / "throughput" / "00machine00" / "k.json").write_text("{")
    assert store.throughput("00machine00", "k") is None


@pytest.mark.parametrize(
    "content", [b"{}", b"[]", b"null", b'{"run_id": "another"}', b'{"run_id": "trunc', b"garbage", b""]
)
def test_a_damaged_record_or_that_of_another_run_counts_as_missing(tmp_path: Path, content: bytes) -> None:
    (run,) = runs()
    folder = Store(tmp_path).begin(run.spec, run.labels)
    (folder / "record.json").write_bytes(content)
    assert Store(tmp_path).states([run.spec]) == {run.spec.run_id: "missing"}


def test_a_store_with_a_file_named_runs_is_refused(tmp_path: Path) -> None:
    (tmp_path / "runs").touch()
    with pytest.raises(StoreError, match=naming("runs", "file", "folder")):
        Store(tmp_path).check(writing=False)


def test_a_run_has_one_folder_whatever_studies_call_it_and_however_late_this_machine_sees_it(tmp_path: Path) -> None:
    (run,) = runs()
    early, other = Store(tmp_path), Store(tmp_path)
    assert early.folder_of(run.spec.run_id) is None
    folder = other.begin(run.spec, run.labels.model_copy(update={"backbone": "Another name"}))
    assert early.begin(run.spec, run.labels) == early.folder(run.spec, run.labels) == folder
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [folder.name]
    folder.rename(folder.with_name(f"moved-{run.spec.run_id}"))
    assert early.folder_of(run.spec.run_id) == folder.with_name(f"moved-{run.spec.run_id}")


@pytest.mark.parametrize("target", ["../../elsewhere", "../runs/x-other", "../runs/../x-ID", "x-ID", "../runs/"])
def test_a_link_of_a_run_that_leads_elsewhere_is_ignored(tmp_path: Path, target: str) -> None:
    store, (run,) = Store(tmp_path / "results"), runs()
    (tmp_path / "results" / "ids").mkdir(parents=True)
    (tmp_path / "results" / "ids" / run.spec.run_id).symlink_to(target.replace("ID", run.spec.run_id))
    (tmp_path / "elsewhere").mkdir()
    expected = store.folder(run.spec, run.labels)
    assert store.begin(run.spec, run.labels) == expected
    assert expected.parent == store.root / "runs"
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_without_links_all_folders_are_listed_before_a_run_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    (run,) = runs()
    early = Store(tmp_path)
    assert early.folder_of(run.spec.run_id) is None
    folder = Store(tmp_path).begin(run.spec, run.labels.model_copy(update={"backbone": "Another name"}))
    assert early.begin(run.spec, run.labels) == folder


def test_begin_refuses_a_finished_run(tmp_path: Path) -> None:
    store = Store(tmp_path)
    folder = finish(store)
    (run,) = runs()
    with pytest.raises(AlreadyEndedError, match=naming("has ended", folder.name)):
        store.begin(run.spec, run.labels)
    assert (folder / "record.json").exists()


def test_a_path_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=naming("--store", "UTF-8")):
        Store(tmp_path / "\udcff").check(writing=True)


@pytest.mark.parametrize("writing", [False, True])
@pytest.mark.parametrize("part", ["", "x", "x/y"])
@pytest.mark.parametrize("target", ["loop", "nothing"])
def test_a_store_behind_a_link_that_leads_nowhere_is_refused(
    tmp_path: Path, target: str, part: str, writing: bool
) -> None:
    (tmp_path / "loop").symlink_to(target)
    with pytest.raises(StoreError, match=naming(tmp_path / "loop" / part, "--store") + "(?=.* link)"):
        Store(tmp_path / "loop" / part).check(writing=writing)
    assert [path.name for path in tmp_path.iterdir()] == ["loop"]


@pytest.mark.parametrize("parent", [".", "new"])
def test_a_store_whose_name_is_too_long_is_refused(tmp_path: Path, parent: str) -> None:
    with pytest.raises(StoreError, match=naming("too long", "--store")):
        Store(tmp_path / parent / ("x" * 300)).check(writing=False)


def test_a_link_to_a_store_is_a_store(tmp_path: Path) -> None:
    finish(Store(tmp_path / "results"))
    (tmp_path / "link").symlink_to("results")
    Store(tmp_path / "link").check(writing=True)
    assert len(list(Store(tmp_path / "link").records())) == 1


def test_a_folder_of_runs_that_links_to_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "runs").symlink_to("runs")
    with pytest.raises(StoreError, match=naming("runs", "--store")):
        Store(tmp_path).check(writing=False)


def test_a_fifo_in_place_of_a_file_of_a_store_is_not_waited_for(tmp_path: Path) -> None:
    store = Store(tmp_path)
    (run,) = runs()
    folder = store.begin(run.spec, run.labels)
    measured = [tmp_path / kind / "machine" / "key.json" for kind in ("throughput", "memory", "probes")]
    for path in (*measured, folder / "failure.json", folder / "pruned.json"):
        path.parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(path)
    assert read_failure(folder) is None
    assert store.pruned(run.spec.run_id) is None
    assert [read("machine", "key") for read in (store.throughput, store.memory, store.probe)] == [None] * 3
    os.mkfifo(folder / "record.json")
    with pytest.raises(StoreError, match=naming("record.json", "FIFO")):
        store.record(run.spec.run_id)


@pytest.mark.parametrize(("writing", "mode", "words"), [(False, os.R_OK, "read"), (True, os.W_OK, "written")])
def test_a_folder_of_the_store_that_this_user_may_not_use_is_named_with_the_cure(
    writing: bool, mode: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runs").mkdir()
    monkeypatch.setattr(os, "access", lambda path, asked: not (Path(path).name == "runs" and asked & mode))
    with pytest.raises(StoreError, match=naming(tmp_path / "runs", words, "common group", "umask 002")):
        Store(tmp_path).check(writing=writing)
    if writing:
        Store(tmp_path).check(writing=False)


def test_a_read_only_file_system_is_named_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    (tmp_path / "runs").mkdir()
    monkeypatch.setattr(os, "access", lambda path, asked: not asked & os.W_OK)
    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(StoreError, match=naming("not writable", os.strerror(errno.EROFS), "--store")):
        Store(tmp_path).check(writing=True)
