"""Verdicts of a made grid, as every part of a report shows them."""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import slbench
from slbench.errors import InputError
from slbench.grid.adaptive_seeds import decisions
from slbench.report.inputs import ReportInputs
from slbench.report.planned import plan, power_document, power_lines
from slbench.report.render import latex, markdown
from slbench.report.sections import Section, make_sections
from slbench.report.table import Table, make_table
from slbench.report.verdicts import Verdicts
from slbench.report.write import report
from slbench.stats.contrast import Contrast
from slbench.stats.power import Design, detectable_effect
from slbench.stats.sequential import SequentialDesign
from slbench.stats.settings import Statistics
from slbench.study import SeedRule, StudyRun
from slbench.study_files import stored
from tests.support import TINY, make_diverged, make_record, missing, naming, report_inputs, runs, study

METHODS = ["none", "spt", "lsa", "both"]
OTHER = {**TINY, "label": "Other", "dim": 16}
# Seeds 0, 1, 2 of each method: SPT +1, LSA +2, together +5, with noise in "both" alone.
BY_METHOD = {"none": (70, 71, 72), "spt": (71, 72, 73), "lsa": (72, 73, 74), "both": (75, 76.5, 76)}
NOISY = {**BY_METHOD, "spt": (71.0, 71.9, 73.2), "lsa": (72.1, 73.0, 73.9)}


def inputs_of(
    runs_: tuple[StudyRun, ...], values: Mapping[str, tuple[float, ...]] = NOISY, **changes: Any
) -> ReportInputs:
    records = [make_record(run, final_test_top1=values[run.labels.method][run.spec.seed]) for run in runs_]
    return report_inputs(runs_, records, **changes)


def verdicts_of(*arguments: Any, **changes: Any) -> Verdicts:
    found = make_table(inputs_of(*arguments, **changes)).verdicts
    assert found is not None
    return found


def sections_of(*arguments: Any, **changes: Any) -> list[Section]:
    inputs = inputs_of(*arguments, **changes)
    return make_sections(inputs, make_table(inputs).verdicts)


def grid(**more: Any) -> tuple[StudyRun, ...]:
    return runs({"method": METHODS, "seed": [0, 1, 2], **more})


def gains(table: Table) -> list[tuple[float, float, float]]:
    found = [cell.gain for row in table.rows for cell in row.cells.values()]
    return [(gain.estimate, gain.low, gain.high) for gain in found if gain is not None]


def test_every_view_shows_the_numbers_of_the_public_function(tmp_path: Path) -> None:
    inputs = inputs_of(grid())
    output = report(inputs, formats=["csv", "md", "html"], out=tmp_path)
    public = slbench.contrasts(inputs.frame)
    findings = pd.read_csv(tmp_path / "findings.csv", keep_default_na=False, na_values=[""])
    pd.testing.assert_frame_equal(
        findings[["estimate", "low", "high", "df"]], public[["estimate", "low", "high", "df"]], check_dtype=False
    )
    assert list(findings["verdict"]) == list(public["verdict"])
    primary = public[~public["exploratory"]]
    assert gains(output.table) == list(zip(primary["estimate"], primary["low"], primary["high"], strict=True))
    table = pd.read_csv(tmp_path / "table.csv")
    assert table["fashion-mnist-12k_final_test_top1_gain_low"].dropna().tolist() == pytest.approx(list(primary["low"]))
    document = json.loads(json.dumps(output.document()))
    assert [row["verdict"] for row in document["contrasts"]] == list(public["verdict"])
    for text in ((tmp_path / "findings.md").read_text(), (tmp_path / "report.html").read_text()):
        assert all(item in text.replace("&#43;", "+") for item in document["answers"])


