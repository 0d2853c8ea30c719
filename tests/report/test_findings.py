"""Comparisons of a made grid, and what is said of them."""

from collections.abc import Mapping
from typing import Any

import pytest

from slbench.report.findings import Finding, compute_findings, to_rows
from slbench.report.inputs import ReportInputs
from slbench.report.render import latex, markdown
from slbench.report.sections import Section, make_sections
from slbench.report.table import make_table
from slbench.stats.intervals import PairedDifference
from slbench.stats.sequential import sequential_level
from slbench.study import SeedRule, StudyRun
from tests.support import TINY, make_record, missing, report_inputs, runs, study

ROWS = ["none", "spt", "lsa", "both"]
OTHER = {**TINY, "label": "Other", "dim": 16}
# Seeds 0, 1, 2 of each row: SPT +1, LSA +2, together +5, with noise in `both` alone.
BY_ROW = {"none": (70, 71, 72), "spt": (71, 72, 73), "lsa": (72, 73, 74), "both": (75, 76.5, 76)}


def inputs_of(runs_: tuple[StudyRun, ...], values: Mapping[str, tuple[float, ...]], **changes: Any) -> ReportInputs:
    records = [make_record(run, final_test_top1=values[run.labels.method][run.spec.seed]) for run in runs_]
    return report_inputs(runs_, records, **changes)


def findings_of(runs_: tuple[StudyRun, ...], values: Mapping[str, tuple[float, ...]], **changes: Any) -> list[Finding]:
    inputs = inputs_of(runs_, values, **changes)
    return compute_findings(inputs, make_table(inputs))


def sections_of(runs_: tuple[StudyRun, ...], values: Mapping[str, tuple[float, ...]], **changes: Any) -> list[Section]:
    inputs = inputs_of(runs_, values, **changes)
    table = make_table(inputs)
    return make_sections(inputs, table, compute_findings(inputs, table))


def grid(**more: Any) -> tuple[StudyRun, ...]:
    return runs({"method": ROWS, "seed": [0, 1, 2], **more})


def test_the_effects_are_those_by_hand() -> None:
    effects = {
        finding.question: finding.answer for finding in findings_of(grid(), BY_ROW) if finding.question != "gain"
    }
    assert effects["SPT"].estimate == pytest.approx((1 + 1 + 1 + 3 + 3.5 + 2) / 6)
    assert effects["LSA"].estimate == pytest.approx((2 + 2 + 2 + 4 + 4.5 + 3) / 6)
    assert effects["SPT x LSA"].estimate == pytest.approx((2 + 2.5 + 1) / 3)
    assert {answer.n for answer in effects.values()} == {3}


def test_every_row_is_compared_with_the_plain_one() -> None:
    gains = [finding for finding in findings_of(grid(), BY_ROW) if finding.question == "gain"]
    assert [(finding.subject, finding.answer.estimate) for finding in gains] == [
        ("S-Tiny", 1.0), ("L-Tiny", 2.0), ("SL-Tiny", pytest.approx(4.83, abs=0.01)),
    ]  # fmt: skip


def test_p_values_are_corrected_within_gains_and_within_effects() -> None:
    noisy = {**BY_ROW, "spt": (71.0, 71.9, 73.2), "lsa": (72.1, 73.0, 73.9)}
    findings = findings_of(grid(), noisy)
    gains = [finding for finding in findings if finding.question == "gain"]
    raw = sorted((finding.answer.p_value or 0, finding.adjusted or 0) for finding in gains)
    assert [p for _, p in raw] == pytest.approx(
        [3 * raw[0][0], max(3 * raw[0][0], 2 * raw[1][0]), max(raw[2][0], 2 * raw[1][0], 3 * raw[0][0])]
    )


def test_a_difference_that_holds_alone_and_not_among_many_is_undecided_after_holm() -> None:
    answer = PairedDifference(1.0, 0.1, 3, None, 0.04, None)
    alone = findings_of(
        runs({"method": ["none", "lsa"], "seed": [0, 1, 2]}), {"none": (70, 71, 72), "lsa": (72, 73.1, 73.9)}
    )
    assert alone[0].verdict == "better"
    among = Finding("gain", "row", "data", "", alone[0].answer, adjusted=0.06)
    assert among.verdict == "undecided after Holm"
    assert Finding("gain", "row", "data", "", answer, adjusted=0.06).verdict == "undecided"


