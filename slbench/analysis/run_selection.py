"""Select finished runs for an analysis by id, folder or study. Free of torch."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from slbench.backbones import BACKBONES, backbone_entry
from slbench.data.config import DataConfig
from slbench.errors import InputError
from slbench.methods import model_title
from slbench.names import lookup
from slbench.record import WEIGHTS, RunRecord, read_record
from slbench.run_paths import RunPaths
from slbench.spec import RunSpec, network_numerics
from slbench.store import Store, state_of
from slbench.study import Study
from slbench.text import choices, distinct, plural

Split = Literal["test", "val", "train"]
SPLITS: dict[str, Split] = {"test": "test", "val": "val", "train": "train"}
WEIGHTS_EPOCH = {
    RunPaths.weights: "last epoch",
    RunPaths.selected_weights: "epoch of best validation accuracy",
}


@dataclass(frozen=True)
class FinishedRun:
    """A finished run and its folder."""

    record: RunRecord
    folder: Path

    @property
    def model(self) -> str:
        """Return the model title, such as "SL-ViT"."""
        return model_title(self.record.labels.backbone, self.record.labels.method)

    @property
    def seed(self) -> int:
        return self.record.spec.seed

    @property
    def title(self) -> str:
        """Return a description such as "SL-ViT on cifar100, seed 0 (1a2b3c4d5e6f)"."""
        return f"{self.model} on {self.record.labels.dataset}, seed {self.seed} ({self.record.run_id})"

    @property
    def has_attention(self) -> bool:
        """Return whether the backbone has attention."""
        return has_attention(self.record.spec)

    @property
    def weights(self) -> Path | None:
        """Return the kept weights: of the last epoch, else of the selected one; None if neither."""
        files = (self.folder / name for name in WEIGHTS.values())
        return next((file for file in files if file.exists()), None)

    @property
    def epoch(self) -> str:
        """Return the epoch of the kept weights as text."""
        selected = f"epoch {self.record.selected_epoch}, selected by validation"
        return selected if self.weights is not None and self.weights.name == WEIGHTS["best"] else "last epoch"

    @property
    def test_top1(self) -> float:
        """Return the test accuracy in % of the kept weights."""
        record, path = self.record, self.weights
        if path is not None and path.name == WEIGHTS["best"] and record.selected_test_top1 is not None:
            return record.selected_test_top1
        return record.final_test_top1

    @property
    def outdated(self) -> str | None:
        """Return a note if the numerics of the network have changed since training."""
        spec = self.record.spec
        changed = [
            f"{part} {spec.numerics[part]}, now {version}"
            for part, version in network_numerics(spec.backbone, spec.method).items()
            if spec.numerics.get(part, version) != version
        ]
        if not changed:
            return None
        return f"{self.title}: numerics have changed since training ({'; '.join(changed)})"


@dataclass(frozen=True)
class RunSelection:
    """Selected runs and a common name."""

    name: str  # valid folder name
    runs: tuple[FinishedRun, ...]
    notes: tuple[str, ...]  # runs excluded, with reasons
    data: DataConfig | None = None  # None: as the environment says


@dataclass(frozen=True)
class Requirements:
    """Requirements on the runs of an analysis."""

    attention: bool = True
    weights: bool = True  # kept weights


def select_runs(
    store: Store,
    names: Sequence[str],
    *,
    study: Study | None = None,
    seeds: Sequence[int] | None = None,
    needs: Requirements = Requirements(),
) -> RunSelection:
    """Select runs by name, then those of a study in its order, each once.

    Args:
        names: ids, prefixes of ids, or folders of runs.
        seeds: of the study's runs; None for all.
        needs: runs of the study without these are excluded and noted.
    Raises:
        InputError: for a name that is no finished run or lacks a requirement, or if no run remains.
    """
    if not names and study is None:
        raise InputError("RUN: no runs selected; name runs by id or folder, or a study with --study FILE")
    runs = {run.record.run_id: run for run in (named_run(store, name, needs) for name in names)}
    of_study, notes = ([], []) if study is None else study_runs(store, study, seeds, needs)
    for run in of_study:
        runs.setdefault(run.record.run_id, run)
    if needs.weights:
        notes += outdated(runs.values())
    return RunSelection(name_of(tuple(runs.values()), study, names), tuple(runs.values()), tuple(notes))


def outdated(runs: Iterable[FinishedRun]) -> list[str]:
    return [note for run in runs if (note := run.outdated)]


def name_of(runs: Sequence[FinishedRun], study: Study | None, names: Sequence[str]) -> str:
    """Return a common name: the study, the folder of a single run, or a hash of the ids."""
    if study is not None and not names:
        return study.name
    if len(runs) == 1:
        return runs[0].folder.resolve().name
    ids = " ".join(sorted(run.record.run_id for run in runs))
    return f"{len(runs)}-runs-{hashlib.sha256(ids.encode()).hexdigest()[:8]}"


def named_run(store: Store, name: str, needs: Requirements) -> FinishedRun:
    """Return a finished run by id, prefix of an id, or folder; it must meet the requirements."""
    is_folder = Path(name).is_dir() and re.fullmatch(r"[0-9a-f]{1,12}", name) is None
    folder = Path(name) if is_folder else store.find(name)[1]
    paths = RunPaths(folder)
    if not paths.record.exists():
        if not paths.spec.exists():
            raise InputError(f"{folder}: not a run folder (no {paths.spec.name})")
        raise InputError(f"{folder}: not finished (got {state_of(folder)}); continue it with slbench run-grid")
    run = FinishedRun(read_record(paths.record), folder)
    if needs.attention and not run.has_attention:
        raise InputError(f"{run.title}: {no_attention(run.record.spec)}")
    if needs.weights and run.weights is None:
        raise InputError(no_weights(run))
    return run


def has_attention(spec: RunSpec) -> bool:
    return backbone_entry(spec.backbone.name).tokens != "none"


def no_attention(spec: RunSpec) -> str:
    titles = ", ".join(entry.title for entry in BACKBONES.values() if entry.tokens != "none")
    return f"{spec.backbone.name} has no attention layers; choose runs of {titles}"


def no_weights(run: FinishedRun) -> str:
    keep = run.record.labels.keep
    reason = f'keep = "{keep}" in its study' if keep == "none" else "file is missing"
    return f'{run.title}: weights were not kept ({reason}); train again with keep = "last" and another --store'


def study_runs(
    store: Store, study: Study, seeds: Sequence[int] | None, needs: Requirements
) -> tuple[list[FinishedRun], list[str]]:
    """Return the usable finished runs of a study, with its labels, and notes on excluded runs."""
    known = sorted({run.spec.seed for run in study.runs})
    for seed in seeds or ():
        if seed not in known:
            raise InputError(f"--seed: not in study {study.name} (got {seed}){choices(known)}")
    selected = [run for run in study.runs if seeds is None or run.spec.seed in seeds]
    folders = store.ids()
    labels = {run.spec.run_id: run.labels for run in selected}
    finished = [
        FinishedRun(record.model_copy(update={"labels": labels[record.run_id]}), folders[record.run_id])
        for record in store.records(labels)
    ]
    notes = (
        [] if len(finished) == len(selected) else [f"{len(finished)} of {plural(len(selected), 'run')} are finished."]
    )
    without = [run for run in finished if needs.attention and not run.has_attention]
    if without:
        notes.append(f"Left out (no attention): {', '.join(distinct(run.model for run in without))}.")
    eligible = [run for run in finished if run.has_attention or not needs.attention]
    usable = [run for run in eligible if run.weights is not None or not needs.weights]
    if len(usable) < len(eligible):
        notes.append(f"Left out (weights not kept): {plural(len(eligible) - len(usable), 'run')}.")
    if eligible and not usable:
        raise InputError(no_weights(eligible[0]))
    if needs.attention and not any(has_attention(run.spec) for run in selected):
        raise InputError(f"{study.name}: {no_attention(selected[0].spec)}")
    if not usable:
        kind = "run with attention" if needs.attention else "run"
        raise InputError(f"{store.root}: no finished {kind} of {study.name}; train it with slbench run-grid")
    return usable, notes


def split_named(name: str) -> Split:
    """Return the split with this name. Raises InputError if unknown."""
    return lookup(SPLITS, name, "split", where="--split")