def test_the_answers_open_a_report_one_sentence_for_each_question_and_cell() -> None:
    answers, *rest = sections_of(grid(), BY_METHOD)
    assert answers.items[2].startswith("both against none, Tiny on fashion-mnist-12k: better, +4.83 (+")
    assert answers.items[2].endswith("3 seeds")
    assert not missing(answers.intro[0], "3 answers", "95 %", "2,000 test images", "split", "docs/judging.md")
    assert [section.title for section in rest] == ["Questions", "Exploratory"]


def test_declared_questions_are_the_primary_family_and_all_else_is_marked_exploratory() -> None:
    inputs = inputs_of(grid(), contrasts=(Contrast(effect="lsa"),))
    table = make_table(inputs)
    assert table.verdicts is not None
    (primary,) = table.verdicts.primary
    assert (primary.answer.contrast.name, primary.level) == ("main effect of lsa", 0.95)
    text = markdown.render_table(table)
    assert text.count("†") == 1 + 3, "in the caption and at each gain"
    assert [each.answer.contrast.name for each in table.verdicts.exploratory] == [
        "spt against none", "lsa against none", "both against none", "main effect of spt", "interaction of spt and lsa",
    ]  # fmt: skip


def test_means_over_several_backbones_are_exploratory() -> None:
    found = verdicts_of(grid(backbone=[TINY, OTHER])).exploratory
    pooled = [each for each in found if each.answer.contrast == Contrast(effect="lsa", over="backbones")]
    assert [(each.answer.backbone, each.n) for each in pooled] == [("2 backbones", 3)]
    five = [{**TINY, "label": f"Tiny{n}", "dim": 4 * n} for n in range(1, 6)]
    at_large = [
        each for each in verdicts_of(grid(backbone=five)).exploratory if each.answer.backbone == "5 backbones at large"
    ]
    assert {each.over for each in at_large} == {"backbones"} and {each.n for each in at_large} == {5}


def test_the_mean_gain_over_backbones_is_shown_with_the_papers_and_why_they_may_not_be_comparable() -> None:
    grid_ = {"backbone": ["vit", "swin"], "method": ["none", "both"], "dataset": ["cifar100"], "seed": [0, 1, 2]}
    claim = sections_of(study({"grid": grid_}).runs)[-1]
    published = dict(zip(claim.heads, claim.lines[0], strict=True))["Published"]
    assert published == f"+{((76.92 - 73.81) + (79.99 - 76.87)) / 2:.2f}"
    assert not missing(claim.notes[0], "cifar100", "protocol holdout", "6 epochs")


def test_backbones_with_learning_rates_of_their_own_by_a_rule_are_pooled() -> None:
    runs_ = study(
        {"recipe": "paper", "grid": {"backbone": ["vit", "cait"], "method": ["none", "both"], "seed": [0, 1, 2]}}
    ).runs
    assert {run.spec.recipe.lr for run in runs_} == {0.001, 0.003}
    (pooled,) = [each for each in verdicts_of(runs_).exploratory if each.answer.contrast.over == "backbones"]
    assert pooled.answer.setting == ""


def test_a_swept_method_is_compared_with_the_reference_at_its_own_value_whatever_the_order() -> None:
    for temperatures in ([0.5, 1.0], [1.0, 0.5]):
        runs_ = runs({"method": METHODS, "method.initial_temperature": temperatures, "seed": [0, 1]})
        records = [
            make_record(run, final_test_top1=run.spec.method.initial_temperature * 20 + run.spec.seed / 10)
            for run in runs_
        ]
        table = make_table(report_inputs(runs_, records))
        assert [estimate for estimate, *_ in gains(table)] == pytest.approx([0.0] * 6)
        assert table.verdicts is not None
        effects = [each for each in table.verdicts.exploratory if each.answer.contrast.effect == "lsa"]
        assert {each.answer.setting: each.estimate for each in effects} == pytest.approx(
            {"method_initial_temperature 0.5": 0.0, "method_initial_temperature 1.0": 0.0}
        )


