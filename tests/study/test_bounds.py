"""Numbers of a study are bounded by their fields; grids and repetitions are counted before they are expanded."""

from typing import Any

import pytest

from slbench.errors import InputError
from slbench.methods import Method
from slbench.study import make_study
from slbench.study.axes import MAX_CELLS
from slbench.study.paths import dotted_paths, field_types
from slbench.study.schema import Schema, fields, study_keys
from tests.support import study


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("backbone.depth", 10**6),
        ("backbone.dim", 99999999999998),
        ("backbone.mlp_ratio", 1e300),
        ("backbone.patch_size", 10**9),
        ("recipe.epochs", 10**12),
        ("recipe.repeats", 10**12),
        ("recipe.batch_size", 10**12),
        ("recipe.lr", 1e39),
        ("recipe.warmup_epochs", 1e300),
        ("dataset.split_seed", 2**63),
        ("dataset.per_class", 10**12),
    ],
)
def test_a_number_above_its_bound_is_refused_with_the_bound(path: str, value: float) -> None:
    with pytest.raises(InputError, match=rf"{path}: must be at most .*\(got"):
        study({"grid": {"method": "none"}, "set": {path: value}})


@pytest.mark.parametrize("seed", [2**63, 10**20])
def test_a_seed_above_64_bits_is_refused(seed: int) -> None:
    with pytest.raises(InputError, match=r"grid\.seed: must be at most"):
        study({"grid": {"seed": [seed]}})


@pytest.mark.parametrize("temperature", [1e-320, 1e30])
def test_a_temperature_that_divides_to_infinity_is_refused(temperature: float) -> None:
    method = {"name": "x", "initial_temperature": temperature}
    with pytest.raises(InputError, match=r"initial_temperature: must be at (least|most)"):
        study({"grid": {"method": ["x"]}, "method": [method]})


def bounded(schema: Schema) -> bool:
    """Return whether every number of a schema has a largest value."""
    if "anyOf" in schema:
        return all(map(bounded, schema["anyOf"]))
    if "items" in schema:
        return bounded(schema["items"])
    is_number = schema.get("type") in ("integer", "number")
    return not is_number or bool({"maximum", "exclusiveMaximum", "enum"} & set(schema))


@pytest.mark.parametrize("path", dotted_paths())
def test_every_number_of_a_run_has_a_largest_value(path: str) -> None:
    assert field_types()[path]
    assert bounded(fields()[path])


def test_the_documentation_shows_all_digits_of_a_bound() -> None:
    (seed,) = (key for key in study_keys() if key.path == "grid.seed")
    assert seed.allowed == "at least 0, at most 9,223,372,036,854,775,807"


def test_too_many_cells_are_counted_before_they_are_expanded() -> None:
    lrs = [0.001 + number * 1e-6 for number in range(1000)]
    with pytest.raises(InputError, match=rf"grid: .*got 4,000,000: .*1,000 recipe\.lr.*allowed.*{MAX_CELLS:,}"):
        study({"grid": {"seed": list(range(1000)), "recipe.lr": lrs}})


def test_more_blocks_in_all_stages_than_the_bound_are_refused() -> None:
    with pytest.raises(InputError, match="depths: too many blocks"):
        study({"grid": {"backbone": "swin"}, "set": {"backbone.depths": [900, 900, 2]}})


def test_too_many_methods_are_refused() -> None:
    with pytest.raises(InputError, match="method: must have at most 1000 values"):
        study({"method": [{"name": f"m{number}"} for number in range(1001)]})


def test_repeated_entries_of_an_axis_are_named() -> None:
    (repeated, _) = study({"grid": {"method": "none", "seed": [3, 0, 3]}}).notes
    assert repeated.endswith("grid.seed: listed more than once: 3")


def test_an_axis_set_twice_by_its_alias_is_refused() -> None:
    with pytest.raises(InputError, match=r"also set by .*precision; keep one"):
        study({"grid": {"method": "none", "precision": ["fp32"], "recipe.precision": ["bf16"]}})


def test_a_method_that_the_grid_does_not_use_is_named() -> None:
    content: dict[str, Any] = {"grid": {"method": "none"}, "method": [{"name": "mine", "mask_self": True}]}
    (note,) = make_study(content, name="x", where="x.toml").notes
    assert note == "x.toml: method: not in grid.method, so not run: 'mine'"


@pytest.mark.parametrize(
    ("fields_of_method", "message"),
    [
        ({"shift_ratio": 0.5}, r"shift_ratio: needs a shift \(got 0\.5\)"),
        ({"shift": "diagonal", "shift_ratio": 0.5, "shift_pixels": 2}, r"\(got 0\.5 and 2\)"),
        ({"s_pool": "yes"}, r"s_pool: needs a shift \(got 'yes'\)"),
        ({"shift": "all8", "window": 2}, r"window: .*\(got 2 with shift 'all8'\)"),
        ({"temperature_per": "layer"}, r"temperature_per: .*\(got 'layer'\)"),
        ({"widened": True, "mask_self": True}, r"widened: .*\(got true\)"),
    ],
)
def test_rules_between_fields_of_a_method_name_the_field_and_its_value(
    fields_of_method: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        Method(**fields_of_method)
