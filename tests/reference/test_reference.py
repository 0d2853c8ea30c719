"""Committed reports of the reference studies are those of their committed runs."""

from pathlib import Path

import pandas as pd
import pytest

from tests.reference.quoted import END, PAGE, QUOTATION, with_quotations
from tests.reference.regenerate import COMMITTED, differences, names, regenerate
from tests.support import ROOT


@pytest.mark.slow
@pytest.mark.parametrize("name", names())
def test_the_committed_report_is_that_of_the_committed_runs(name: str, tmp_path: Path) -> None:
    assert list(differences(name, regenerate(name, tmp_path))) == []


def test_the_page_of_results_quotes_the_committed_reports() -> None:
    page = PAGE.read_text(encoding="utf-8")
    emptied = QUOTATION.sub(lambda quotation: f"{quotation[0].splitlines()[0]}\n{END}", page)
    assert len(emptied) < len(page)
    assert with_quotations(page) == with_quotations(emptied) == page


def test_runs_trained_again_have_the_weights_of_the_committed_runs() -> None:
    again, committed = (
        pd.read_csv(COMMITTED / "cifar10_12k" / folder / "runs.csv", index_col="run") for folder in ("rerun", "")
    )
    assert len(again) == 2
    same = ["final_test_top1", "final_test_loss", "weights_sha256"]
    pd.testing.assert_frame_equal(again[same], committed.loc[again.index, same])
    assert not set(again["host_machine_id"]) & set(committed.loc[again.index, "host_machine_id"])


@pytest.mark.parametrize("page", ["README.md", "docs/results.md"])
def test_the_headline_has_the_committed_effects(page: str) -> None:
    findings = pd.read_csv(COMMITTED / "cifar10_12k" / "findings.csv").set_index("contrast")
    text = " ".join((ROOT / page).read_text(encoding="utf-8").split())
    for effect in ("main effect of spt", "main effect of lsa"):
        answer = findings.loc[effect].to_dict()
        estimate, low, high = (f"{answer[column]:+.2f}" for column in ("estimate", "low", "high"))
        assert estimate in text
        assert f"({low} to {high})" in text
        assert float(high) < 2  # "gains of two points are excluded"
        assert answer["verdict"] == "undecided"
