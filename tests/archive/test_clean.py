import errno
import os
import shutil
import time
from pathlib import Path

import pytest

from slbench import claims
from slbench.archive.clean import OLD_SECONDS, find_removable, remove
from slbench.claims import Owner
from slbench.errors import StoreError
from slbench.record import Pruned
from slbench.store import Store
from tests.archive.conftest import RUNS, files, finish
from tests.support import naming

NONE, LSA = RUNS


@pytest.fixture
def store(there: Store) -> Store:
    """Return a store with a finished and an unfinished run."""
    (there.folder(LSA.spec, LSA.labels) / "record.json").unlink()
    (there.folder(LSA.spec, LSA.labels) / "checkpoint.pt").write_bytes(b"unfinished")
    return there


def write(path: Path, *, age_seconds: float = 0.0, content: bytes = b"1234567") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    then = time.time() - age_seconds
    os.utime(path, (then, then))
    return path


def removable(store: Store, **how: bool) -> dict[str, str]:
    """Return the kinds of removable files by path."""
    return {item.path.relative_to(store.root).as_posix(): item.kind for item in find_removable(store, **how)}


def test_a_clean_store_has_nothing_to_remove(store: Store, tmp_path: Path) -> None:
    assert removable(store) == {}
    assert find_removable(Store(tmp_path / "nowhere")) == []
    assert not (tmp_path / "nowhere").exists()


def test_only_checkpoints_of_finished_runs_are_removed(store: Store) -> None:
    folder = store.folder(NONE.spec, NONE.labels)
    for name in ("checkpoint.pt", "checkpoint-previous.pt"):
        write(folder / name)
    before = files(store.root)
    assert removable(store) == {
        f"runs/{folder.name}/checkpoint.pt": "checkpoint",
        f"runs/{folder.name}/checkpoint-previous.pt": "checkpoint",
    }
    assert files(store.root) == before
    removed = remove(store, find_removable(store))
    assert sum(item.size for item in removed) == 14
    assert files(store.root) == {name: content for name, content in before.items() if content != b"1234567"}


def test_the_checkpoint_of_a_pruned_run_is_removed_and_its_metrics_are_kept(store: Store) -> None:
    pruned = Pruned(search="sieve", trial=7, epochs=2, reason="pruned", ended_at="")
    folder = store.folder(LSA.spec, LSA.labels)
    (folder / "metrics.csv").write_text("epoch\n1\n")
    store.prune(LSA.spec, LSA.labels, pruned)
    assert removable(store) == {f"runs/{folder.name}/checkpoint.pt": "checkpoint"}
    remove(store, find_removable(store))
    names = {path.name for path in folder.iterdir()}
    assert {"metrics.csv", "pruned.json", "spec.json"} <= names
    assert "checkpoint.pt" not in names


def test_temporary_files_are_removed_if_their_run_is_unclaimed_or_they_are_old(store: Store) -> None:
    folder = store.folder(LSA.spec, LSA.labels)
    write(folder / ".checkpoint.pt.17.tmp")
    write(store.root / "throughput" / "m" / ".a.json.17.tmp")
    write(store.root / "throughput" / "m" / ".b.json.17.tmp", age_seconds=OLD_SECONDS + 60)
    write(store.root / ".slbench-17", age_seconds=OLD_SECONDS + 60)
    write(store.root / ".mine", age_seconds=OLD_SECONDS + 60)
    write(store.root / "studies" / ".ruled.json.17.tmp", age_seconds=OLD_SECONDS + 60)
    write(store.root / ".later.17.tmp", age_seconds=-OLD_SECONDS)  # a clock that jumped
    expected = {f"runs/{folder.name}/.checkpoint.pt.17.tmp", "throughput/m/.b.json.17.tmp", ".slbench-17"}
    expected.add("studies/.ruled.json.17.tmp")
    assert set(removable(store)) == expected


@pytest.mark.parametrize("content", [None, b"", b"[1]", b"{}", b"\xff"])
def test_a_folder_without_a_run_is_removed(store: Store, content: bytes | None) -> None:
    folder = store.root / "runs" / f"x-{'0' * 12}"
    folder.mkdir()
    if content is not None:
        write(folder / "spec.json", content=content)
    assert removable(store) == {f"runs/{folder.name}": "no run"}
    remove(store, find_removable(store))
    assert not folder.exists()
    assert removable(store) == {}


def test_a_folder_with_a_damaged_spec_is_kept_while_it_has_a_checkpoint(store: Store) -> None:
    folder = store.folder(LSA.spec, LSA.labels)
    write(folder / "spec.json", content=b"{")
    assert removable(store) == {}
    (folder / "checkpoint.pt").unlink()
    assert removable(store) == {f"runs/{folder.name}": "no run"}


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\x00", b"{}"])
@pytest.mark.parametrize("unfinished", [False, True])
def test_a_record_is_never_removed_even_if_damaged(store: Store, content: bytes, unfinished: bool) -> None:
    folder = store.folder(NONE.spec, NONE.labels)
    write(folder / "record.json", content=content)
    (folder / "spec.json").unlink()
    remove(store, find_removable(store, unfinished=unfinished))
    assert (folder / "record.json").read_bytes() == content


