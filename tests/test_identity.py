"""Run ids, keys of speeds and probes, and search definitions equal those of older stores."""

import dataclasses
import json
from typing import Any

import pytest

from slbench.backbones.specs import PiTSpec, SwinSpec, ViTSpec
from slbench.grid.estimate import JobSetting, probe_key
from slbench.measure.network import Network
from slbench.measure.throughput_keys import network_key
from slbench.methods import Method
from slbench.recipes import Recipe
from slbench.record import RunRecord
from slbench.spec import IDENTITY_DEFAULTS, RunSpec, digest, identity_dict, to_dict
from slbench.study import StudyRun
from slbench.tuning.run import definition
from slbench.tuning.search import SearchConfig
from slbench.tuning.search_file import space_of
from slbench.tuning.target import TuningTarget
from slbench.validation import checked
from tests.support import make_record, study

# Computed at commit 3625b16, before qkv_bias, absolute_positions and PiT's variant existed: ids of the run and its
# cell, keys of its speed on two CPU threads, of a training step on a GPU in bf16, and of its probe.
BEFORE: dict[tuple[str, str], tuple[str, str, str, str, str]] = {
    ("vit", "none"): ("320c76bbf08a", "b81fea4ed413", "f83170052970", "94f637b30759", "fff334622529"),
    ("vit", "both"): ("45d1412888ee", "55c253be453b", "c7eb2032fb35", "cc15ebe01e91", "733968659050"),
    ("t2t", "both"): ("dca1963de44c", "5038cb37506d", "d60a52ffd3a7", "b0b0f454cb54", "0fd38a0b0ee5"),
    ("cait", "both"): ("c978545c8e1c", "21808bc8a980", "76c1fc1e7566", "6e42a7e8dc48", "b0c705c7719c"),
    ("pit", "none"): ("44d4f2d8c359", "4d8d482edf93", "15d9de49e38d", "4a301f936098", "e80e02038a6d"),
    ("pit", "both"): ("4d2215a3423f", "42be14c35cd4", "68e0c504d28c", "5f37fb25a5df", "3facc7987423"),
    ("swin", "none"): ("62134c61c248", "4de63e43e599", "a9d6fad512a4", "4dc8d3a99803", "c94eb71cc6cd"),
    ("swin", "both"): ("6e26ec5a3289", "29804fe5a8c5", "31827bbebbd7", "c33b41b41026", "828e657bf820"),
    ("resnet56", "none"): ("61a1c309b155", "78c8ef48e57d", "34482a80836a", "ce352c1e3c07", "851c1a0e2bc8"),
}
LATER = [(kind, field) for kind, fields in IDENTITY_DEFAULTS.items() for field in fields]
OTHER: dict[type, dict[str, Any]] = {
    ViTSpec: {"qkv_bias": True},
    PiTSpec: {"variant": "original"},
    SwinSpec: {"absolute_positions": False},
}


def run_of(backbone: Any, method: str = "none") -> StudyRun:
    (run,) = study({"grid": {"backbone": [backbone], "method": [method], "dataset": ["fashion-mnist-12k"]}}).runs
    return run


def keys(spec: RunSpec) -> tuple[str, str, str, str, str]:
    network = Network.of(spec)
    inference = network_key(network, device_kind="cpu", threads=2, precision="fp32")
    training = network_key(network, device_kind="cuda", threads=1, precision="bf16", mode="train")
    return spec.run_id, spec.cell_id, inference, training, probe_key(spec, JobSetting("cpu", 2, "fp32", 1))


@pytest.mark.parametrize(("backbone", "method"), BEFORE)
def test_ids_and_keys_equal_those_of_older_stores(backbone: str, method: str) -> None:
    assert keys(run_of(backbone, method).spec) == BEFORE[backbone, method]


def test_only_the_released_cait_has_a_new_id_since_its_class_attention_changed() -> None:
    now = run_of({"name": "cait", "variant": "released"}, "both").spec
    assert now.numerics == run_of("cait", "both").spec.numerics | {"cait": 2}
    before = dataclasses.replace(now, numerics=now.numerics | {"cait": 1})
    assert (before.run_id, before.cell_id) == ("2aafca0fb00f", "89fb15eabf6d")  # the ids of stored runs
    assert not set(keys(now)) & {*keys(before), *BEFORE["cait", "both"]}
    assert run_of({"name": "t2t", "variant": "released"}, "both").spec.numerics["t2t"] == 1


@pytest.mark.parametrize("backbone", ["vit", "pit", "swin"])
def test_an_older_search_has_the_same_definition(backbone: str) -> None:
    """A definition contains the run without the seed, like the id of a cell."""
    target = TuningTarget(backbone, "fashion-mnist-12k", "both")
    config = SearchConfig(name="search", trials=2, seeds=1, sampler="random", pruner="none")
    assert digest(definition(target, space_of(target), config)["run"]) == BEFORE[backbone, "both"][1]


@pytest.mark.parametrize(("kind", "field"), LATER)
def test_identity_defaults_are_the_defaults_of_the_fields(kind: type, field: str) -> None:
    defaults = {field.name: field.default for field in dataclasses.fields(kind)}
    assert defaults[field] == IDENTITY_DEFAULTS[kind][field]


@pytest.mark.parametrize("backbone", ["vit", "pit", "swin"])
def test_an_older_record_loads_as_the_same_run(backbone: str) -> None:
    record = make_record(run_of(backbone))
    content = record.model_dump(mode="json")
    (field,) = IDENTITY_DEFAULTS[type(record.spec.backbone)]
    del content["spec"]["backbone"][field], content["spec"]["recipe"]["equal"]
    again = RunRecord.model_validate_json(json.dumps(content))
    assert again == record
    assert again.spec.run_id == again.run_id == BEFORE[backbone, "none"][0]


@pytest.mark.parametrize("kind", OTHER)
def test_another_value_of_a_later_field_has_other_keys_and_reads_back(kind: Any) -> None:
    name = kind().name
    run = run_of({"name": name, **OTHER[kind]})
    assert not set(keys(run.spec)) & set(BEFORE[name, "none"])
    assert identity_dict(run.spec)["backbone"].items() >= OTHER[kind].items()
    assert checked(RunSpec, run.spec.as_dict(), where="record") == run.spec


def test_only_later_fields_are_omitted() -> None:
    spec = run_of("pit").spec
    whole, hashed = to_dict(spec), identity_dict(spec)
    assert whole["backbone"] == hashed["backbone"] | {"variant": "paper"}
    assert whole["recipe"] == hashed["recipe"] | IDENTITY_DEFAULTS[Recipe]
    assert whole["method"] == hashed["method"] | IDENTITY_DEFAULTS[Method]
    assert whole["dataset"] == hashed["dataset"] | {"split_seed": 0}
    others = {"backbone": 0, "method": 0, "recipe": 0, "dataset": 0}
    assert whole | others == hashed | others
