import contextlib
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slbench.archive.clean import find_removable
from slbench.archive.export import ArchivedRun, export
from slbench.archive.import_archive import ImportResult, import_archive, import_run
from slbench.errors import InputError, StoreError
from slbench.store import AlreadyEndedError, Store
from tests.archive.conftest import RUNS, files, finish, record_of
from tests.kills import killed_folders
from tests.support import HOST, ROOT, make_speed, naming

NONE, LSA = RUNS


@pytest.fixture
def archive(there: Store, tmp_path: Path) -> Path:
    export(there, None, tmp_path / "x.tar")
    return tmp_path / "x.tar"


@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz", "x.tgz", "new folder/it's an 'x'\n.tar"])
def test_an_imported_store_equals_the_exported_one_to_the_byte(there: Store, tmp_path: Path, name: str) -> None:
    manifest = export(there, None, tmp_path / name)
    assert [run.run_id for run in manifest.runs] == list(there.ids())
    imported = import_archive(tmp_path / name, Store(tmp_path / "here"))
    assert sorted(imported.added) == sorted(folder.name for folder in there.ids().values())
    assert imported.measurements == 1
    assert files(tmp_path / "here") == files(there.root)
    assert os.listdir(tmp_path / "here") != []  # noqa: PTH208  (hidden ones too)
    assert not [path for path in (tmp_path / "here").iterdir() if path.name.startswith(".")]


def test_only_finished_runs_of_a_study_are_exported_without_checkpoints_and_temporary_files(
    there: Store, tmp_path: Path
) -> None:
    folder = there.folder(NONE.spec, NONE.labels)
    for left_over in ("checkpoint.pt", "checkpoint-previous.pt", "failure.json", ".record.json.7.tmp"):
        (folder / left_over).write_bytes(b"x")
    (there.folder(LSA.spec, LSA.labels) / "record.json").unlink()
    manifest = export(there, [NONE.spec.run_id, LSA.spec.run_id], tmp_path / "x.tar")
    assert [run.run_id for run in manifest.runs] == [NONE.spec.run_id]
    names = {file.name.rpartition("/")[2] for file in manifest.files if file.name.startswith("runs/")}
    assert names == {
        "log.txt", "metrics.csv", "record.json", "spec.json", "test_logits.safetensors", "weights.safetensors"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content"),
    [("metrics.csv", None), ("spec.json", None), ("test_logits.safetensors", b"x"), ("weights.safetensors", b"x")],
)
def test_a_run_that_an_import_would_refuse_is_not_exported(
    there: Store, tmp_path: Path, name: str, content: bytes | None
) -> None:
    path = there.folder(NONE.spec, NONE.labels) / name
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(StoreError, match=naming(path)):
        export(there, None, tmp_path / "x.tar")
    assert not (tmp_path / "x.tar").exists()


def test_an_archive_without_weights_brings_all_else(there: Store, tmp_path: Path) -> None:
    export(there, None, tmp_path / "x.tar", weights=False)
    import_archive(tmp_path / "x.tar", Store(tmp_path / "here"))
    missing = files(there.root).keys() - files(tmp_path / "here").keys()
    assert {Path(name).name for name in missing} == {"weights.safetensors"}
    assert files(tmp_path / "here").items() <= files(there.root).items()


def test_throughputs_of_other_machines_are_not_exported(there: Store, tmp_path: Path) -> None:
    there.add_throughput(make_speed(machine_id="another"))
    manifest = export(there, None, tmp_path / "x.tar")
    assert [file.name for file in manifest.files if not file.name.startswith("runs/")] == [
        f"throughput/{HOST.machine_id}/key.json"
    ]


@pytest.mark.parametrize(
    ("name", "pattern"),
    [("x.zip", naming("x.zip", ".tar, .tar.gz, .tgz")), ("d.tar", naming("folder"))],
)
def test_an_unsupported_archive_name_is_refused(there: Store, tmp_path: Path, name: str, pattern: str) -> None:
    (tmp_path / "d.tar").mkdir()
    with pytest.raises(InputError, match=pattern):
        export(there, None, tmp_path / name)


