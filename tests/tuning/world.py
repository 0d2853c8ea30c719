"""A world in which runs need no training: their accuracies follow from setting, seed and epoch."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import optuna

from slbench.store import Pruned
from slbench.study import StudyRun
from slbench.tuning.search import Plan, Row, Search, Told
from slbench.tuning.searchfile import space_of
from slbench.tuning.space import SHIFT, TEMPERATURE
from slbench.tuning.strategy import PrunerName, SamplerName
from slbench.tuning.subject import Subject

Curve = Callable[[StudyRun], tuple[float, ...]]
SMALL = {
    "recipe.epochs": 4,
    "backbone.patch_size": 8,
    "backbone.dim": 8,
    "backbone.depth": 1,
    "backbone.num_heads": 1,
}


def subject(method: str = "both", **changes: object) -> Subject:
    return Subject("vit", "fashion-mnist-12k", method, changes={**SMALL, **changes})


def plan(
    *,
    trials: int = 8,
    seeds: int = 2,
    sampler: SamplerName = "random",
    pruner: PrunerName = "none",
    parallel: bool = False,
) -> Plan:
    return Plan(name="made", trials=trials, seeds=seeds, sampler=sampler, pruner=pruner, parallel=parallel)


def curve_of(run: StudyRun) -> tuple[float, ...]:
    """Best at temperature 0.5 and a shift of 3 px; rising by epoch; seeds differ by a point."""
    method = run.spec.method
    pixels = 4 if method.shift_pixels is None else method.shift_pixels
    top = 80 - 4 * abs(method.initial_temperature - 0.5) - abs(pixels - 3) + run.spec.seed
    return tuple(top - 20 / epoch for epoch in range(1, run.spec.recipe.epochs + 1))


@dataclass
class World:
    """An executor that needs no time: each slot does an epoch of its run in turn."""

    curve: Curve = curve_of
    slots: int = 1
    steps: int | None = None  # epochs until somebody pulls the plug
    done: dict[str, int] = field(default_factory=dict)  # epochs, by run id
    started: list[StudyRun] = field(default_factory=list)
    pruned: dict[str, Pruned] = field(default_factory=dict)
    told: list[Told] = field(default_factory=list)
    epochs: int = 0

    def row(self, study: optuna.Study, method: str = "both", *, plan: Plan = plan()) -> Row:  # noqa: B008  (frozen)
        who = subject(method)
        return Row(who, space_of(who), study, plan=plan)

    def search(self, rows: Sequence[Row]) -> bool:
        """Run the search; False if the plug was pulled."""
        at_work: list[StudyRun] = []

        def seen(run: StudyRun) -> tuple[float, ...]:
            return self.curve(run)[: self.done.get(run.spec.run_id, 0)]

        def stop(run: StudyRun, pruned: Pruned) -> None:
            self.pruned[run.spec.run_id] = pruned

        search = Search(rows, curve=seen, stop=stop, tell=self.told.append)
        while True:
            while len(at_work) < self.slots and (run := search.next()) is not None:
                self.started.append(run)
                at_work.append(run)
            if not at_work:
                return True
            run = at_work.pop(0)
            run_id = run.spec.run_id
            if self.done.get(run_id, 0) < run.spec.recipe.epochs:
                if self.epochs == self.steps:
                    return False
                self.epochs += 1
                self.done[run_id] = self.done.get(run_id, 0) + 1
            if self.done[run_id] == run.spec.recipe.epochs:
                search.ended(run_id)
                continue
            search.moved(run_id)
            if run_id not in self.pruned:
                at_work.append(run)


def new_study() -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return optuna.create_study(direction="maximize", study_name="made-both")


def states(study: optuna.Study) -> list[tuple[str, Mapping[str, object], float | None]]:
    """What a study holds of each trial."""
    return [(trial.state.name, trial.user_attrs.get("setting", {}), trial.value) for trial in study.get_trials()]


PAPER = {TEMPERATURE: 1.0, SHIFT: 4}
