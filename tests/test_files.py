"""Files that are read are regular ones."""

import os
import socket
from pathlib import Path

import pytest

from slbench.files import open_regular, owner_hint, read_json, read_regular


def special(kind: str, folder: Path) -> Path:
    """Create something that is not a regular file."""
    path = folder / "x"
    if kind == "FIFO":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(path))
    else:
        path.mkdir()
    return path


@pytest.mark.parametrize("kind", ["FIFO", "device", "socket", "directory"])
def test_only_a_regular_file_is_opened(kind: str, tmp_path: Path) -> None:
    path = special(kind, tmp_path)
    with pytest.raises(OSError, match=r"is a (FIFO|device), not a file|Is a directory|No such device"):
        open_regular(path)
    assert read_json(path) is None


def test_a_link_to_nothing_is_no_missing_file(tmp_path: Path) -> None:
    (tmp_path / "x").symlink_to("none")
    with pytest.raises(OSError, match="link to nothing") as refused:
        open_regular(tmp_path / "x")
    assert not isinstance(refused.value, FileNotFoundError)


def test_a_link_to_a_regular_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"{}")
    (tmp_path / "link").symlink_to("x")
    assert read_regular(tmp_path / "link") == b"{}"
    assert read_json(tmp_path / "link") == {}


def test_a_file_above_the_limit_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"1234567")
    assert read_regular(tmp_path / "x", max_bytes=7) == b"1234567"
    with pytest.raises(OSError, match="has more than 6 bytes"):
        read_regular(tmp_path / "x", max_bytes=6)


@pytest.mark.parametrize("name", ["x", "missing/x"])
def test_the_owner_of_what_another_user_has_is_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x").touch()
    assert owner_hint(tmp_path / name) == ""
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert owner_hint(tmp_path / name) == f"; it belongs to {tmp_path.owner()}"
