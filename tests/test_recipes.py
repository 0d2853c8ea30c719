"""Recipes: known numbers of steps and samples, sources of every value, and errors."""

import dataclasses

import pytest

from slbench.data import DATASETS, auto_augment_policy
from slbench.errors import InputError
from slbench.recipes import RECIPE_SOURCES, RECIPES, Recipe
from slbench.validation import checked
from tests.support import naming, runs

SOURCES = ("verbatim: ", "history: ", "guess: ", "ours: ")


@pytest.mark.parametrize(
    ("recipe", "dataset", "steps"),
    [
        ("released", "cifar10", 1171),
        ("released", "cifar100", 1171),
        ("released", "svhn", 1716),
        ("released", "tiny-imagenet", 2343),
        ("paper", "cifar10", 1172),  # last batch not dropped
        ("paper", "svhn", 1717),
        ("paper", "tiny-imagenet", 2344),
    ],
)
def test_an_epoch_has_the_steps_of_the_authors(recipe: str, dataset: str, steps: int) -> None:
    assert RECIPES[recipe].steps(DATASETS[dataset].spec.num_train) == steps


@pytest.mark.parametrize(
    ("changes", "images", "batches", "steps", "samples"),
    [
        ({}, 103, 10, 10, 100),
        ({"drop_last": False}, 103, 11, 11, 103),
        ({"passes": 3}, 103, 30, 30, 300),
        ({"repeats": 3, "drop_last": False}, 103, 31, 31, 309),
        ({"accumulate": 4}, 103, 8, 2, 80),
        ({"accumulate": 4, "drop_last": False}, 103, 11, 3, 103),
        ({}, 9, 0, 0, 0),
    ],
)
def test_batches_steps_and_samples_of_an_epoch(
    changes: dict[str, int | bool], images: int, batches: int, steps: int, samples: int
) -> None:
    recipe = dataclasses.replace(Recipe(batch_size=10), **changes)  # type: ignore[arg-type]
    assert (recipe.batches(images), recipe.steps(images), recipe.samples(images)) == (batches, steps, samples)


@pytest.mark.parametrize("name", RECIPES)
def test_every_value_of_a_recipe_has_a_source(name: str) -> None:
    assert set(RECIPE_SOURCES[name]) == {field.name for field in dataclasses.fields(Recipe)}
    assert all(source.startswith(SOURCES) for source in RECIPE_SOURCES[name].values())


def test_the_paper_and_its_released_code_differ_in_what_its_history_says() -> None:
    paper, released = RECIPES["paper"], RECIPES["released"]
    fields = [field.name for field in dataclasses.fields(Recipe)]
    differing = {field for field in fields if getattr(paper, field) != getattr(released, field)}
    assert differing == {"lr", "passes", "repeats", "drop_last"}
    assert all("history" in RECIPE_SOURCES["paper"][field] for field in differing)


@pytest.mark.parametrize(("backbone", "lr"), [("vit", 0.003), ("swin", 0.001), ("resnet56", 0.001)])
def test_the_papers_rate_is_resolved_by_backbone(backbone: str, lr: float) -> None:
    (run,) = runs({"backbone": [backbone]}, recipe="paper")
    assert run.spec.recipe.lr == lr
    (other,) = runs({"backbone": [backbone]}, recipe="paper", set={"recipe.lr": 0.0005})
    assert other.spec.recipe.lr == 0.0005


@pytest.mark.parametrize(
    ("dataset", "policy"),
    [("cifar10", "cifar10"), ("cifar100", "cifar10"), ("svhn", "svhn"), ("tiny-imagenet", "imagenet")],
)
def test_the_policy_is_that_of_the_data_set(dataset: str, policy: str) -> None:
    assert RECIPES["paper"].resolved(dataset_policy=auto_augment_policy(dataset)).auto_augment == policy
    assert RECIPES["quick"].resolved(dataset_policy=auto_augment_policy(dataset)).auto_augment == "none"


def test_a_part_that_is_off_is_not_in_the_numerics_of_a_run() -> None:
    (quick,) = runs()
    assert set(quick.spec.numerics) == {"trainer", "augmentation", "vit"}
    (averaged,) = runs(set={"recipe.ema_decay": 0.99})
    assert set(averaged.spec.numerics) == {"trainer", "augmentation", "averaging", "vit"}
    (paper,) = runs(recipe="paper")
    assert set(paper.spec.numerics) == {"trainer", "augmentation", "autoaugment", "erasing", "mixing", "vit"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cutmix": 0.6, "mixup": 0.5}, naming("cutmix 0.6", "mixup 0.5")),
        ({"erase_area": (0.4, 0.1)}, naming("erase_area", "0.4, 0.1")),
        ({"no_decay": ("norm", "norm")}, naming("no_decay")),
        ({"no_decay": ("norms",)}, naming("no_decay")),
        ({"repeats": 0}, naming("repeats")),
        ({"ema_decay": 1.0}, naming("ema_decay")),
        ({"auto_augment": "randaugment"}, naming("auto_augment")),
    ],
)
def test_values_that_do_not_fit_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        checked(Recipe, changes, where="recipe")