def test_one_seed_and_equal_differences_have_no_interval_and_no_verdict() -> None:
    for seeds, end in (([0], "1 seed"), ([0, 1], "2 seeds, no interval, since all differences are equal")):
        inputs = inputs_of(runs({"method": ["none", "spt"], "seed": seeds}), BY_METHOD)
        table = make_table(inputs)
        assert table.verdicts is not None
        (result,) = table.verdicts.results
        assert (result.has_interval, result.verdict) == (False, "undecided")
        assert make_sections(inputs, table.verdicts)[0].items[0].endswith(end)
        assert "+1.00 |" in markdown.render_table(table)


def test_mixed_devices_and_torch_versions_are_named_with_every_verdict() -> None:
    inputs = inputs_of(runs({"method": ["none", "spt"], "seed": [0, 1, 2]}))
    first, *others = inputs.records
    code = first.code.model_copy(update={"versions": {**first.code.versions, "torch": "2.0"}})
    records = (first.model_copy(update={"code": code, "precision": "bf16", "compiled": True}), *others)
    inputs = report_inputs(inputs.runs, list(records))
    table = make_table(inputs)
    answers, questions = make_sections(inputs, table.verdicts)
    mixed = "mixed precisions and compilation and torch versions"
    assert not missing(answers.items[0], mixed)
    assert not missing(" ".join(questions.lines[0]), mixed)
    assert any("Mixed torch versions" in note.text for note in table.notes)
    (of_gain,) = (note for note in table.notes if note.text == f"Gain: {mixed}.")
    assert [of_gain.mark in row.marks for row in table.rows] == [False, True], "the row whose gain compares them"


def test_devices_that_differ_between_seeds_alone_are_not_called_mixed() -> None:
    inputs = inputs_of(runs({"method": ["none", "spt"], "seed": [0, 1, 2]}))
    blocks = [
        record.model_copy(update={"device_name": "Another"}) if record.spec.seed == 1 else record
        for record in inputs.records
    ]
    table = make_table(report_inputs(inputs.runs, blocks))
    assert make_sections(inputs, table.verdicts)[0].items[0].endswith("3 seeds, devices differ between seeds")
    assert any(note.text == "Gain: devices differ between seeds." for note in table.notes)


def compared_by(field: str, values: list[Any]) -> tuple[StudyRun, ...]:
    question = {"field": field, "value": values[0], "reference": values[1]}
    content = {"grid": {"backbone": [TINY], "method": ["none", "spt"], field: values, "seed": [0, 1, 2]}}
    return study({**content, "contrast": [question]}).runs


def test_a_condition_that_a_contrast_is_about_is_not_called_mixed_unless_it_is_not_what_was_asked_for() -> None:
    question = Contrast(field="recipe.compile", value=True, reference=False)
    runs_ = compared_by("compile", [True, False])

    def answers(eager: Callable[[StudyRun], bool]) -> tuple[list[str], Table]:
        records = [
            make_record(
                run,
                final_test_top1=NOISY[run.labels.method][run.spec.seed]
                + 0.1 * bool(run.spec.recipe.compile) * run.spec.seed,
                compiled=not eager(run),
                not_compiled="no compiler" if run.spec.recipe.compile and eager(run) else "",
            )
            for run in runs_
        ]
        inputs = report_inputs(runs_, records, contrasts=(question,))
        table = make_table(inputs)
        return list(make_sections(inputs, table.verdicts)[0].items), table

    items, table = answers(lambda run: not run.spec.recipe.compile)
    assert items[0].startswith(
        "compile=true against false, Tiny on fashion-mnist-12k, method none: equivalent, +0.10 ("
    )
    assert len(items) == 2 and items[1].endswith("3 seeds"), "nothing is mixed"
    assert not any("Mixed" in note.text or "Gain" in note.text for note in table.notes)
    items, _ = answers(lambda run: True)
    assert items[0].endswith("3 seeds, same compilation on both sides"), "compilation failed"
    items, table = answers(lambda run: not run.spec.recipe.compile or run.spec.seed == 1)
    assert items[0].endswith("3 seeds, mixed compilation")
    marked = [note.run_ids for note in table.notes if note.text.startswith("Mixed devices: 4 runs with")]
    assert marked == [{run.spec.run_id for run in runs_ if run.spec.recipe.compile and run.spec.seed != 1}], (
        "the mean of the runs that ask for compilation is of compiled and eager ones"
    )


