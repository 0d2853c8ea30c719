"""Text helpers of messages, tables and captions."""

import pytest

from slbench.text import distinct, duration, markdown_table, mebibytes, megabytes, plural


def test_a_markdown_table_is_aligned_and_as_wide_as_its_cells() -> None:
    lines = [["ViT", "78.50 (1)", "a|b"], ["S-ViT, longer", "81.25 ± 0.40 (2)", " two\nlines "]]
    assert markdown_table(["Model", "final top-1", "note"], lines, align="lr").splitlines() == [
        "| Model         |      final top-1 | note      |",
        "|:--------------|-----------------:|:----------|",
        "| ViT           |        78.50 (1) | a\\|b      |",
        "| S-ViT, longer | 81.25 ± 0.40 (2) | two lines |",
    ]


def test_a_column_is_at_least_two_wider_than_its_head() -> None:
    assert markdown_table(["ab"], [["c"]], align="r").splitlines() == ["|   ab |", "|-----:|", "|    c |"]
    assert markdown_table(["ab"], []).splitlines() == ["| ab   |", "|:-----|"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (123, "2:03"), (3599.4, "59:59"), (3723, "1:02:03")]
)
def test_a_duration_is_minutes_and_seconds_with_hours_above_one(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("size", "digits", "text"),
    [
        (1_234_567_890, 1, "1,234.6 MB"),
        (50_000, 1, "0.1 MB"),
        (49_999, 1, "49,999 B"),
        (5000, 2, "0.01 MB"),
        (4999, 2, "4,999 B"),
        (0, 0, "0 B"),
    ],
)
def test_a_size_is_in_megabytes_or_in_bytes_if_it_rounds_to_zero(size: int, digits: int, text: str) -> None:
    assert megabytes(size, digits=digits) == text


def test_mebibytes_counts_and_distinct_values() -> None:
    assert mebibytes(1234.6 * 2**20) == "1,235 MiB"
    assert [plural(count, "run") for count in (0, 1, 2)] == ["0 runs", "1 run", "2 runs"]
    assert distinct([2, 1, 2, 3, 1]) == (2, 1, 3)
