"""Committed reports of the reference studies are those of their committed runs."""

import re
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
@pytest.mark.parametrize(
    ("study", "verdicts"),
    [("cifar10_12k", {"spt": "undecided", "lsa": "undecided"}), ("fashion_12k", {"spt": "better", "lsa": "undecided"})],
)
def test_the_headline_has_the_committed_effects(page: str, study: str, verdicts: dict[str, str]) -> None:
    findings = pd.read_csv(COMMITTED / study / "findings.csv").set_index("contrast")
    text = " ".join((ROOT / page).read_text(encoding="utf-8").split())
    for effect, verdict in verdicts.items():
        answer = findings.loc[f"main effect of {effect}"].to_dict()
        estimate, low, high = (f"{answer[column]:+.2f}" for column in ("estimate", "low", "high"))
        assert re.search(rf"{re.escape(estimate)} (points )?\({re.escape(low)} to {re.escape(high)}\b", text)
        assert answer["verdict"] == verdict


def test_exploratory_differences_of_the_page_are_those_of_the_committed_runs() -> None:
    """Mean and standard deviation of differences paired by seed, as the page writes them."""
    runs = pd.read_csv(COMMITTED / "cifar10_12k" / "runs.csv")
    page = PAGE.read_text(encoding="utf-8")
    factors: dict[str, dict[str, float]] = {
        "main effect of SPT": {"spt": 0.5, "none": -0.5, "both": 0.5, "lsa": -0.5},
        "main effect of LSA": {"lsa": 0.5, "none": -0.5, "both": 0.5, "spt": -0.5},
        "`both` less `lsa`": {"both": 1, "lsa": -1},
        "`spt` less `layer-norm-only`": {"spt": 1, "layer-norm-only": -1},
        "`spt` less `none`": {"spt": 1, "none": -1},
        "`lsa` less `none`": {"lsa": 1, "none": -1},
        "`layer-norm-only` less `none`": {"layer-norm-only": 1, "none": -1},
        "`overlapping-conv` less `none`": {"overlapping-conv": 1, "none": -1},
        "`window-2p` less `none`": {"window-2p": 1, "none": -1},
        "`spt` less `window-2p`": {"spt": 1, "window-2p": -1},
    }

    def difference(metric: str, row: str, digits: int) -> str:
        of = runs.pivot_table(index="seed", columns="method", values=metric)
        paired = sum((factor * of[method] for method, factor in factors[row].items()), start=pd.Series(0.0, of.index))
        return f"{round(paired.mean(), 8):+.{digits}f} ± {paired.std():.{digits}f}"

    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| ") and " ± " in line]
    differences = [cells for cells in rows if len(cells) == 3]
    assert {row for row, *_ in differences} == factors.keys()
    for row, first, second in differences:
        if len(first.split()[0]) == len("-0.039"):  # NLL, in nats
            assert first == difference("final_test_loss", row, 3)
        else:
            assert (first, second) == (difference("final_val_top1", row, 2), difference("final_test_top1", row, 2))
