"""Text helpers of messages, tables and captions."""

import pytest

from slbench.text import distinct, duration, mebibytes, megabytes, one_line, plural, printable, sentence


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


def test_control_characters_are_left_out_and_lines_stay() -> None:
    hostile = "a\x00b\x1b[31mc\x1b[2K\x1b]0;title\x07d\x9b5me\u202ef\u2066g\r\n\th\x7f\ufeff"
    assert printable(hostile) == "abcd5mefg\n\th"
    assert printable("\x1b\x1b[0m[31m\x1b") == "[31m"
    assert printable("é 日本 🙂 \udc80") == "é 日本 🙂 \N{REPLACEMENT CHARACTER}"
    assert one_line(" a \r\n\t b\u2028c\x1b ") == "a b c"


def test_a_sentence_ends_once() -> None:
    assert [sentence(text) for text in ("It helps", "Does it help?", "Yes.")] == ["It helps.", "Does it help?", "Yes."]