def test_a_question_about_a_field_counts_the_diverged_runs_of_every_method() -> None:
    runs_ = compared_by("precision", ["bf16", "fp32"])
    bf16 = [run for run in runs_ if run.spec.recipe.precision == "bf16"]
    question = Contrast(field="recipe.precision", value="bf16", reference="fp32")
    inputs = report_inputs(runs_, [], contrasts=(question,), diverged=tuple(map(make_diverged, bf16)))
    items = make_sections(inputs, make_table(inputs).verdicts)[0].items
    assert [item.partition(": ")[2] for item in items] == ["not answered yet, no common seed; diverged: 3 none, 3 spt"]


def test_a_seed_rule_decides_two_values_of_a_field_for_each_method() -> None:
    rule = SeedRule(min=3, max=4, until="decided")
    question = {"field": "precision", "value": "bf16", "reference": "fp32"}
    grid_ = {"backbone": [TINY], "method": ["none", "spt"], "precision": ["bf16", "fp32"]}
    ruled = study({"seeds": rule.model_dump(), "grid": grid_, "contrast": [question]})
    gains_ = {("none", "bf16"): 20.0, ("spt", "bf16"): -20.0}
    top1 = {
        run.spec.run_id: 50 + gains_.get((run.labels.method, run.spec.recipe.precision), run.spec.seed / 9)
        for run in ruled.runs
    }
    looks = [decision.look for decision in decisions(ruled, top1)]
    assert {tuple(look.runs) for look in looks} == {("precision=bf16", "precision=fp32")}
    records = [make_record(run, final_test_top1=top1[run.spec.run_id]) for run in ruled.runs]
    inputs = report_inputs(ruled.runs, records, seeds=rule, contrasts=ruled.contrasts, studies=(stored(ruled, looks),))
    verdicts = make_table(inputs).verdicts
    assert verdicts is not None
    found = [(each.answer.setting, each.verdict, each.n, each.sequential) for each in verdicts.primary]
    assert found == [("method none", "better", 3, True), ("method spt", "worse", 3, True)]


def test_seeds_to_decide_are_a_range_shown_from_five_degrees_of_freedom() -> None:
    few = sections_of(runs({"method": ["none", "spt"], "seed": [0, 1, 2]}), {"none": (70, 71, 72), "spt": (71, 71, 74)})
    assert not {"Seeds to decide", "Detectable"} & set(few[1].heads)
    values = {"none": (70, 70, 70, 70, 70, 70), "spt": (71, 70, 71.5, 69.8, 70.4, 70)}
    many = sections_of(runs({"method": ["none", "spt"], "seed": list(range(6))}), values)[1]
    line = dict(zip(many.heads, many.lines[0], strict=True))
    low, high = map(int, line["Seeds to decide"].split(" to "))
    assert 6 < low < high and float(line["Detectable"]) > float(line["SD (df)"].split()[0])


def test_a_query_on_results_does_not_change_the_number_of_requested_seeds() -> None:
    from slbench.report.inputs import only

    inputs = only(inputs_of(runs({"method": ["none", "spt"], "seed": [0, 1, 2]})), "final_test_top1 > 71.5")
    assert "72.00 (1 of 3)" in markdown.render_table(make_table(inputs))


