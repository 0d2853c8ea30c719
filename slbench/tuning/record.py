"""Stored record of a search, `search.json`. All accuracies but those of `Comparison` are on validation images."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from slbench.errors import StoreError
from slbench.files import dump_json, read_regular, write_atomic
from slbench.record import first_wrong
from slbench.spec import Protocol
from slbench.stats.intervals import LEVEL
from slbench.stats.verdict import Verdict
from slbench.store import Store
from slbench.tuning.search import State

FILE = "search.json"
Value = bool | int | float | str


class StoredModel(BaseModel):
    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")


class TrialRecord(StoredModel):
    """Setting of a trial and validation accuracies of its runs in %."""

    number: int
    state: State
    is_baseline: bool  # default setting: the paper's, unless changed by the user
    setting: dict[str, Value]
    value: float | None  # mean over seeds of the last epoch; None unless complete
    last_value: float | None  # last reported value of an incomplete trial
    by_seed: tuple[float, ...]  # last epoch of each finished seed
    curve: tuple[float, ...]  # first seed, by epoch
    epochs: int  # trained, over all seeds
    images: int  # training images, counted per use
    run_ids: tuple[str, ...]
    note: str = ""  # reason of a failure


class Comparison(StoredModel):
    """Test accuracies in % of winner and default setting, both retrained; of one setting if the default has won."""

    protocol: Protocol
    seeds: tuple[int, ...]
    tuned: tuple[float, ...]  # test top-1 of the last epoch, by seed
    own: tuple[float, ...]
    difference: float | None  # mean of tuned - own over seeds; None if the default has won
    low: float | None  # bounds of the interval; None for one seed or without spread
    high: float | None
    verdict: Verdict
    words: str
    run_ids: tuple[str, ...]


class MethodComparison(StoredModel):
    """Test accuracy of a method's winner less that of another method's winner, over the fresh seeds."""

    method: str
    reference: str
    difference: float | None  # mean over the seeds, in points; None without a common seed
    low: float | None  # bounds of the interval; None for one seed or without spread
    high: float | None
    verdict: Verdict
    words: str


class MethodRecord(StoredModel):
    """Search of one method."""

    method: str
    title: str  # the paper's name
    space: tuple[str, ...]  # one line per parameter
    parameters: tuple[str, ...]  # dotted paths
    log: tuple[str, ...]  # paths on a logarithmic scale
    trials: tuple[TrialRecord, ...]
    importance: dict[str, float] | None  # by parameter; None with too few trials
    winner: int | None  # number of the chosen trial
    comparison: Comparison | None

    def trial(self, number: int | None) -> TrialRecord | None:
        return next((trial for trial in self.trials if trial.number == number), None)

    @property
    def baseline(self) -> TrialRecord | None:
        """Return the trial of the default setting."""
        return next((trial for trial in self.trials if trial.is_baseline), None)

    @property
    def complete(self) -> tuple[TrialRecord, ...]:
        return tuple(trial for trial in self.trials if trial.state == "complete")


class SearchRecord(StoredModel):
    """A search, finished or not."""

    name: str
    command: str
    backbone: str  # title in tables
    dataset: str
    seeds: int  # per trial
    epochs: int  # per run
    images_per_epoch: int
    validation_images: int
    test_images: int
    trials: int  # requested per method
    sampler: str
    pruner: str
    sampler_seed: int
    study_names: dict[str, str]  # in Optuna's storage, by method
    storage: str  # without a password
    made_with: tuple[str, ...]  # devices, versions, commits
    notes: tuple[str, ...]
    rows: tuple[MethodRecord, ...]
    fresh_seeds: tuple[int, ...] = ()  # of the comparisons
    between: tuple[MethodComparison, ...] = ()  # winners of different methods
    level: float = LEVEL  # of each interval; those of the comparisons hold jointly at 95 %

    @property
    def run_ids(self) -> set[str]:
        """Ids of the runs of all trials and of the final comparison."""
        trials = {run_id for row in self.rows for trial in row.trials for run_id in trial.run_ids}
        return trials | {run_id for row in self.rows if row.comparison for run_id in row.comparison.run_ids}

    @property
    def is_over(self) -> bool:
        return all(not any(trial.state == "running" for trial in row.trials) and row.trials for row in self.rows)


def folder_of(store: Store, name: str) -> Path:
    return store.root / "tuning" / name


def save(record: SearchRecord, folder: Path) -> None:
    write_atomic(folder / FILE, dump_json(record.model_dump(mode="json")))


def load(folder: Path) -> SearchRecord:
    """Load the record of a search. Raises StoreError with the file and its first error."""
    path = folder / FILE
    try:
        return SearchRecord.model_validate_json(read_regular(path))
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise StoreError(f"{path}: damaged or of another version: {first_wrong(error)}") from error


def searches(store: Store) -> list[Path]:
    """Return the folders of all searches of a store, by name."""
    return sorted(path.parent for path in (store.root / "tuning").glob(f"*/{FILE}"))


def setting_words(setting: Mapping[str, Value]) -> str:
    """Return text such as "initial_temperature 0.71, shift_pixels 2"."""
    return ", ".join(
        f"{path.partition('.')[2]} {f'{value:g}' if isinstance(value, float) else value}"
        for path, value in setting.items()
    )
