"""Experiments that figures show, and their file names."""

from dataclasses import replace

from slbench.report.figures.inputs import contexts, file_names, group_experiments
from tests.report.helpers import figure_inputs_of, inputs_of
from tests.support import TINY, runs

METHODS = ["none", "spt", "lsa", "both"]
SECOND = {**TINY, "label": "Second", "dim": 11}


def test_networks_with_the_same_name_are_separate_experiments() -> None:
    runs_ = (*runs({"seed": [0, 1]}), *runs({"backbone": [{**TINY, "dim": 11}], "seed": [0, 1]}))
    inputs_ = figure_inputs_of(inputs_of(runs_, lambda run: 70.0))
    assert [(experiment.backbone, len(experiment.records)) for experiment in inputs_.experiments] == [
        ("Tiny (backbone_dim 8)", 2),
        ("Tiny (backbone_dim 11)", 2),
    ]


def test_a_setting_that_differs_only_between_backbones_does_not_separate_runs() -> None:
    """As in recipes that give each backbone its learning rate."""
    runs_ = (
        *runs(set={"recipe.lr": 0.001}),
        *runs({"backbone": [SECOND]}, set={"recipe.lr": 0.003}),
    )
    assert len(contexts(figure_inputs_of(inputs_of(runs_, lambda run: 70.0)).experiments)) == 1
    swept = (*runs_, *runs({"backbone": [SECOND]}, set={"recipe.lr": 0.001}))
    parted = contexts(figure_inputs_of(inputs_of(swept, lambda run: 70.0)).experiments)
    assert [(context.title, len(context.experiments)) for context in parted] == [
        ("fashion-mnist-12k, recipe_lr 0.001", 2),
        ("fashion-mnist-12k, recipe_lr 0.003", 1),
    ]


def test_methods_omitted_from_the_table_are_in_no_figure() -> None:
    inputs = inputs_of(runs({"method": METHODS}), lambda run: 70.0)
    assert [experiment.method for experiment in group_experiments(inputs, [("Tiny", "lsa"), ("Tiny", "none")])] == [
        "lsa",
        "none",
    ]


def test_figures_show_the_first_accuracy_of_the_table() -> None:
    inputs = inputs_of(runs(), lambda run: 70.0)
    assert figure_inputs_of(inputs).accuracy == "final"
    inputs_ = figure_inputs_of(inputs, columns=["macs", "best", "final"])
    assert (inputs_.accuracy, inputs_.axis) == ("best", "best test top-1 (%)")
    assert inputs_.by_seed(inputs_.experiments[0]) == {0: 82.0}


def test_file_names_of_figures_are_distinct_for_any_names_of_data_sets() -> None:
    runs_ = runs({"dataset": ["fashion-mnist-12k"]})
    inputs = inputs_of(runs_, lambda run: 70.0)
    (one,) = contexts(figure_inputs_of(inputs).experiments)
    others = [replace(one, dataset=name) for name in ("a/b", "a b", "../../etc")]
    assert file_names("size", others) == ["size-a-b", "size-a-b-2", "size-etc"]
