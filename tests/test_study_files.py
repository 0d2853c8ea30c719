"""Files of studies in a store."""

import dataclasses
from pathlib import Path

import pytest

from slbench.grid.adaptive_seeds import SeedRuleState, write_study_file
from slbench.stats.pocock import sequential_level
from slbench.store import Store
from slbench.study import Study, StudyRun
from slbench.study_files import design_of_runs, grid_run_ids, look_at, path_of, studies_of
from tests.support import TINY, make_record, study

RULE = {"min": 2, "max": 4, "until": "decided"}
DECIDED = {"none": (80.0, 80.5), "lsa": (80.5, 80.25), "spt": (90.0, 90.51)}


def ruled(**content: object) -> Study:
    return study({"seeds": RULE, "grid": {"backbone": [TINY], "method": ["none", "lsa", "spt"]}, **content})


def fill(store: Store, run: StudyRun, accuracy: float) -> None:
    store.finish(store.begin(run.spec, run.labels), make_record(run, final_test_top1=accuracy))


def filled(root: Path, adaptive: Study) -> Store:
    """Return a store with the first two seeds of all methods: lsa is undecided, spt is decided."""
    store = Store(root)
    for run in adaptive.runs:
        fill(store, run, DECIDED[run.labels.method][run.spec.seed])
    return store


def test_a_study_file_holds_questions_runs_and_analyses(tmp_path: Path) -> None:
    contrasts = [{"method": "spt", "reference": "lsa"}, {"method": "lsa"}]
    adaptive = ruled(contrast=contrasts, statistics={"margin": 1.5})
    store = filled(tmp_path, adaptive)
    write_study_file(adaptive, store)
    (found,), unreadable = studies_of(store)
    assert unreadable == []
    assert found.contrasts is not None
    assert [(each["method"], each["reference"]) for each in found.contrasts] == [("spt", "lsa"), ("lsa", "none")]
    assert (found.statistics.margin, found.seeds) == (1.5, adaptive.seeds)
    assert {run.spec.run_id for run in adaptive.runs} < set(found.runs)  # and one seed more of none and lsa
    states = {look.contrast: (look.state, look.seeds, look.n, look.verdict) for look in found.looks}
    assert states["lsa against none"] == ("waiting", 3, 2, "undecided")
    assert {look.contrast: tuple(look.runs) for look in found.looks}["spt against lsa"] == ("spt", "lsa")


def test_two_launchers_write_the_same_file_and_only_when_it_changes(tmp_path: Path) -> None:
    adaptive, contents = ruled(), list[bytes]()
    for name in ("one", "two"):
        store = filled(tmp_path / name, adaptive)
        write_study_file(adaptive, store)
        contents.append(path_of(store, adaptive.name).read_bytes())
    assert contents[0] == contents[1]
    before = path_of(store, adaptive.name).stat().st_ino
    write_study_file(adaptive, store)
    assert path_of(store, adaptive.name).stat().st_ino == before


def test_a_study_with_fixed_seeds_has_a_file_without_analyses(tmp_path: Path) -> None:
    fixed, store = study({"grid": {"backbone": [TINY]}}), Store(tmp_path)
    write_study_file(fixed, store)
    (found,), _ = studies_of(store)
    assert (found.seeds, found.looks, found.design) == (None, [], None)
    assert grid_run_ids([found]) == {run.spec.run_id for run in fixed.runs}
    assert design_of_runs([found], found.runs) is None


def test_runs_of_a_rule_have_the_intervals_of_its_analyses(tmp_path: Path) -> None:
    adaptive = ruled()
    store = filled(tmp_path, adaptive)
    write_study_file(adaptive, store)
    studies, _ = studies_of(store)
    design = design_of_runs(studies, [adaptive.runs[0].spec.run_id, "another"])
    assert design is not None
    assert design.interval_level == pytest.approx(1 - sequential_level(2, 4, 1 - 0.95**0.5))
    assert design_of_runs(studies, ["another"]) is None


def test_the_analysis_of_a_comparison_is_found_by_contrast_and_runs(tmp_path: Path) -> None:
    adaptive = ruled()
    store = filled(tmp_path, adaptive)
    write_study_file(adaptive, store)
    studies, _ = studies_of(store)
    of_spt = [run.spec.run_id for run in adaptive.runs if run.labels.method != "lsa"]
    found = look_at(studies, "spt against none", of_spt)
    assert found is not None
    look, design = found
    assert (look.state, look.n, look.verdict, design.count) == ("decided", 2, "better", 2)
    assert look.low is not None and look.adjusted is not None and 0 < look.low < look.adjusted
    assert look_at(studies, "lsa against none", of_spt) is None


def test_a_launch_of_a_part_of_a_study_adds_to_its_file(tmp_path: Path) -> None:
    store, whole = Store(tmp_path), ruled()
    part = dataclasses.replace(ruled(grid={"backbone": ["vit"], "method": ["none", "lsa"]}), name=whole.name)
    write_study_file(whole, store)
    write_study_file(part, store)
    (found,), _ = studies_of(store)
    assert set(found.runs) == {run.spec.run_id for run in (*whole.runs, *part.runs)}
    assert len(found.looks) == 3
    write_study_file(dataclasses.replace(whole, contrasts=()), store)
    assert set(studies_of(store)[0][0].runs) == {run.spec.run_id for run in whole.runs}


@pytest.mark.parametrize("content", ["", "{", "[]", '{"name": "ruled"}', '{"name": 3, "runs": "all"}', "\udc80"])
def test_a_damaged_file_is_one_line_and_is_written_again(tmp_path: Path, content: str) -> None:
    adaptive = ruled()
    store = filled(tmp_path, adaptive)
    path = path_of(store, adaptive.name)
    path.parent.mkdir()
    path.write_bytes(content.encode(errors="surrogateescape"))
    found, (line,) = studies_of(store)
    assert found == [] and line.startswith(f"{path}: ") and "\n" not in line
    write_study_file(adaptive, store)
    assert studies_of(store)[1] == []


def test_a_store_without_study_files_has_none(tmp_path: Path) -> None:
    assert studies_of(Store(tmp_path / "nowhere")) == ([], [])


def test_trends_and_means_over_backbones_count_in_the_family_of_a_seed_rule(tmp_path: Path) -> None:
    wide = {**TINY, "dim": 16, "label": "Wide"}
    questions = [{"method": "lsa"}, {"method": "lsa", "trend": "method.initial_temperature"}]
    grid = {"backbone": [TINY, wide], "method": ["none", "lsa"], "method.initial_temperature": [0.5, 1.0]}
    adaptive = ruled(grid=grid, contrast=[*questions, {"method": "lsa", "over": "backbones"}])
    store = Store(tmp_path)
    write_study_file(adaptive, store)
    (found,), _ = studies_of(store)
    assert found.design is not None
    kinds = [any(word in each for each in found.beside) for word in ("trend of lsa", "2 backbones on")]
    assert (len(found.looks), len(found.beside), kinds) == (4, 4, [True, True])
    assert SeedRuleState(adaptive).design == found.design
    assert found.design.count == 8
    assert found.design.interval_level == pytest.approx(1 - sequential_level(2, 4, 1 - 0.95 ** (1 / 8)))
