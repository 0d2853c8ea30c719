"""[report] of a study file: methods and columns of its table."""

from typing import Any

import pytest

from slbench.errors import InputError
from tests.support import missing, study


def test_a_study_selects_methods_and_columns_of_its_table() -> None:
    report = {"method": ["lsa", "none"], "columns": ["params", "final", "gain"]}
    found = study({"grid": {"method": ["none", "lsa"]}, "report": report})
    assert found.table_spec.method == ("lsa", "none")
    assert found.table_spec.columns == ("params", "final", "gain")
    assert [run.spec.run_id for run in found.runs] == [
        run.spec.run_id for run in study({"grid": {"method": ["none", "lsa"]}}).runs
    ]


@pytest.mark.parametrize(
    ("report", "words"),
    [
        ({"colums": ["final"]}, ("test.toml: report", "colums", "backbone", "method", "dataset", "columns")),
        ({"columns": ["finl"]}, ("test.toml", "report.columns", "finl", "final")),
        ({"columns": ["gain"]}, ("test.toml", "report.columns", "gain")),
        ({"columns": ["final", "macs", "gain"]}, ("gain",)),
        ({"method": ["lsaa"]}, ("report.method", "lsaa", "lsa", "none")),
        ({"backbone": ["vit"]}, ("report.backbone", "vit", "ViT")),
        ({"columns": "final"}, ("test.toml", "report.columns", "final")),
    ],
)
def test_a_table_with_unknown_names_is_refused(report: dict[str, Any], words: tuple[object, ...]) -> None:
    with pytest.raises(InputError) as caught:
        study({"grid": {"backbone": ["vit"], "method": ["none", "lsa"]}, "report": report})
    assert not missing(str(caught.value), *words)


def test_flags_that_narrow_the_grid_do_not_invalidate_the_table() -> None:
    content = {"grid": {"method": ["none", "lsa"]}, "report": {"method": ["none", "lsa"]}}
    assert [run.labels.method for run in study(content, grid={"method": ["lsa"]}).runs] == ["lsa"]