def test_very_many_commits_are_counted_not_a_crash() -> None:
    inputs = inputs_of(runs({"seed": list(range(40))}), {"none": tuple(range(40))})
    records = [
        record.model_copy(update={"code": record.code.model_copy(update={"commit": f"{number:09x}"})})
        for number, record in enumerate(inputs.records)
    ]
    notes = make_table(report_inputs(inputs.runs, records)).notes
    assert len(notes) == 1 and not missing(notes[0].text, "39 runs")
    fewer = [record.model_copy(update={"threads": number % 27}) for number, record in enumerate(records[:27])]
    assert [note.mark for note in make_table(report_inputs(inputs.runs[:27], fewer)).notes][25:28] == ["z", "aa", "ab"]


def test_a_question_without_runs_yet_is_named_in_the_answers() -> None:
    runs_ = runs({"method": ["none", "lsa"], "seed": [0, 1]})
    finished = [make_record(run) for run in runs_ if run.labels.method == "none"]
    inputs = report_inputs(runs_, finished, contrasts=(Contrast(method="lsa", reference="none"),))
    (answers,) = make_sections(inputs, make_table(inputs).verdicts)
    assert not missing(answers.items[0], "lsa against none", "not answered")


def test_settings_of_the_statistics_that_are_not_the_defaults_are_named() -> None:
    changed = Statistics(margin=2.0, variance="own", failures="chance", level=0.9)
    (answers, *_) = sections_of(grid(), NOISY, statistics=changed)
    assert not missing(
        " ".join((*answers.intro, *answers.notes)), "90 %", "2 points", "variance of its own", "guessing"
    )


def test_sections_are_escaped_in_markdown_and_latex() -> None:
    section = Section("T & 5 %", ("<b> words_1.",), (), ("a|b", "c"), (("<i>", "1 & 2"),), ("Note.",))
    text = markdown.render_sections([section])
    assert "<b>" not in text and "<i>" not in text and "a\\|b" in text and text.endswith("Note.\n")
    tex = latex.render_sections([section, Section("A", items=("50 % & more",))], name="x")
    assert not missing(tex, "1", "2") and r"5 \%" in tex and r"\item 50 \% \& more" in tex
    assert tex.count("{") == tex.count("}")
    assert markdown.render_sections([]) == ""


def test_a_plan_states_what_the_family_decides_in_sd_and_from_known_spreads_in_points() -> None:
    content = {"grid": {"backbone": [TINY], "method": METHODS, "seed": [0, 1, 2, 3, 4, 5]}}
    planned = plan(study(content), [])
    assert planned is not None
    assert not missing(power_lines(planned)[0], "3 contrasts", "95 %", "6 seeds", "SD unknown")
    assert not missing(
        power_lines(plan(study({**content, "statistics": {"spread": 2.0}}), []))[1], "points", "SD", "2.00"
    )
    values = {"none": (70, 71, 72, 70, 71, 72), "spt": (71, 72.5, 73, 71, 72, 73.5)}
    pair = {"grid": {"backbone": [TINY], "method": ["none", "spt"], "seed": [0, 1, 2, 3, 4, 5]}}
    known = plan(study(pair), list(inputs_of(study(pair).runs, values).records))
    document = power_document(known)
    assert document is not None
    assert document["sd_points"] == pytest.approx({"Tiny on fashion-mnist-12k": math.sqrt(0.4 / 6)})
    assert document["decided_sd"]["2"] > document["decided_sd"]["6"] > document["decided_sd"]["20"]
    assert plan(study({"grid": {"backbone": [TINY], "method": ["none"], "seed": [0, 1]}}), []) is None


