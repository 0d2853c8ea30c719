"""Downloads: complete, resumed, from a second mirror, concurrent, and errors."""

import errno
import hashlib
import http.client
import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from slbench.data.sets.fetch import add_local_file, fetch
from slbench.data.sets.published import Archive
from slbench.errors import FetchError, InputError
from tests.data.server import Server, listing, serving
from tests.support import ROOT, missing, naming

CONTENT = np.random.default_rng(0).bytes(300_007)
MD5 = hashlib.md5(CONTENT).hexdigest()


@pytest.fixture
def server() -> Iterator[Server]:
    with serving({"/data.bin": CONTENT, "/wrong.bin": CONTENT[:-1] + b"?"}) as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of the data set "made"."""
    return tmp_path / "root" / "made"


def archive(*urls: str) -> Archive:
    return Archive("data.bin", MD5, urls)


def test_a_good_file_is_fetched_whole_and_only_once(server: Server, folder: Path) -> None:
    progress: list[Any] = []
    for _ in range(2):
        fetch(folder, [archive(server.url("/data.bin"))], on_progress=lambda *report: progress.append(report))
    assert (folder / "data.bin").read_bytes() == CONTENT
    assert listing(folder) == ["data.bin"]
    assert server.requests == [("/data.bin", None)]
    assert progress[-1] == ("data.bin", len(CONTENT), len(CONTENT))


def test_a_cut_connection_is_resumed_where_it_was_cut(server: Server, folder: Path) -> None:
    server.cut_after = 100_000
    fetch(folder, [archive(server.url("/data.bin"))])
    assert (folder / "data.bin").read_bytes() == CONTENT
    assert [byte_range for _, byte_range in server.requests] == [
        None,
        "bytes=100000-",
        "bytes=200000-",
        "bytes=300000-",
    ]


def test_a_later_fetch_resumes_the_partial_file_of_an_earlier_one(server: Server, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "data.bin.part").write_bytes(CONTENT[:1234])
    fetch(folder, [archive(server.url("/data.bin"))])
    assert server.requests == [("/data.bin", "bytes=1234-")]
    assert (folder / "data.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("partial", [b"x" * 1234, b"x" * 400_000])
def test_the_partial_file_of_another_archive_is_downloaded_again(server: Server, folder: Path, partial: bytes) -> None:
    folder.mkdir(parents=True)
    (folder / "data.bin.part").write_bytes(partial)
    fetch(folder, [archive(server.url("/data.bin"))])
    assert (folder / "data.bin").read_bytes() == CONTENT


def test_a_server_that_knows_no_ranges_sends_everything_again(server: Server, folder: Path) -> None:
    server.ranges = False
    folder.mkdir(parents=True)
    (folder / "data.bin.part").write_bytes(CONTENT[:1234])
    fetch(folder, [archive(server.url("/data.bin"))])
    assert (folder / "data.bin").read_bytes() == CONTENT


def test_a_server_that_sends_nothing_is_given_up(server: Server, folder: Path) -> None:
    server.cut_after = 0
    with pytest.raises(FetchError, match=naming("connection")):
        fetch(folder, [archive(server.url("/data.bin"))])
    assert len(server.requests) == 5
    assert not (folder / "data.bin").exists()


def test_a_network_that_fails_in_the_middle_is_a_cut_and_not_the_disks_fault(
    server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, failures = (
        http.client.HTTPResponse.read,
        [OSError(errno.EHOSTUNREACH, "No route to host"), ssl.SSLError("bad")],
    )

    def failing(answer: http.client.HTTPResponse, amount: int) -> bytes:
        if failures:
            raise failures.pop()
        return read(answer, amount)

    monkeypatch.setattr(http.client.HTTPResponse, "read", failing)
    fetch(folder, [archive(server.url("/data.bin"))])
    assert (folder / "data.bin").read_bytes() == CONTENT
    assert len(server.requests) == 3


def test_a_mirror_without_the_file_is_followed_by_the_next(server: Server, folder: Path) -> None:
    fetch(folder, [archive(server.url("/gone.bin"), server.url("/wrong.bin"), server.url("/data.bin"))])
    assert (folder / "data.bin").read_bytes() == CONTENT
    assert [path for path, _ in server.requests] == ["/gone.bin", "/wrong.bin", "/data.bin"]


def test_a_wrong_checksum_leaves_nothing_and_is_reported_with_the_expected_one(server: Server, folder: Path) -> None:
    gone, wrong = server.url("/gone.bin"), server.url("/wrong.bin")
    md5 = hashlib.md5(server.files["/wrong.bin"]).hexdigest()
    with pytest.raises(FetchError) as refused:
        fetch(folder, [archive(gone, wrong)])
    assert not missing(
        str(refused.value),
        "data.bin",
        gone,
        "HTTP Error 404",
        wrong,
        "md5",
        md5,
        MD5,
        "slbench data fetch made",
        "--from",
        "FILE",
    )
    assert listing(folder) == []


def test_no_reachable_server_is_an_error(folder: Path) -> None:
    with serving({}) as gone:
        url = gone.url("/data.bin")
    with pytest.raises(FetchError, match=naming("data.bin", "http://127.0.0.1", "refused")):
        fetch(folder, [archive(url)])


def test_two_processes_at_once_fetch_it_once(server: Server, folder: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from slbench.data.sets.fetch import fetch\n"
        "from slbench.data.sets.published import Archive\n"
        "fetch(Path(sys.argv[3]), [Archive('data.bin', sys.argv[1], (sys.argv[2],))])"
    )
    command = [sys.executable, "-c", program, MD5, server.url("/data.bin"), str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    both = [subprocess.Popen(command, env=environment) for _ in range(2)]
    assert [process.wait(timeout=60) for process in both] == [0, 0]
    assert server.requests == [("/data.bin", None)]
    assert (folder / "data.bin").read_bytes() == CONTENT


def test_a_full_disk_is_reported_before_the_download(
    server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(InputError) as refused:
        fetch(folder, [archive(server.url("/data.bin"))])
    assert not missing(str(refused.value), folder, "0.3 MB", "1,000 B", "--data-root", "SLBENCH_DATA")
    assert listing(folder) == []


def test_a_read_only_data_root_is_an_error(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "made"
    with pytest.raises(InputError) as refused:
        fetch(folder, [archive(server.url("/data.bin"))])
    assert not missing(str(refused.value), f"{tmp_path}/file/made", "--data-root", "SLBENCH_DATA")
    assert server.requests == []


def test_a_local_file_is_added_by_its_checksum_whatever_its_name(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "downloaded (1)").write_bytes(CONTENT)
    assert add_local_file(folder, [archive()], tmp_path / "downloaded (1)").name == "data.bin"
    assert (folder / "data.bin").read_bytes() == CONTENT


def test_a_local_file_with_another_checksum_is_refused(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "other").write_bytes(b"other")
    with pytest.raises(InputError) as refused:
        add_local_file(folder, [archive()], tmp_path / "other")
    md5 = hashlib.md5(b"other").hexdigest()
    assert not missing(str(refused.value), f"{tmp_path}/other", "md5", md5, "made", "data.bin", MD5)
    with pytest.raises(InputError, match=naming("absent")):
        add_local_file(folder, [archive()], tmp_path / "absent")
    assert not folder.exists()
