"""Records are checked for sense, against each other's numbers, the spec and the files of the run."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import slbench
from slbench.archive.export import export
from slbench.archive.import_archive import import_archive
from slbench.errors import InputError, StoreError
from slbench.grid.status import GridStatus
from slbench.report.inputs import gather_store
from slbench.run_paths import RunPaths
from slbench.store import Store, read_ended
from slbench.store_check import store_problems
from slbench.study import StudyRun
from tests.archive.conftest import files, finish
from tests.kills import killed_folders
from tests.support import ROOT, make_record, missing, runs, store_history

IMPOSSIBLE: list[tuple[str, Any]] = [
    ("final_test_top1", "NaN"), ("final_test_top1", "Infinity"), ("final_test_top1", 101.0), ("final_test_top1", -5.0),
    ("final_test_top1", "text"), ("final_test_top1", True), ("final_test_top1", 10**400), ("final_test_top1", 99.9),
    ("final_test_top5", 3.0), ("final_test_loss", "NaN"), ("final_test_loss", -1.0), ("final_train_loss", "Infinity"),
    ("final_val_top1", None), ("selected_epoch", 0), ("selected_epoch", 99), ("selected_test_top1", 99.0),
    ("best_test_epoch", 99), ("steps", -1), ("steps", 17), ("steps", "18"), ("samples_seen", 1), ("macs", -5),
    ("params", 0), ("macs", 10**40), ("train_images_per_second", "NaN"), ("seconds", -1.0), ("threads", 0),
    ("history", "../../../etc/passwd"), ("weights_sha256", "zz"), ("data_sha256", ""), ("run_id", "0" * 12),
    ("uncounted_operators", {"add": -1}),
]  # fmt: skip


@pytest.fixture
def run() -> StudyRun:
    return runs(set={"recipe.epochs": 7})[0]


@pytest.fixture
def store(run: StudyRun, tmp_path: Path) -> Store:
    store = Store(tmp_path / "store")
    finish(store, run)
    return store


def folder_of(store: Store) -> Path:
    (folder,) = store.ids().values()
    return folder


def change(path: Path, key: str, value: object) -> None:
    """Set a key of a JSON file; "NaN" and "Infinity" become these numbers, "text" a number in quotes."""
    content = json.loads(path.read_text()) | {key: "?"}
    text = value if value in ("NaN", "Infinity") else '"99"' if value == "text" else json.dumps(value)
    path.write_text(json.dumps(content).replace('"?"', str(text)))


@pytest.mark.parametrize(("key", "value"), IMPOSSIBLE)
def test_an_impossible_record_is_refused_wherever_it_is_read(store: Store, run: StudyRun, key: str, value: Any) -> None:
    path = RunPaths(folder_of(store)).record
    change(path, key, value)
    with pytest.raises(StoreError) as refused:
        read_ended(path.parent)
    assert not missing(str(refused.value), path, key) and "\n" not in str(refused.value)
    inputs = gather_store(store)
    assert (inputs.records, inputs.unread) == ((), (str(refused.value),))
    status = GridStatus.of([run], store)
    assert (status.states, status.damaged) == ({run.spec.run_id: "damaged"}, {run.spec.run_id: str(refused.value)})
    assert next(store_problems(store)) == str(refused.value)


def test_records_of_earlier_versions_make_sense() -> None:
    store = Store(ROOT / "tests/golden_store/store")
    assert sum(read_ended(folder) is not None for folder in store.ids().values()) == 17


def rewrite(old: str, new: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(path.read_text().replace(old, new, 1))


def link_to_nothing(path: Path) -> None:
    path.unlink()
    path.symlink_to("none")


@pytest.mark.parametrize(
    ("name", "damage", "words"),
    [
        ("metrics.csv", rewrite("80.0", "81.5"), ("final_test_top1", "81.5", "80.0")),
        ("metrics.csv", rewrite("\n7,", "\n8,"), ("epochs",)),
        ("metrics.csv", rewrite("epoch,", "epochs,"), ("columns",)),
        ("metrics.csv", rewrite("0.625", "x"), ("row 1",)),
        ("metrics.csv", lambda path: path.write_text(""), ("columns",)),
        ("metrics.csv", lambda path: path.write_bytes(b"\xff\x00"), ("damaged",)),
        ("spec.json", rewrite('"seed": 0', '"seed": 1'), ("run_id", "contradicts")),
        ("spec.json", lambda path: path.write_text("{"), ("damaged",)),
        ("spec.json", link_to_nothing, ("link to nothing",)),
        ("metrics.csv", link_to_nothing, ("link to nothing",)),
    ],
)
def test_files_that_contradict_a_record_are_named(
    store: Store, name: str, damage: Callable[[Path], object], words: tuple[str, ...]
) -> None:
    path = folder_of(store) / name
    damage(path)
    with pytest.raises(StoreError) as refused:
        read_ended(path.parent)
    assert not missing(str(refused.value), path, *words) and "\n" not in str(refused.value)
    with pytest.warns(UserWarning, match=name):
        assert not len(slbench.load_runs(store.root))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("spec.json", None), ("spec.json", b"[]"), ("metrics.csv", None), ("metrics.csv", b"x"),
        ("evil.py", b""), ("checkpoint.pt", b""), ("failure.json", b"{}"), ("pruned.json", b"{}"),
        ("diverged.json", b"{}"), ("test_logits.safetensors", b"garbage"),
        ("test_logits.safetensors", (2**62).to_bytes(8, "little") + b"{}"),
    ],
)  # fmt: skip
def test_an_archive_with_a_run_that_is_not_as_its_record_says_is_refused_whole(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes | None
) -> None:
    path = folder_of(store) / name
    archive = tmp_path / "runs.tar"
    with monkeypatch.context() as patched:  # an archive of another author, whose checksums agree
        record = read_ended(path.parent)
        patched.setattr("slbench.archive.export.ARCHIVED", [name, *(each.name for each in path.parent.iterdir())])
        patched.setattr("slbench.archive.export.read_ended", lambda folder: record)
        patched.setattr("slbench.archive.export.check_complete", lambda folder, outcome: None)
        path.unlink() if content is None else path.write_bytes(content)
        export(store, None, archive)
    there = Store(tmp_path / "there")
    with pytest.raises(InputError) as refused:
        import_archive(archive, there)
    assert not missing(str(refused.value), archive, name) and "\n" not in str(refused.value)
    assert not there.root.exists()


def test_what_a_process_leaves_that_was_killed_while_it_finished_a_run_is_no_problem(
    tmp_path: Path, run: StudyRun
) -> None:
    """The cure that a store check prints, to delete the folder of the run, would lose a finished run."""
    record, ended = make_record(run), 0

    def prepare(root: Path) -> None:
        store_history(Store(root).begin(run.spec, run.labels), record)

    def end(root: Path) -> None:
        Store(root).finish(Store(root).folder(run.spec, run.labels), record)

    for root in killed_folders(tmp_path, end, prepare=prepare):
        assert list(store_problems(Store(root))) == []
        ended += Store(root).record(run.spec.run_id) == record
    assert ended > 1


def test_a_store_check_names_everything_that_is_wrong(store: Store) -> None:
    assert list(store_problems(store)) == []
    folder = folder_of(store)
    (folder / "evil.py").touch()
    (folder / "weights.safetensors").write_bytes(b"others")
    (folder / "test_logits.safetensors").write_bytes(b"others")
    (store.root / "studies").mkdir()
    (store.root / "studies" / "s.json").write_text("{")
    (store.root / "tuning" / "t").mkdir(parents=True)
    (store.root / "tuning" / "t" / "search.json").write_text("{")
    (store.root / "throughput" / "m").mkdir(parents=True)
    (store.root / "throughput" / "m" / "k.json").write_text("{")
    before, lines = files(store.root), list(store_problems(store))
    names = ["evil.py", "weights.safetensors", "test_logits.safetensors", "s.json", "search.json", "k.json"]
    assert [next(name for name in names if name in line) for line in lines] == names
    assert files(store.root) == before