def test_a_plan_has_no_points_for_trends_since_a_spread_is_that_of_differences() -> None:
    grid_ = {"backbone": [TINY], "method": ["none", "lsa"], "dataset.fraction": [0.25, 0.5, 1.0], "seed": [0, 1, 2]}
    trend = {"method": "lsa", "reference": "none", "trend": "dataset.fraction", "scale": "log"}
    content = {"grid": grid_, "set": {"recipe.equal": "steps"}, "statistics": {"spread": 2.0}, "contrast": [trend]}
    lines = power_lines(plan(study(content), []))
    assert not missing(lines[0], "1 contrast jointly", "SD") and "no statistics.spread" not in lines[0]
    assert not missing(lines[1], "1 trend", "slope") and not any("points (" in line for line in lines)
    both = power_lines(plan(study({**content, "contrast": [trend, {"method": "lsa"}]}), []))
    assert not missing(both[1], "points", "SD of a contrast 2.00") and "1 trend" in both[2]


def test_a_question_that_no_runs_of_the_study_answer_is_an_error() -> None:
    inputs = inputs_of(grid(backbone=[TINY, OTHER]), contrasts=(Contrast(effect="spt", over="backbones at large"),))
    with pytest.raises(InputError, match=naming("study", "main effect of spt", "five", "backbones")):
        make_table(inputs)


def diverging(
    runs_: tuple[StudyRun, ...], lost: Callable[[StudyRun], bool], top1: Callable[[StudyRun], float], **changes: Any
) -> ReportInputs:
    """Return inputs of finished runs with these accuracies, and of diverged ones."""
    records = [make_record(run, final_test_top1=top1(run)) for run in runs_ if not lost(run)]
    return report_inputs(runs_, records, diverged=tuple(make_diverged(run) for run in runs_ if lost(run)), **changes)


def test_a_method_whose_runs_all_diverged_keeps_its_answer_withheld() -> None:
    runs_ = grid(backbone=[TINY, OTHER])
    inputs = diverging(
        runs_, lambda run: run.labels.method == "spt" and run.labels.backbone == "Tiny", lambda run: 80 + run.spec.seed
    )
    table = make_table(inputs)
    answers = make_sections(inputs, table.verdicts)[0].items
    assert len(answers) == 6
    assert answers[0] == "spt against none, Tiny on fashion-mnist-12k: withheld, –, 0 seeds, diverged: 3 of 3 spt"
    nothing = diverging(runs_, lambda run: True, lambda run: 0.0)
    assert all(
        "withheld" in item or "undecided" in item
        for item in make_sections(nothing, make_table(nothing).verdicts)[0].items
    )


def test_a_trend_is_withheld_where_the_numbers_of_diverged_runs_differ_along_it() -> None:
    runs_ = runs({"method": ["lsa"], "method.initial_temperature": [0.5, 1.0, 2.0], "seed": [0, 1, 2, 3]})
    question = Contrast(method="lsa", trend="method.initial_temperature")
    inputs = diverging(
        runs_,
        lambda run: run.spec.method.initial_temperature == 2.0 and run.spec.seed == 0,
        lambda run: run.spec.method.initial_temperature * (1 + run.spec.seed / 100),
        contrasts=(question,),
    )
    verdicts = make_table(inputs).verdicts
    assert verdicts is not None
    assert [result.verdict for result in verdicts.results] == ["withheld"]


def test_a_trend_is_shown_with_three_digits_however_small_its_unit() -> None:
    runs_ = runs({"method": ["lsa"], "method.initial_temperature": [100.0, 400.0], "seed": [0, 1, 2]})
    question = Contrast(method="lsa", trend="method.initial_temperature")
    top1 = [80 + run.spec.method.initial_temperature * (1 + run.spec.seed / 50) * 0.0012 for run in runs_]
    records = [make_record(run, final_test_top1=value) for run, value in zip(runs_, top1, strict=True)]
    inputs = report_inputs(runs_, records, contrasts=(question,))
    answer = make_sections(inputs, make_table(inputs).verdicts)[0].items[0]
    assert not missing(answer, "method.initial_temperature 100 to 400: positive", "+0.00122 (")