def test_unfinished_runs_are_removed_on_request(store: Store) -> None:
    folder = store.folder(LSA.spec, LSA.labels)
    assert removable(store, unfinished=True) == {f"runs/{folder.name}": "unfinished run"}
    remove(store, find_removable(store, unfinished=True))
    assert not folder.exists()
    assert store.has_ended(NONE.spec)


def test_files_of_a_claimed_run_are_not_removed(store: Store) -> None:
    folder = store.folder(LSA.spec, LSA.labels)
    write(folder / ".checkpoint.pt.17.tmp")
    before = find_removable(store, unfinished=True)
    claim = Store(store.root).claims.acquire(LSA.spec.run_id)
    assert claim is not None
    assert removable(store, unfinished=True) == {}
    assert remove(store, before) == []  # it was claimed between the list and the removal
    assert (folder / ".checkpoint.pt.17.tmp").exists()


def test_released_claims_are_removed(store: Store) -> None:
    claim = store.claims.acquire(LSA.spec.run_id)
    assert claim is not None
    assert removable(store) == {}
    claim.release(done=False)
    assert removable(store) == {f"claims/{LSA.spec.run_id}": "claim"}
    remove(store, find_removable(store))
    assert list((store.root / "claims").iterdir()) == []


def test_an_import_of_a_machine_whose_clock_is_behind_is_removed_once_it_is_silent(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(store.root / ".import-7" / "runs" / "x")
    owner = Owner(token="t", hostname="far", boot="another", processes=((1, "1"),))
    claim = store.root / "claims" / ".import-7" / "1.json"
    claim.parent.mkdir(parents=True)
    claim.write_text(owner.model_dump_json())
    os.utime(claim, (time.time() - 600, time.time() - 600))
    assert removable(store)[".import-7"] == "import"
    monkeypatch.setattr(time, "sleep", lambda _: os.utime(claim, (time.time() - 590, time.time() - 590)))
    assert not [item for item in remove(store, find_removable(store)) if item.kind in ("import", "claim")]
    assert (store.root / ".import-7" / "runs" / "x").exists()
    monkeypatch.setattr(time, "sleep", lambda _: None)
    monkeypatch.setattr(claims, "STALE_SECONDS", 0.0)
    later = Store(store.root)
    assert {item.kind for item in remove(later, find_removable(later))} == {"import", "claim"}, "it has died"
    assert not (store.root / ".import-7").exists() and not claim.exists()


def test_links_are_not_removed(store: Store, tmp_path: Path) -> None:
    write(tmp_path / "elsewhere" / "data")
    (store.root / "runs" / "linked-run").symlink_to(tmp_path / "elsewhere")
    (store.root / ".import-linked").symlink_to(tmp_path / "elsewhere")
    assert removable(store, unfinished=True).keys() == {f"runs/{store.folder(LSA.spec, LSA.labels).name}"}


def test_a_file_that_cannot_be_removed_is_one_line(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    write(store.folder(NONE.spec, NONE.labels) / "checkpoint.pt")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)
    with pytest.raises(StoreError, match=naming("checkpoint.pt", "Permission")):
        remove(store, find_removable(store))


@pytest.mark.parametrize("name", ["x-..", "x-", "x-.", "-", "..-.."])
def test_removing_a_folder_with_an_unusual_name_removes_nothing_else(tmp_path: Path, name: str) -> None:
    store = Store(tmp_path / "store")
    folder = finish(store, RUNS[0])
    claim = store.claims.acquire("0123456789ab")
    assert claim is not None
    (store.root / "runs" / name).mkdir()
    removed = remove(store, find_removable(store))
    assert [item.path for item in removed] == [store.root / "runs" / name]
    assert (folder / "record.json").exists()
    assert claim.heartbeat()


def test_on_a_full_disk_leftovers_are_removed_without_claims(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    write(store.folder(NONE.spec, NONE.labels) / "checkpoint.pt")
    claim = store.claims.acquire("0123456789ab")
    assert claim is not None
    claim.release(done=False)
    before = find_removable(store, unfinished=True)
    assert {item.kind for item in before} == {"checkpoint", "claim", "unfinished run"}

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", refuse)
    assert remove(store, before) == before
    assert removable(store, unfinished=True) == {}
    assert store.has_ended(NONE.spec)


def test_on_a_full_disk_files_of_a_claimed_run_are_not_removed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    before = find_removable(store, unfinished=True)
    assert Store(store.root).claims.acquire(LSA.spec.run_id) is not None

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", refuse)
    assert remove(store, before) == []
    assert (store.folder(LSA.spec, LSA.labels) / "checkpoint.pt").exists()


def test_a_folder_among_the_claims_that_is_none_is_removed_and_a_link_is_not(store: Store, tmp_path: Path) -> None:
    write(tmp_path / "elsewhere" / "data")
    (store.root / "claims" / "-x").mkdir(parents=True)
    (store.root / "claims" / "0123456789ab").symlink_to(tmp_path / "elsewhere")
    assert removable(store) == {"claims/-x": "claim"}
    remove(store, find_removable(store))
    assert files(tmp_path / "elsewhere") == {"data": b"1234567"}
    assert [path.name for path in (store.root / "claims").iterdir()] == ["0123456789ab"]
