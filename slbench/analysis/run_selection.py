"""Which finished runs an analysis looks into: by id, by folder, or all of a study. Free of torch."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from slbench.backbones import BACKBONES
from slbench.errors import InputError
from slbench.methods import model_title
from slbench.names import suggestion
from slbench.numerics_versions import NUMERICS
from slbench.record import WEIGHTS, RunRecord, read_record
from slbench.spec import network_parts
from slbench.store import Store, state_of
from slbench.study import Study
from slbench.text import distinct, plural

Split = Literal["test", "val", "train"]
SPLITS: dict[str, Split] = {"test": "test", "val": "val", "train": "train"}
WHICH = {"weights.safetensors": "last epoch", "weights-selected.safetensors": "epoch of best validation accuracy"}


@dataclass(frozen=True)
class FinishedRun:
    """A finished run and the folder that holds its weights."""

    record: RunRecord
    folder: Path

    @property
    def row(self) -> str:
        """As tables name it: "SL-ViT"."""
        return model_title(self.record.labels.backbone, self.record.labels.method)

    @property
    def seed(self) -> int:
        return self.record.spec.seed

    @property
    def title(self) -> str:
        """One line for a person: "SL-ViT on cifar100, seed 0 (1a2b3c4d5e6f)"."""
        return f"{self.row} on {self.record.labels.dataset}, seed {self.seed} ({self.record.run_id})"

    @property
    def attends(self) -> bool:
        """Whether its backbone has attention."""
        return BACKBONES[self.record.spec.backbone.name].tokens != "none"

    @property
    def weights(self) -> Path | None:
        """The weights that were kept: those of the last epoch, else of the selected one; None if neither was."""
        files = (self.folder / name for name in WEIGHTS.values())
        return next((file for file in files if file.exists()), None)

    @property
    def epoch(self) -> str:
        """Of which epoch those weights are, in words."""
        selected = f"epoch {self.record.selected_epoch}, selected by validation"
        return selected if self.weights is not None and self.weights.name == WEIGHTS["best"] else "last epoch"

    @property
    def test_top1(self) -> float:
        """Test accuracy in % of the weights that were kept."""
        record, path = self.record, self.weights
        if path is not None and path.name == WEIGHTS["best"] and record.selected_test_top1 is not None:
            return record.selected_test_top1
        return record.final_test_top1

    @property
    def outdated(self) -> str | None:
        """A note if parts of its network have changed their arithmetic since it was trained."""
        spec = self.record.spec
        changed = [
            f"{part} {spec.numerics[part]}, now {NUMERICS[part]}"
            for part in network_parts(spec.backbone, spec.method)
            if part in spec.numerics and spec.numerics[part] != NUMERICS[part]
        ]
        if not changed:
            return None
        return f"{self.title}: trained with other numerics than its network has now ({'; '.join(changed)})"


@dataclass(frozen=True)
class RunSelection:
    """The runs to look into, and what to call them together."""

    name: str  # fit for a folder
    runs: tuple[FinishedRun, ...]
    notes: tuple[str, ...]  # what was left out, and why


@dataclass(frozen=True)
class Requirements:
    """What a run must have to be looked into."""

    attention: bool = True
    weights: bool = True  # those that were kept


def choose(
    store: Store,
    names: Sequence[str],
    *,
    study: Study | None = None,
    seeds: Sequence[int] | None = None,
    needs: Requirements = Requirements(),
) -> RunSelection:
    """Runs by name, then those of a study, in its order; each once.

    Args:
        names: ids, beginnings of ids, or folders of runs.
        seeds: of the study's runs; None for all.
        needs: a run of the study that has not these is left out, and noted.
    Raises:
        InputError: for a name that is no finished run or has not what is needed, or if nothing is left.
    """
    if not names and study is None:
        raise InputError("nothing to look into: name runs by id or folder, or a study with --study FILE")
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
    """What the runs are called together: their study, the only one's folder, or a hash of their ids."""
    if study is not None and not names:
        return study.name
    if len(runs) == 1:
        return runs[0].folder.resolve().name
    ids = " ".join(sorted(run.record.run_id for run in runs))
    return f"{len(runs)}-runs-{hashlib.sha256(ids.encode()).hexdigest()[:8]}"


def named_run(store: Store, name: str, needs: Requirements) -> FinishedRun:
    """A finished run with what is needed by its id, the beginning of it, or its folder."""
    if re.fullmatch(r"[0-9a-f]{1,12}", name):
        folder = store.find(name)[1]
    elif Path(name).is_dir():
        folder = Path(name)
    else:
        raise InputError(
            f"'{name}': is neither a run's folder nor the beginning of a run's id: slbench status --json lists them"
        )
    if not (folder / "record.json").exists():
        if not (folder / "spec.json").exists():
            raise InputError(f"{folder}: is not the folder of a run: it has no spec.json")
        raise InputError(f"{folder}: the run is not finished ({state_of(folder)}): slbench run-grid goes on with it")
    run = FinishedRun(read_record(folder / "record.json"), folder)
    if needs.attention and not run.attends:
        raise InputError(f"{run.title}: has no attention to look into: name runs of ViT, T2T, CaiT, PiT or Swin")
    if needs.weights and run.weights is None:
        raise InputError(no_weights(run))
    return run


def no_weights(run: FinishedRun) -> str:
    kept = f'its study says keep = "{run.record.labels.keep}"' if run.record.labels.keep == "none" else "they are gone"
    return f'{run.title}: its weights were not kept ({kept}): train it again with keep = "last" and another --store'


def study_runs(
    store: Store, study: Study, seeds: Sequence[int] | None, needs: Requirements
) -> tuple[list[FinishedRun], list[str]]:
    """The finished runs of a study that can be looked into, under its names, and what was left out."""
    known = sorted({run.spec.seed for run in study.runs})
    for seed in seeds or ():
        if seed not in known:
            raise InputError(f"--seed {seed}: study {study.name} has the seeds {', '.join(map(str, known))}")
    asked = [run for run in study.runs if seeds is None or run.spec.seed in seeds]
    folders = store.ids()
    labels = {run.spec.run_id: run.labels for run in asked}
    finished = [
        FinishedRun(record.model_copy(update={"labels": labels[record.run_id]}), folders[record.run_id])
        for record in store.records(labels)
    ]
    notes = [] if len(finished) == len(asked) else [f"{len(finished)} of {plural(len(asked), 'run')} are finished."]
    without = [run for run in finished if needs.attention and not run.attends]
    if without:
        notes.append(f"Left out, having no attention: {', '.join(distinct(run.row for run in without))}.")
    left = [run for run in finished if run.attends or not needs.attention]
    usable = [run for run in left if run.weights is not None or not needs.weights]
    if len(usable) < len(left):
        notes.append(f"Left out, their weights not being kept: {plural(len(left) - len(usable), 'run')}.")
    if left and not usable:
        raise InputError(no_weights(left[0]))
    if not usable:
        kind = "run with attention" if needs.attention else "run"
        raise InputError(f"{store.root}: no finished {kind} of {study.name}: start with slbench run-grid")
    return usable, notes


def split_named(name: str) -> Split:
    """The split of this name. Raises InputError for another."""
    if name not in SPLITS:
        raise InputError(f"--split {name}: unknown{suggestion(name, SPLITS)}")
    return SPLITS[name]
