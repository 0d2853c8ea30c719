"""Grids with methods that do not apply to some backbone."""

from typing import Any

import pytest

from slbench.errors import InapplicableError, InputError
from slbench.study import Flags, Study, make_study
from tests.support import missing, naming


def study(grid: dict[str, Any], **settings: Any) -> Study:
    content = {"grid": {"dataset": ["fashion-mnist-12k"], **grid}, "set": settings}
    return make_study(content, name="x", where="x.toml", flags=Flags())


def cells(of_study: Study) -> list[tuple[str, str]]:
    return [(run.labels.backbone, run.labels.method) for run in of_study.runs]


def test_inapplicable_methods_are_omitted_with_a_note() -> None:
    found = study({"backbone": ["vit", "pit"], "method": ["both", "both-no-pool"]})
    assert cells(found) == [("ViT", "both"), ("PiT", "both"), ("PiT", "both-no-pool")]
    (note,) = found.notes
    assert not missing(note, "ViT", "both-no-pool", "s_pool", "no")


def test_a_rival_method_is_omitted_where_it_means_nothing() -> None:
    found = study({"backbone": ["vit", "swin"], "method": ["none", "registers"]})
    assert cells(found) == [("ViT", "none"), ("ViT", "registers"), ("Swin", "none")]
    (note,) = found.notes
    assert not missing(note, "Swin", "registers", "4", "ViT")


def test_a_study_with_inapplicable_methods_only_is_refused() -> None:
    with pytest.raises(InapplicableError) as caught:
        study({"backbone": ["vit"], "method": ["both-no-pool"]})
    assert not missing(str(caught.value), "x.toml", "ViT", "both-no-pool", "s_pool", "no")


def test_a_convolutional_network_runs_only_method_none() -> None:
    found = study({"backbone": ["vit", "resnet56"], "method": ["spt", "both"], "seed": [0, 1]})
    assert cells(found).count(("ResNet56", "none")) == 2
    assert len(found.runs) == 6
    (note,) = found.notes
    assert not missing(note, "ResNet56", "none")
    assert {run.spec.run_id for run in found.runs} > {
        run.spec.run_id for run in study({"backbone": ["resnet56"], "seed": [0, 1]}).runs
    }


@pytest.mark.parametrize("methods", [["spt"], ["spt", "both"]])
def test_methods_are_refused_for_convolutional_networks_alone(methods: list[str]) -> None:
    with pytest.raises(InputError, match=naming("ResNet56", "spt", "attention")):
        study({"backbone": ["resnet56"], "method": methods})


def test_method_settings_do_not_change_a_convolutional_network() -> None:
    found = study({"backbone": ["vit", "resnet56"], "method": ["none"]}, **{"method.initial_temperature": 0.5})
    assert [run.spec.method.initial_temperature for run in found.runs] == [0.5, 1.0]


@pytest.mark.parametrize(("backbone", "other"), [("cait", "released"), ("t2t", "released"), ("pit", "original")])
def test_an_unknown_variant_is_refused_with_the_allowed_ones(backbone: str, other: str) -> None:
    with pytest.raises(InputError, match=naming("paper", other, "old")):
        study({"backbone": [backbone]}, **{"backbone.variant": "old"})


def test_a_run_of_each_backbone_reads_back_from_its_dict() -> None:
    from slbench.spec import RunSpec
    from slbench.validation import checked

    names = ["vit", "t2t", "cait", "pit", "swin", "resnet56", "resnet110", "efficientnet-b0"]
    found = study({"backbone": names, "method": ["both"]})
    for run in found.runs:
        assert checked(RunSpec, run.spec.as_dict(), where="record") == run.spec
    assert len({run.spec.run_id for run in found.runs}) == len(names)


def test_a_preset_is_a_backbone_with_sizes_that_can_be_changed() -> None:
    found = study({"backbone": ["vit-tiny", {"name": "vit-tiny", "label": "shallow", "depth": 2}], "method": ["none"]})
    first, second = (run.spec.as_dict()["backbone"] for run in found.runs)
    assert [run.labels.backbone for run in found.runs] == ["ViT-Tiny", "shallow"]
    assert (first["name"], first["depth"], first["num_heads"], first["mlp_ratio"]) == ("vit", 12, 3, 4.0)
    assert second == first | {"depth": 2}
