"""Selection of runs for an analysis, and one-line errors."""

import dataclasses
from pathlib import Path

import pytest

from slbench.analysis.run_selection import FinishedRun, Requirements, select_runs, split_named
from slbench.backbones.specs import ViTSpec
from slbench.errors import InputError
from slbench.record import Failure
from slbench.store import Store
from slbench.study import Study
from tests.analysis.made import SMALL, birds, finish, study_of
from tests.support import missing, naming


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return study_of(birds(tmp_path), seeds=2)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


def test_a_run_is_selected_once_by_id_prefix_or_folder(study: Study, store: Store) -> None:
    run_ = finish(store, study.runs[0])
    run_id = run_.record.run_id
    selection = select_runs(store, [run_id, run_id[:7], str(run_.folder)])
    assert selection.runs == (run_,)
    assert (selection.name, selection.notes) == (run_.folder.name, ())
    assert not missing(run_.title, "ViT-x", "seed 0", run_id)


def test_a_study_selects_its_finished_runs_and_notes_the_others(study: Study, store: Store) -> None:
    run_ = [finish(store, run) for run in study.runs[:3]]
    selection = select_runs(store, [], study=study)
    assert [run.record.run_id for run in selection.runs] == [run.record.run_id for run in run_]
    (note,) = selection.notes
    assert selection.name == "birds" and not missing(note, "3 of 4 runs")
    assert [run.seed for run in select_runs(store, [], study=study, seeds=[1]).runs] == [1]
    with pytest.raises(InputError, match=naming("--seed", "2", "birds", "0, 1")):
        select_runs(store, [], study=study, seeds=[2])


def test_several_runs_have_a_name_that_does_not_depend_on_their_order(study: Study, store: Store) -> None:
    ids = [finish(store, run).record.run_id for run in study.runs[:2]]
    names = {select_runs(store, order).name for order in (ids, ids[::-1])}
    assert len(names) == 1
    assert names.pop().startswith("2-runs-")


def test_networks_without_attention_are_left_out_of_a_study_and_refused_by_name(tmp_path: Path, store: Store) -> None:
    mixed = study_of(birds(tmp_path), grid={"backbone": [SMALL["resnet56"], SMALL["vit"]], "method": ["none"]})
    plain, vit = (finish(store, run) for run in mixed.runs)
    selection = select_runs(store, [], study=mixed)
    assert selection.runs == (vit,)
    (note,) = selection.notes
    assert not missing(note, "attention", "ResNet-x")
    with pytest.raises(InputError, match=naming("resnet56", "no attention", "ViT", "T2T", "CaiT", "PiT", "Swin")):
        select_runs(store, [plain.record.run_id])
    alone = study_of(birds(tmp_path), grid={"backbone": [SMALL["resnet56"]], "method": ["none"]})
    with pytest.raises(InputError, match=naming("birds", "resnet56", "no attention", "ViT")):
        select_runs(store, [], study=alone)


def test_weights_of_the_selected_epoch_are_used_if_no_others_were_kept(study: Study, store: Store) -> None:
    run_ = finish(store, study.runs[0], keep="best")
    assert run_.weights is not None
    assert run_.weights.name == "weights-selected.safetensors"
    assert run_.test_top1 == run_.record.selected_test_top1 == 81
    assert finish(store, study.runs[1]).test_top1 == 80  # of the last epoch


def test_runs_without_kept_weights_are_refused_or_noted(study: Study, store: Store) -> None:
    run_ = finish(store, study.runs[0], keep="none")
    with pytest.raises(InputError, match=naming("weights", "keep", "none")):
        select_runs(store, [run_.record.run_id])
    with pytest.raises(InputError, match=naming("weights")):
        select_runs(store, [], study=study)
    finish(store, study.runs[1])
    assert not missing(" ".join(select_runs(store, [], study=study).notes), "weights", "1 run")
    gone = finish(store, study.runs[2])
    assert gone.weights is not None
    gone.weights.unlink()
    with pytest.raises(InputError, match=naming("weights")):
        select_runs(store, [gone.record.run_id])


def test_other_than_finished_runs_are_refused_in_one_line(study: Study, store: Store, tmp_path: Path) -> None:
    run = study.runs[0]
    folder = store.begin(run.spec, run.labels)
    store.fail(run.spec, run.labels, Failure(kind="killed", reason="killed by SIGKILL"))
    for name, words in {
        run.spec.run_id: ("not finished", "failed", "slbench run-grid"),
        str(folder): ("not finished", "failed"),
        "0123456789ab": ("no run id", "0123456789ab", "slbench status"),
        "zebra": ("no run id", "zebra", "slbench status"),
        str(tmp_path): ("not a run folder", "spec.json"),
    }.items():
        with pytest.raises(InputError) as error:
            select_runs(store, [name])
        assert not missing(str(error.value), *words)
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match=naming("attention", "birds")):
        select_runs(store, [], study=study)
    with pytest.raises(InputError, match=naming("study")):
        select_runs(store, [])


def test_a_network_of_other_numerics_is_noted(study: Study, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    run_ = finish(store, study.runs[0])
    assert run_.outdated is None
    monkeypatch.setattr(ViTSpec, "numerics_version", 7)
    (note,) = select_runs(store, [run_.record.run_id]).notes
    assert not missing(note, run_.title, "1", "7")
    other = dataclasses.replace(run_, record=run_.record.model_copy())
    assert isinstance(other, FinishedRun) and other.outdated == note


def test_an_unknown_split_is_refused() -> None:
    assert split_named("val") == "val"
    with pytest.raises(InputError, match=naming("--split", "tset", "test", "val", "train")):
        split_named("tset")


def test_an_analysis_that_needs_neither_attention_nor_weights_takes_runs_without(tmp_path: Path, store: Store) -> None:
    mixed = study_of(birds(tmp_path), grid={"backbone": [SMALL["resnet56"], SMALL["vit"]], "method": ["none"]})
    run_ = [finish(store, run, keep="none") for run in mixed.runs]
    selection = select_runs(store, [], study=mixed, needs=Requirements(attention=False, weights=False))
    assert [run.folder for run in selection.runs] == [run.folder for run in run_]
    assert selection.notes == ()
    with pytest.raises(InputError, match=naming("weights")):
        select_runs(store, [run_[0].record.run_id], needs=Requirements(attention=False))
