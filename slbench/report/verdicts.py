"""Verdicts of a report: the contrasts of its runs for one metric, as every table, figure and page shows them."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from slbench.errors import InputError
from slbench.provenance import version_text
from slbench.record import RunRecord
from slbench.report.inputs import ReportInputs
from slbench.report.metrics import value_of
from slbench.stats.contrast import Contrast, default_contrasts
from slbench.stats.contrasts import answers
from slbench.stats.judge import COLUMNS, Result, judge, result_of, why_unanswered
from slbench.stats.moderation import Variance
from slbench.stats.settings import Statistics
from slbench.stats.verdict import SIGNS, Verdict
from slbench.study.planned import planned_frame
from slbench.study_files import design_of_runs, look_at
from slbench.table_spec import METRICS
from slbench.text import distinct

if TYPE_CHECKING:
    import pandas as pd

RULE_METRIC = "final"  # what seed rules decide on
UNKNOWN_RULE = "seed rule unknown"  # mark of results
PLAIN = "none"  # method that gains are differences to
SEED = "seed"
CONDITIONS: dict[str, Callable[[RunRecord], str]] = {  # in which compared runs should agree
    "devices": lambda record: f"{record.device_name} {record.device.partition(':')[0]}",
    "precisions": lambda record: record.precision,
    "compilation": lambda record: "compiled" if record.compiled else "eager",
    "torch versions": lambda record: version_text(record.code, "torch"),
}
DECIDED_BY = {"recipe.precision": "precisions", "recipe.compile": "compilation"}  # conditions that fields ask for


@dataclass(frozen=True)
class Verdicts:
    """Results of a report for one metric, those of the study's questions first."""

    metric: str
    results: tuple[Result, ...]
    variance: str  # of Statistics
    unanswered: tuple[Contrast, ...]  # questions of the study without a common seed yet
    conditions: Mapping[str, Mapping[str, str]]  # of CONDITIONS, SEED and DECIDED_BY (as asked for), by run id
    unknown_rule: frozenset[str] = frozenset()  # runs that a seed rule may have added, whose study is not readable

    @property
    def primary(self) -> list[Result]:
        return [result for result in self.results if result.family == "primary"]

    @property
    def exploratory(self) -> list[Result]:
        return [result for result in self.results if result.family == "exploratory"]

    def gain(self, run_ids: Iterable[str]) -> Result | None:
        """Return the difference of some runs of a method to the plain backbone; None without one."""
        return next((found for run_id in run_ids if (found := self._gains.get(run_id)) is not None), None)

    @property
    def has_exploratory_gain(self) -> bool:
        """Return whether a gain is none of the study's questions."""
        return any(result.family == "exploratory" for result in self._gains.values())

    @cached_property
    def _gains(self) -> dict[str, Result]:
        """The gain of each run's experiment over the plain backbone, by run id."""
        return {
            run_id: result
            for result in self.results
            if (contrast := result.answer.contrast).reference == PLAIN and contrast.column is None
            for run_id in result.answer.run_ids
        }

    def limited_gains(self) -> dict[str, frozenset[str]]:
        """Return the ids of the runs behind gains that `mixed` limits, by its text."""
        found = dict[str, frozenset[str]]()
        for result in self._gains.values():
            if text := self.mixed(result):
                found[text] = found.get(text, frozenset()) | result.answer.run_ids
        return found

    def mixed(self, result: Result) -> str:
        """Return what limits a result: "mixed devices", "seed rule unknown"; empty if nothing does.

        Conditions that are alike within each seed do not touch its differences: "devices differ between seeds". One
        that the contrast is about differs between its sides, and should not differ within either.
        """
        runs = [self.conditions[run_id] for run_id in result.answer.all_ids & self.conditions.keys()]
        field = result.answer.contrast.field or ""
        within, between, equal = list[str](), list[str](), list[str]()
        for noun in CONDITIONS:
            asked = DECIDED_BY.get(field) == noun
            values = defaultdict[str, set[str]](set)
            for run in runs:
                values[run[field if asked else SEED]].add(run[noun])
            differ = len(set().union(*values.values())) > 1
            if any(len(each) > 1 for each in values.values()):
                within.append(noun)
            elif asked and len(values) > 1 and not differ:
                equal.append(noun)
            elif differ and not asked:
                between.append(noun)
        texts = [f"mixed {' and '.join(within)}" if within else ""]
        texts += [f"same {' and '.join(equal)} on both sides" if equal else ""]
        texts += [f"{' and '.join(between)} differ between seeds" if between else ""]
        texts += ["" if self.unknown_rule.isdisjoint(result.answer.all_ids) else UNKNOWN_RULE]
        return "; ".join(filter(None, texts))

    def rows(self) -> "list[dict[str, Any]]":
        """Return an unrounded row for each result: the columns of `slbench.contrasts`, and mixed conditions."""
        return [{**result.row(), "mixed": self.mixed(result)} for result in self.results]


ROW_COLUMNS = (*COLUMNS, "mixed")