def test_over_several_backbones_the_effects_are_pooled_in_both_ways() -> None:
    runs_ = grid(backbone=[TINY, OTHER])
    subjects = {finding.subject for finding in findings_of(runs_, BY_ROW) if finding.question == "SPT"}
    assert subjects == {"Tiny", "Other", "these backbones (2)", "backbones at large (2)"}
    (over_seeds,) = [
        e.answer for e in findings_of(runs_, BY_ROW) if (e.question, e.subject) == ("LSA", "these backbones (2)")
    ]
    assert over_seeds.n == 3
    assert over_seeds.estimate == pytest.approx((2 + 2 + 2 + 4 + 4.5 + 3) / 6)


def test_backbones_with_learning_rates_of_their_own_by_a_rule_are_pooled() -> None:
    runs_ = study(
        {"recipe": "paper", "grid": {"backbone": ["vit", "cait"], "method": ["none", "both"], "seed": [0, 1, 2]}}
    ).runs
    assert {run.spec.recipe.lr for run in runs_} == {0.001, 0.003}
    claim = next(section for section in sections_of(runs_, BY_ROW) if section.title == "The paper's claim")
    assert [line[0] for line in claim.lines] == ["these backbones (2)", "backbones at large (2)"]
    assert "Settings" not in claim.heads


def test_runs_trained_in_two_ways_are_answered_apart() -> None:
    runs_ = grid(**{"recipe.lr": [0.001, 0.002]})
    effects = [finding for finding in findings_of(runs_, BY_ROW) if finding.question == "SPT"]
    assert [finding.settings for finding in effects] == ["recipe_lr 0.001", "recipe_lr 0.002"]


def test_without_the_four_rows_there_is_no_2x2_and_without_a_plain_row_nothing() -> None:
    three = runs({"method": ["none", "spt", "both"], "seed": [0, 1]})
    assert {finding.question for finding in findings_of(three, BY_ROW)} == {"gain"}
    assert findings_of(runs({"method": ["spt", "lsa"], "seed": [0, 1]}), BY_ROW) == []
    assert sections_of(runs({"method": ["spt"]}), BY_ROW) == []


def test_the_claim_has_the_papers_mean_beside_ours_and_says_why_it_may_not_be_compared() -> None:
    grid_ = {"backbone": ["vit", "swin"], "method": ["none", "both"], "dataset": ["cifar100"], "seed": [0, 1, 2]}
    claim = sections_of(study({"grid": grid_}).runs, BY_ROW)[-1]
    published = dict(zip(claim.heads, claim.lines[0], strict=True))["Published"]
    assert published == f"+{((76.92 - 73.81) + (79.99 - 76.87)) / 2:.2f}"
    assert not missing(claim.notes[0], "cifar100", "protocol holdout", "6 epochs")


def test_with_few_seeds_it_is_said_that_a_rank_test_says_nothing() -> None:
    gains = sections_of(grid(), BY_ROW)[0]
    (note,) = gains.notes
    assert not missing(note, "3 paired seeds", "p = 0.25")


def test_seeds_that_were_added_until_decided_have_no_corrected_p_and_say_so() -> None:
    rule = SeedRule(min=3, max=10, until="decided")
    sequential = sections_of(grid(), BY_ROW, seeds=rule)
    assert "p (Holm)" in sequential[0].heads
    assert {dict(zip(sequential[0].heads, line, strict=True))["p (Holm)"] for line in sequential[0].lines} == {"–"}
    assert not missing(sequential[0].intro[0], "Seeds")
    gains = [finding.answer for finding in findings_of(grid(), BY_ROW, seeds=rule) if finding.question == "gain"]
    assert {answer.interval.level for answer in gains if answer.interval} == {1 - sequential_level(3, 10)}
    caption = " ".join(make_table(inputs_of(grid(), BY_ROW, seeds=rule)).caption)
    assert not missing(caption, "3", "10")


def test_findings_in_full_have_every_number() -> None:
    rows = to_rows(findings_of(grid(), BY_ROW))
    assert [row["question"] for row in rows] == ["gain"] * 3 + ["SPT", "LSA", "SPT x LSA"]
    both = rows[2]
    assert both["estimate"] == pytest.approx(4.8333, abs=1e-4)
    assert both["low"] == pytest.approx(4.8333 - 4.3027 * 0.7638 / 3**0.5, abs=1e-3)
    assert both["correlation"] == pytest.approx(0.6547, abs=1e-4)


def test_sections_are_markdown_and_latex_with_nothing_that_either_takes_for_its_own() -> None:
    section = Section("T & 5 %", ("<b> words_1.",), ("a|b", "c"), (("<i>", "1 & 2"),), ("Note.",))
    text = markdown.render_sections([section])
    assert "<b>" not in text and "<i>" not in text and "a\\|b" in text and text.endswith("Note.\n")
    tex = latex.render_sections([section], name="x")
    assert not missing(tex, "1", "2") and r"5 \%" in tex
    assert tex.count("{") == tex.count("}")
    assert markdown.render_sections([]) == ""