def test_the_plan_of_a_seed_rule_has_the_level_of_its_analyses() -> None:
    rule = {"min": 3, "max": 10, "until": "decided"}
    content = {"grid": {"backbone": [TINY], "method": ["none", "spt", "lsa"]}, "seeds": rule}
    adaptive = study(content)
    planned = plan(adaptive, [])
    assert planned is not None and adaptive.seeds is not None
    level = SequentialDesign(adaptive.seeds, 2).interval_level
    assert level > 0.95**0.5
    assert planned.table([2, 3, 10]) == {10: detectable_effect(10, Design(level, first=3))}
    assert planned.seeds == [10]


def test_variants_that_share_their_reference_do_not_moderate_each_other() -> None:
    none, swept = runs({"seed": [0, 1, 2]}), {"method": ["lsa"], "method.initial_temperature": [0.5, 2.0, 4.0]}
    draw = iter([80.0, 80.5, 81.2, 80.1, 81.0, 81.3, 80.4, 80.2, 81.9, 80.0, 81.1, 81.2])
    runs_ = (*none, *runs({**swept, "seed": [0, 1, 2]}))
    verdicts = make_table(
        report_inputs(runs_, [make_record(run, final_test_top1=next(draw)) for run in runs_])
    ).verdicts
    assert verdicts is not None and {result.df for result in verdicts.results} == {2}


def test_diverged_runs_count_as_guessing_in_accuracies_alone_and_leave_other_cells_alone() -> None:
    runs_ = grid(backbone=[TINY, OTHER], method=["none", "spt"], seed=[0, 1, 2, 3])
    noise = {"none": (0.0, 0.3, 0.1, 0.2), "spt": (1.0, 1.2, 1.3, 1.1)}
    inputs = diverging(
        runs_,
        lambda run: (run.labels.backbone, run.labels.method, run.spec.seed) == ("Other", "spt", 0),
        lambda run: 80 + noise[run.labels.method][run.spec.seed],
        statistics=Statistics(failures="chance"),
    )
    table = make_table(inputs, columns=["final", "gain", "nll", "gain"])
    assert table.verdicts is not None
    tiny, other = table.verdicts.primary
    assert (tiny.verdict, tiny.df, other.n) == ("better", 3, 4) and other.estimate < -15
    nll = [cell.gain for row in table.rows for (_, name), cell in row.cells.items() if name == "nll" and cell.gain]
    assert [gain.estimate for gain in nll] == [0.0, 0.0], "the records have equal losses"


def test_a_withheld_gain_has_no_interval_in_the_table() -> None:
    runs_ = grid(method=["none", "spt"])
    inputs = diverging(
        runs_, lambda run: run.labels.method == "spt" and run.spec.seed == 0, lambda run: 80 + run.spec.seed**2 / 7
    )
    assert "(withheld)" in markdown.render_table(make_table(inputs))


def test_a_mean_over_backbones_is_not_the_look_of_one_of_them() -> None:
    rule = SeedRule(min=3, max=4, until="decided")
    content = {"seeds": rule.model_dump(), "grid": {"backbone": [TINY, OTHER], "method": ["none", "spt"]}}
    ruled = study(content)
    gains_ = {"Tiny": 20.0, "Other": -20.0}
    top1 = {
        run.spec.run_id: 50
        + run.spec.seed
        + (run.labels.method == "spt") * (gains_[run.labels.backbone] + run.spec.seed / 9)
        for run in ruled.runs
    }
    looks = [decision.look for decision in decisions(ruled, top1)]
    records = [make_record(run, final_test_top1=top1[run.spec.run_id]) for run in ruled.runs]
    inputs = report_inputs(ruled.runs, records, seeds=rule, studies=(stored(ruled, looks),))
    verdicts = make_table(inputs).verdicts
    assert verdicts is not None
    by_backbone = {result.answer.backbone: result for result in verdicts.results}
    assert [by_backbone[name].verdict for name in ("Tiny", "Other")] == ["better", "worse"]
    assert abs(by_backbone["2 backbones"].estimate) < 1 and by_backbone["2 backbones"].sequential