def verdicts(inputs: ReportInputs, metric: str, *, primary: bool = True) -> Verdicts:
    """Return the verdicts of a report for one metric.

    Args:
        metric: of METRICS; its values are compared.
        primary: whether the study's questions are about this metric; else all results are exploratory.
    """
    frame, column = metric_frame(inputs, metric)
    questions = inputs.contrasts if primary else ()
    statistics = inputs.statistics
    if not METRICS[metric].is_accuracy:  # guessing has an accuracy only
        statistics = statistics.model_copy(update={"failures": "withhold"})
    results = judge(frame, questions, statistics=statistics, accuracy=column, strict=False) if len(frame) else []
    results = [under_rule(result, inputs, metric) for result in results]
    answered = {result.answer.contrast for result in results}
    asked: Sequence[Contrast] = questions if questions is not None else default_contrasts(methods_of(inputs), PLAIN)
    unanswered = tuple(question for question in asked if question not in answered)
    check_answerable(unanswered, inputs)
    return Verdicts(
        metric=metric,
        results=tuple(results),
        variance=statistics.variance,
        unanswered=unanswered,
        conditions={
            record.run_id: {SEED: str(record.spec.seed), **asked_for(record)}
            | {noun: text(record) for noun, text in CONDITIONS.items()}
            for record in inputs.records
        },
        unknown_rule=inputs.unknown_rule,
    )


def asked_for(record: RunRecord) -> dict[str, str]:
    """Return the values of DECIDED_BY that a run asks for; what it got is in CONDITIONS."""
    recipe = record.spec.recipe
    return {"recipe.precision": recipe.precision, "recipe.compile": str(recipe.compile)}


def check_answerable(unanswered: Sequence[Contrast], inputs: ReportInputs) -> None:
    """Raise InputError for a question that the runs could not answer even if all of them had finished."""
    if not unanswered:
        return
    planned = answers(planned_frame(inputs.asked or inputs.runs), unanswered, failures="withhold")
    for question, found in planned.items():
        if not found and inputs.contrasts is not None:
            raise InputError(f"{inputs.name}: contrast: {question.name}: {why_unanswered(question)}")


def under_rule(result: Result, inputs: ReportInputs, metric: str) -> Result:
    """Return a result on runs that a seed rule added: as it stopped, else at the level of the rule's intervals.

    At a fixed-sample level the intervals of samples that were stopped by their results would err too often. Where the
    rule decided this very contrast, the estimate is adjusted for stopping.
    """
    answer = result.answer
    if result.over != "seeds" or (design := design_of_runs(inputs.studies, answer.all_ids)) is None:
        return result
    decided = (
        metric == RULE_METRIC and not inputs.query and answer.contrast.over is None and answer.contrast.trend is None
    )
    found = look_at(inputs.studies, answer.contrast.name, answer.all_ids) if decided else None
    if found is None or not found[0].n:
        return at_level(result, max(result.level, design.interval_level), inputs.statistics)
    look, design = found
    hidden = look.verdict == "withheld"
    low, high = (math.nan if end is None or hidden else end for end in (look.low, look.high))
    estimate = look.estimate if look.adjusted is None else look.adjusted
    return replace(
        result,
        estimate=math.nan if estimate is None else estimate,
        n=look.n,
        low=low,
        high=high,
        low_plain=low,
        high_plain=high,
        level=design.interval_level,
        std=math.nan,  # `result` has those of all seeds
        df=math.nan,
        verdict=in_words(look.verdict, answer.contrast),
        sequential=True,
    )


def in_words(stored: str, contrast: Contrast) -> Verdict:
    """Return a stored verdict; earlier versions stored better and worse of interactions."""
    found = cast(Verdict, stored)
    return SIGNS.get(found, found) if contrast.is_sign else found


def at_level(result: Result, level: float, statistics: Statistics) -> Result:
    """Return a result with both intervals at another level."""
    spread = None if math.isnan(result.std) else Variance(result.std**2, result.df)
    changed = statistics.model_copy(update={"level": level})
    again = result_of(
        result.answer,
        spread,
        spread,
        level=level,
        family=result.family,
        family_size=result.family_size,
        statistics=changed,
    )
    return replace(again, sequential=True)


def methods_of(inputs: ReportInputs) -> list[str]:
    """Return the methods of a report's runs; empty without the plain one."""
    methods = list(distinct(run.labels.method for run in inputs.runs))
    return methods if PLAIN in methods else []


def metric_frame(inputs: ReportInputs, name: str) -> "tuple[pd.DataFrame, str]":
    """Return the tidy frame of a report with a column of this metric, and the name of the column."""
    metric, frame = METRICS[name], inputs.frame
    if inputs.is_study and "kind" in frame:
        frame = frame.drop(columns="kind")  # the runs of a study are all its own
    if metric.field is not None or not len(frame):
        return frame, metric.field or metric.key
    values = {record.run_id: value_of(record, metric, inputs.folders.get(record.run_id)) for record in inputs.records}
    frame = frame.copy()
    frame[metric.key] = [values.get(run_id) for run_id in frame.index]
    return frame, metric.key
