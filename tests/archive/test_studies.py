"""Files of studies travel with their runs."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from slbench.archive.export import export
from slbench.archive.import_archive import import_archive
from slbench.errors import InputError
from slbench.grid.adaptive_seeds import write_study_file
from slbench.store import Store
from slbench.study import Study
from slbench.study_files import StoredStudy, design_of_runs, path_of, studies_of
from tests.archive.conftest import files, finish
from tests.archive.test_archive import relist, rewrite
from tests.support import TINY, naming, study

NAME = "studies/ad-hoc.json"
ACCURACIES = {"none": (80.0, 80.5), "lsa": (90.0, 90.51)}


def ruled(**content: Any) -> Study:
    """Return a study with a seed rule."""
    seeds = {"min": 2, "max": 4, "until": "decided"}
    grid = {"backbone": [TINY], "method": ["none", "lsa"]}
    return dataclasses.replace(study({"seeds": seeds, "grid": grid, **content}), name="ad-hoc")


def store_of(root: Path, asked: Study, *, finished: bool = True) -> Store:
    """Return a store with the file of a study and, if `finished`, its runs."""
    store = Store(root)
    for run in asked.runs if finished else ():
        finish(store, run, final_test_top1=ACCURACIES[run.labels.method][run.spec.seed])
    write_study_file(asked, store)
    return store


def one_study(store: Store) -> StoredStudy:
    (found,), unreadable = studies_of(store)
    assert unreadable == []
    return found


@pytest.fixture
def there(tmp_path: Path) -> Store:
    return store_of(tmp_path / "there", ruled())


@pytest.fixture
def archive(there: Store, tmp_path: Path) -> Path:
    export(there, None, tmp_path / "x.tar")
    return tmp_path / "x.tar"


def test_an_imported_store_knows_the_seed_rule_of_its_runs(there: Store, archive: Path, tmp_path: Path) -> None:
    here = Store(tmp_path / "here")
    assert import_archive(archive, here).studies == 1
    assert files(here.root) == files(there.root)
    design = design_of_runs([one_study(here)], list(here.ids()))
    assert design is not None and design.interval_level > 0.95
    assert import_archive(archive, here).studies == 0


def test_only_studies_of_exported_runs_are_exported(there: Store, tmp_path: Path) -> None:
    write_study_file(dataclasses.replace(study({"grid": {"backbone": ["vit"]}}), name="another"), there)
    manifest = export(there, None, tmp_path / "x.tar")
    assert [file.name for file in manifest.files if file.name.startswith("studies/")] == [NAME]


def test_of_two_files_of_a_study_the_further_analyses_are_kept_and_the_runs_of_both(
    archive: Path, tmp_path: Path
) -> None:
    part = ruled(grid={"backbone": [TINY], "method": ["none", "lsa", "spt"]})
    here = store_of(tmp_path / "here", part, finished=False)
    assert {look.n for look in one_study(here).looks} == {0}
    assert import_archive(archive, here).studies == 1
    found = one_study(here)
    assert {look.contrast: look.n for look in found.looks} == {"lsa against none": 2, "spt against none": 0}
    assert set(found.runs) >= {run.spec.run_id for run in (*ruled().runs, *part.runs)}


def test_a_study_that_asks_something_else_under_the_same_name_is_kept_beside(archive: Path, tmp_path: Path) -> None:
    here = store_of(tmp_path / "here", ruled(statistics={"margin": 1.5}), finished=False)
    before = path_of(here, "ad-hoc").read_bytes()
    assert [import_archive(archive, here).studies for _ in range(2)] == [1, 0]
    assert path_of(here, "ad-hoc").read_bytes() == before
    assert sorted(found.statistics.margin for found in studies_of(here)[0]) == [0.5, 1.5]
    export(here, None, tmp_path / "y.tar")
    import_archive(tmp_path / "y.tar", Store(tmp_path / "third"))
    assert files(tmp_path / "third" / "studies") == files(here.root / "studies")


def without_runs(content: bytes) -> bytes:
    return json.dumps({**json.loads(content), "runs": []}).encode()


@pytest.mark.parametrize(
    ("change", "name", "words"),
    [
        (lambda _: b"{", NAME, ("damaged",)),
        (lambda _: b"[" * 100_000, NAME, ("damaged",)),
        (without_runs, NAME, ("names no run",)),
        (lambda content: content, "studies/other.json", ("match",)),
        (lambda content: content, "studies/deeper/x.json", ("refused",)),
        (lambda content: content, "studies/x.py", ("refused",)),
    ],
)
def test_a_damaged_study_is_refused_and_the_store_unchanged(
    archive: Path, tmp_path: Path, change: Any, name: str, words: tuple[str, ...]
) -> None:
    rewrite(archive, lambda manifest, content: relist(manifest, content, NAME, change(content[NAME]), name))
    with pytest.raises(InputError, match=naming(name, *words)):
        import_archive(archive, Store(tmp_path / "here"))
    assert not (tmp_path / "here").exists()