def test_an_existing_file_is_overwritten_only_with_replace(there: Store, tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_text("mine")
    with pytest.raises(InputError, match=naming("--replace")):
        export(there, None, tmp_path / "x.tar")
    assert (tmp_path / "x.tar").read_text() == "mine"
    export(there, None, tmp_path / "x.tar", replace=True)
    assert tarfile.is_tarfile(tmp_path / "x.tar")


def test_no_archive_is_written_without_finished_runs_or_with_a_damaged_one(there: Store, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=naming("finished run")):
        export(there, [], tmp_path / "x.tar")
    folder = there.folder(LSA.spec, LSA.labels)
    for name in ("weights.safetensors", "record.json"):
        (folder / name).write_bytes((folder / name).read_bytes()[:-3])
        with pytest.raises(StoreError, match=naming(name)):
            export(there, None, tmp_path / "x.tar")
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_a_second_import_changes_nothing(archive: Path, tmp_path: Path) -> None:
    here = Store(tmp_path / "here")
    import_archive(archive, here)
    (here.folder(NONE.spec, NONE.labels) / "notes.txt").write_text("mine")
    here.add_throughput(make_speed(median=7.0))
    before = files(here.root)
    imported = import_archive(archive, here)
    assert (imported.added, imported.conflicts, imported.measurements) == ([], [], 0)
    assert len(imported.same) == 2
    assert files(here.root) == before


def test_equal_results_of_another_machine_are_the_same_run(archive: Path, tmp_path: Path) -> None:
    here = Store(tmp_path / "here")
    host = HOST.model_copy(update={"hostname": "h"})
    finish(here, NONE, seconds=99.0, host=host, threads=2, device="cuda:1")
    imported = import_archive(archive, here)
    assert (len(imported.same), len(imported.added), imported.conflicts) == (1, 1, [])
    assert record_of(here, NONE).seconds == 99.0


def test_different_results_of_a_run_are_reported_and_stored_as_conflicts(
    archive: Path, there: Store, tmp_path: Path
) -> None:
    here = Store(tmp_path / "here")
    finish(here, NONE, final_test_top1=81.0)
    finish(here, LSA, weights=b"other", threads=2)
    before = files(here.root)
    first, second = sorted(
        import_archive(archive, here).conflicts, key=lambda conflict: conflict.here.labels.method, reverse=True
    )
    assert first.differences == {"final_test_top1": (81.0, 80.0)}
    assert set(second.differences) == {"weights_sha256"}
    assert (first.same_conditions, second.same_conditions) == (True, False)
    for conflict, run in ((first, NONE), (second, LSA)):
        assert conflict.kept_in.parent == here.root / "conflicts" / HOST.machine_id
        assert files(conflict.kept_in) == files(there.folder(run.spec, run.labels))
    after = files(here.root)
    assert {name: after[name] for name in before} == before
    assert len(import_archive(archive, here).conflicts) == 2
    assert files(here.root) == after


def test_a_finished_run_replaces_an_unfinished_one(archive: Path, there: Store, tmp_path: Path) -> None:
    here = Store(tmp_path / "here")
    for run, damage in ((NONE, None), (LSA, b"{")):
        folder = here.begin(run.spec, run.labels)
        (folder / "checkpoint.pt").write_bytes(b"x")
        if damage is not None:
            (folder / "record.json").write_bytes(damage)
    assert len(import_archive(archive, here).added) == 2
    assert files(here.root / "runs") == files(there.root / "runs")


def test_a_run_that_another_process_claims_is_not_imported(archive: Path, tmp_path: Path) -> None:
    here = Store(tmp_path / "here")
    folder = here.begin(NONE.spec, NONE.labels)
    claim = Store(here.root).claims.acquire(NONE.spec.run_id)
    assert claim is not None
    imported = import_archive(archive, here)
    assert (imported.busy, len(imported.added)) == ([folder.name], 1)
    assert {path.name for path in folder.iterdir()} == {"spec.json", "launch.json"}
    claim.release(done=False)
    assert import_archive(archive, here).added == [folder.name]


def test_a_process_that_knows_the_store_finds_a_run_whose_import_was_killed(there: Store, tmp_path: Path) -> None:
    """It calls the run differently, and would else train it again in a folder of its own."""
    source, record, observers = there.folder(NONE.spec, NONE.labels), record_of(there, NONE), dict[Path, Store]()
    listed = ArchivedRun(run_id=record.run_id, folder=source.name, weights_sha256=record.weights_sha256)

    def prepare(root: Path) -> None:
        shutil.copytree(source, root / ".import-7" / "runs" / source.name)
        observers[root] = Store(root)
        assert observers[root].ids() == {}

    def bring(root: Path) -> None:
        import_run(listed, record, None, root / ".import-7", Store(root), ImportResult())

    for root in killed_folders(tmp_path, bring, prepare=prepare):
        with contextlib.suppress(AlreadyEndedError):
            observers[root].begin(NONE.spec, NONE.labels.model_copy(update={"method": "another name"}))
        assert len(list((root / "runs").glob(f"*-{record.run_id}"))) == 1
        assert observers[root].has_ended(NONE.spec) != (root / ".import-7" / "runs" / source.name).exists()


def rewrite(archive: Path, change: Callable[[dict[str, Any], dict[str, bytes]], None]) -> None:
    """Rewrite an archive with a changed manifest and changed files."""
    with tarfile.open(archive) as old:
        content = {}
        for info in old:
            file = old.extractfile(info)
            assert file is not None
            content[info.name] = file.read()
    manifest = json.loads(content.pop("manifest.json"))
    change(manifest, content)
    with tarfile.open(archive, "w") as new:
        for name, data in {"manifest.json": json.dumps(manifest).encode(), **content}.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            new.addfile(info, io.BytesIO(data))


def record_name(manifest: dict[str, Any]) -> str:
    return f"runs/{manifest['runs'][0]['folder']}/record.json"


def flip_a_byte(manifest: dict[str, Any], content: dict[str, bytes]) -> None:
    content[record_name(manifest)] = content[record_name(manifest)].replace(b"80.0", b"90.0")


def leave_one_out(manifest: dict[str, Any], content: dict[str, bytes]) -> None:
    del content[record_name(manifest)]


def grow_one(manifest: dict[str, Any], content: dict[str, bytes]) -> None:
    content[record_name(manifest)] += b" "


def add_one(manifest: dict[str, Any], content: dict[str, bytes]) -> None:
    content[f"runs/{manifest['runs'][0]['folder']}/more.txt"] = b""


def of_format_2(manifest: dict[str, Any], _: dict[str, bytes]) -> None:
    manifest["format"] = 2


def without_a_list(manifest: dict[str, Any], _: dict[str, bytes]) -> None:
    del manifest["files"]


def relist(manifest: dict[str, Any], content: dict[str, bytes], name: str, data: bytes, new: str | None = None) -> None:
    """Change the content, and optionally the name, of a file in the archive and its manifest."""
    content.pop(name, None)
    content[new or name] = data
    files = [file for file in manifest["files"] if file["name"] != name]
    entry = {"name": new or name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    manifest["files"] = [*files, entry]


def leave_the_folder(manifest: dict[str, Any], content: dict[str, bytes]) -> None:
    relist(manifest, content, "", b"x", "runs/../../evil/x")


def of_a_folder_not_listed(manifest: dict[str, Any], content: dict[str, bytes]) -> None:
    relist(manifest, content, "", b"x", "runs/other-0123456789ab/x")


def listed_twice(manifest: dict[str, Any], _: dict[str, bytes]) -> None:
    manifest["runs"].append(manifest["runs"][0])


def file_listed_twice(manifest: dict[str, Any], _: dict[str, bytes]) -> None:
    manifest["files"].append(manifest["files"][0])


def under_another_id(manifest: dict[str, Any], _: dict[str, bytes]) -> None:
    manifest["runs"][0]["run_id"] = "0123456789ab"


def of_another_run(manifest: dict[str, Any], content: dict[str, bytes]) -> None:
    other = f"runs/{manifest['runs'][1]['folder']}/record.json"
    relist(manifest, content, record_name(manifest), content[other])


def with_other_weights(manifest: dict[str, Any], content: dict[str, bytes]) -> None:
    relist(manifest, content, record_name(manifest).replace("record.json", "weights.safetensors"), b"others")


def no_record(manifest: dict[str, Any], content: dict[str, bytes]) -> None:
    relist(manifest, content, record_name(manifest), b'{"run_id": 3}')


def a_speed_of_another_name(manifest: dict[str, Any], content: dict[str, bytes]) -> None:
    name = f"throughput/{HOST.machine_id}/key.json"
    relist(manifest, content, name, content[name], f"throughput/{HOST.machine_id}/other.json")


@pytest.mark.parametrize(
    ("change", "pattern"),
    [
        (flip_a_byte, naming("checksum", "record.json")),
        (leave_one_out, naming("missing", "record.json")),
        (grow_one, naming("bytes", "record.json")),
        (add_one, "more.txt' is not in its manifest|unpacks to more than"),
        (of_format_2, naming("2", "1")),
        (without_a_list, naming("manifest.json", "files")),
        (leave_the_folder, naming("runs/../../evil/x")),
        (of_a_folder_not_listed, naming("runs/other-0123456789ab/x")),
        (listed_twice, naming("manifest.json", "twice")),
        (file_listed_twice, naming("manifest.json", "file", "twice")),
        (under_another_id, naming("manifest.json", "0123456789ab")),
        (of_another_run, naming("record.json")),
        (with_other_weights, naming("record.json", "weights")),
        (no_record, naming("record.json", "run_id")),
        (a_speed_of_another_name, naming("other.json")),
    ],
)
@pytest.mark.parametrize("is_new", [True, False], ids=["a new store", "a store"])
def test_a_modified_archive_is_refused_and_the_store_unchanged(
    archive: Path,
    tmp_path: Path,
    change: Callable[[dict[str, Any], dict[str, bytes]], None],
    pattern: str,
    is_new: bool,
) -> None:
    rewrite(archive, change)
    check_refused(archive, tmp_path, pattern, is_new=is_new)


def check_refused(archive: Path, tmp_path: Path, pattern: str, *, is_new: bool = False) -> None:
    here = Store(tmp_path / "deep" / "here")
    if not is_new and not here.has_ended(NONE.spec):
        finish(here, NONE, seconds=3.0)
    before = sorted(tmp_path.rglob("*")), files(tmp_path)
    with pytest.raises(InputError, match=pattern):
        import_archive(archive, here)
    assert (sorted(tmp_path.rglob("*")), files(tmp_path)) == before


def test_a_second_manifest_in_an_archive_is_refused(archive: Path, tmp_path: Path) -> None:
    with tarfile.open(archive, "a") as opened:
        opened.addfile(tarfile.TarInfo("manifest.json"), io.BytesIO())
    check_refused(archive, tmp_path, "not in its manifest|unpacks to more than")


def add_link(archive: Path, kind: bytes) -> None:
    """Replace the second member of an archive by a link of the same name."""
    with tarfile.open(archive) as old:
        members = old.getmembers()
        contents = [old.extractfile(info).read() for info in members]  # type: ignore[union-attr]
    with tarfile.open(archive, "w") as new:
        for number, (info, data) in enumerate(zip(members, contents, strict=True)):
            if number == 1:
                info.type, info.linkname, info.size, data = kind, "/etc/passwd", 0, b""
            new.addfile(info, io.BytesIO(data))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
def test_members_that_are_no_files_are_refused(archive: Path, tmp_path: Path, kind: bytes) -> None:
    add_link(archive, kind)
    check_refused(archive, tmp_path, "is a link|unpacks to more")


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
def test_a_truncated_archive_is_refused(there: Store, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    export(there, None, path)
    content = path.read_bytes()
    needed = len(content) if suffix == ".tar.gz" else len(content.rstrip(b"\0"))
    for share in (0, 0.01, 0.2, 0.5, 0.8, 0.97):
        path.write_bytes(content[: int(needed * share)])
        check_refused(path, tmp_path, "truncated|damaged")


@pytest.mark.parametrize(
    ("suffix", "change"),
    [
        (".tar.gz", lambda content: content[:-8] + bytes(4) + content[-4:]),
        (".tar.gz", lambda content: content[:-4] + bytes(4)),
        (".tar.gz", lambda content: content + b"x"),
        (".tar", lambda content: content + b"x"),
        (".tar", lambda content: content + bytes(2**25)),
    ],
    ids=["checksum", "length", "more", "more, not compressed", "many NUL bytes"],
)
def test_an_archive_with_another_end_is_refused(
    there: Store, tmp_path: Path, suffix: str, change: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / f"x{suffix}"
    export(there, None, path)
    path.write_bytes(change(path.read_bytes()))
    check_refused(path, tmp_path, "damaged")


@pytest.mark.parametrize(
    ("make", "pattern"),
    [
        (lambda path: None, naming("file")),
        (lambda path: path.mkdir(), naming("file", "slbench export")),
        (lambda path: path.write_bytes(b"\x80hello" * 999), naming("z.tar", "slbench export")),
        (lambda path: tarfile.open(path, "w").close(), naming("z.tar", "slbench export")),
        (lambda path: shutil.make_archive(str(path.with_suffix("")), "tar", path.parent / "there"), naming("z.tar")),
    ],
    ids=["nothing", "folder", "garbage", "empty", "another"],
)
def test_other_files_are_refused(tmp_path: Path, make: Callable[[Path], object], pattern: str) -> None:
    (tmp_path / "there").mkdir()
    make(tmp_path / "z.tar")
    check_refused(tmp_path / "z.tar", tmp_path, pattern)


def test_an_archive_larger_than_the_free_space_is_refused(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Store, "free_bytes", lambda self: 100)
    with pytest.raises(StoreError, match=naming("100 B")):
        import_archive(archive, Store(tmp_path / "here"))
    assert not (tmp_path / "here").exists()


KILLED = """
import os, signal, sys
from pathlib import Path
from slbench.store import Store
from slbench.archive import import_archive

moves, original = iter(range(9)), import_archive.move

def kill_at_second(source, target):
    if next(moves) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    original(source, target)

import_archive.move = kill_at_second
import_archive.import_archive(Path(sys.argv[1]), Store(Path(sys.argv[2])))
"""


def test_a_killed_import_leaves_complete_runs_and_the_next_imports_the_others(
    archive: Path, there: Store, tmp_path: Path
) -> None:
    here = Store(tmp_path / "here")
    done = subprocess.run([sys.executable, "-c", KILLED, archive, here.root], cwd=ROOT)
    assert done.returncode == -signal.SIGKILL
    assert list(here.states(run.spec for run in RUNS).values()).count("done") == 1
    (staging,) = (path for path in here.root.iterdir() if path.name.startswith(".import-"))
    imported = import_archive(archive, here)
    assert (len(imported.added), len(imported.same)) == (1, 1)
    assert files(here.root / "runs") == files(there.root / "runs")
    assert {item.path for item in find_removable(here)} == {staging, here.root / "claims" / staging.name}


def test_a_full_disk_during_an_import_is_one_line_and_leaves_no_file(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("slbench.archive.export.copy", full)
    with pytest.raises(StoreError, match=naming("here", "No space left on device")):
        import_archive(archive, Store(tmp_path / "here"))
    assert not (tmp_path / "here").exists()
