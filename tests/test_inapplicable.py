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


def test_a_grid_leaves_out_methods_that_do_not_apply_and_notes_it() -> None:
    made_study = study({"backbone": ["vit", "pit"], "method": ["both", "both-no-pool"]})
    assert cells(made_study) == [("ViT", "both"), ("PiT", "both"), ("PiT", "both-no-pool")]
    (note,) = made_study.notes
    assert not missing(note, "ViT", "both-no-pool", "s_pool", "no")


def test_such_a_method_alone_is_refused_in_one_line() -> None:
    with pytest.raises(InapplicableError) as refused:
        study({"backbone": ["vit"], "method": ["both-no-pool"]})
    assert not missing(str(refused.value), "x.toml", "ViT", "both-no-pool", "s_pool", "no")


def test_a_convolutional_network_runs_once_as_none_for_any_methods_of_the_grid() -> None:
    made_study = study({"backbone": ["vit", "resnet56"], "method": ["spt", "both"], "seed": [0, 1]})
    assert cells(made_study).count(("ResNet56", "none")) == 2
    assert len(made_study.runs) == 6
    (note,) = made_study.notes
    assert not missing(note, "ResNet56", "none")
    assert {run.spec.run_id for run in made_study.runs} > {
        run.spec.run_id for run in study({"backbone": ["resnet56"], "seed": [0, 1]}).runs
    }


@pytest.mark.parametrize("methods", [["spt"], ["spt", "both"]])
def test_a_convolutional_network_alone_refuses_every_method_except_none(methods: list[str]) -> None:
    with pytest.raises(InputError, match=naming("ResNet56", "spt", "attention")):
        study({"backbone": ["resnet56"], "method": methods})


def test_a_setting_of_every_method_does_not_change_a_convolutional_network() -> None:
    made_study = study({"backbone": ["vit", "resnet56"], "method": ["none"]}, **{"method.initial_temperature": 0.5})
    assert [run.spec.method.initial_temperature for run in made_study.runs] == [0.5, 1.0]


def test_sizes_of_stages_are_lists_and_an_axis_of_them_a_list_of_lists() -> None:
    fixed = study({"backbone": ["pit"], "method": ["none"], "backbone.depths": [1, 1, 1]})
    assert [run.spec.as_dict()["backbone"]["depths"] for run in fixed.runs] == [[1, 1, 1]]
    varied = study({"backbone": ["pit"], "method": ["none"], "backbone.depths": [[1, 1, 1], [1, 2, 1]]})
    assert len(varied.runs) == 2
    heads = study({"backbone": ["swin"], "method": ["none"]}, **{"backbone.num_heads": [1, 2, 4]})
    assert heads.runs[0].spec.as_dict()["backbone"]["num_heads"] == [1, 2, 4]
    axis = study({"backbone": ["vit"], "method": ["none"], "backbone.num_heads": [4, 12]})
    assert len(axis.runs) == 2


@pytest.mark.parametrize("backbone", ["cait", "t2t"])
def test_an_unknown_variant_is_refused_with_the_allowed_ones(backbone: str) -> None:
    with pytest.raises(InputError, match=naming("paper", "released", "old")):
        study({"backbone": [backbone]}, **{"backbone.variant": "old"})


def test_pit_is_the_papers_or_the_original() -> None:
    with pytest.raises(InputError, match=naming("paper", "original", "released")):
        study({"backbone": ["pit"]}, **{"backbone.variant": "released"})


def test_a_run_of_each_backbone_survives_writing_and_reading() -> None:
    from slbench.spec import RunSpec
    from slbench.validation import checked

    names = ["vit", "t2t", "cait", "pit", "swin", "resnet56", "resnet110", "efficientnet-b0"]
    made_study = study({"backbone": names, "method": ["both"]})
    for run in made_study.runs:
        assert checked(RunSpec, run.spec.as_dict(), where="record") == run.spec
    assert len({run.spec.run_id for run in made_study.runs}) == len(names)


def test_a_preset_is_its_backbone_in_named_sizes_that_can_still_be_changed() -> None:
    made_study = study(
        {"backbone": ["vit-tiny", {"name": "vit-tiny", "label": "shallow", "depth": 2}], "method": ["none"]}
    )
    first, second = (run.spec.as_dict()["backbone"] for run in made_study.runs)
    assert [run.labels.backbone for run in made_study.runs] == ["ViT-Tiny", "shallow"]
    assert (first["name"], first["depth"], first["num_heads"], first["mlp_ratio"]) == ("vit", 12, 3, 4.0)
    assert second == first | {"depth": 2}
