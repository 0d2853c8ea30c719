"""metrics.csv of any content is read, or refused in one line."""

from pathlib import Path

import pytest

from slbench.history import read_history


@pytest.mark.parametrize(
    "content", [b"", b"\x00" * 8 + b"epoch\r\n1", b"a\rb\r\n", b'"', b"\xff", b"epoch,lr\n1,0.5\n"], ids=repr
)
def test_a_history_that_is_none_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "metrics.csv").write_bytes(content)
    with pytest.raises(ValueError, match=r"\A.+\Z"):
        read_history(tmp_path / "metrics.csv")
