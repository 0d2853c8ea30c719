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
from slbench.limits import ARCHIVE_BYTES
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
    """Return the folder of the data set "tiny"."""
    return tmp_path / "root" / "tiny"


def archive(*urls: str) -> Archive:
    return Archive("data.bin", MD5, urls)


def test_a_file_is_downloaded_only_once(server: Server, folder: Path) -> None:
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


def test_a_download_restarts_if_the_server_ignores_ranges(server: Server, folder: Path) -> None:
    server.ranges = False
    folder.mkdir(parents=True)
    (folder / "data.bin.part").write_bytes(CONTENT[:1234])
    fetch(folder, [archive(server.url("/data.bin"))])
    assert (folder / "data.bin").read_bytes() == CONTENT


def test_a_download_without_progress_fails_after_five_attempts(server: Server, folder: Path) -> None:
    server.cut_after = 0
    with pytest.raises(FetchError, match=naming("connection")):
        fetch(folder, [archive(server.url("/data.bin"))])
    assert len(server.requests) == 5
    assert not (folder / "data.bin").exists()


def test_a_download_resumes_after_a_network_error(
    server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = http.client.HTTPResponse.read
    failures = [OSError(errno.EHOSTUNREACH, "No route to host"), ssl.SSLError("bad")]

    def failing(answer: http.client.HTTPResponse, amount: int) -> bytes:
        if failures:
            raise failures.pop()
        return read(answer, amount)

    monkeypatch.setattr(http.client.HTTPResponse, "read", failing)
    fetch(folder, [archive(server.url("/data.bin"))])
    assert (folder / "data.bin").read_bytes() == CONTENT
    assert len(server.requests) == 3


def test_mirrors_are_tried_in_order(server: Server, folder: Path) -> None:
    fetch(folder, [archive(server.url("/gone.bin"), server.url("/wrong.bin"), server.url("/data.bin"))])
    assert (folder / "data.bin").read_bytes() == CONTENT
    assert [path for path, _ in server.requests] == ["/gone.bin", "/wrong.bin", "/data.bin"]


def test_a_wrong_checksum_leaves_no_file_and_is_reported_with_the_expected_one(server: Server, folder: Path) -> None:
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
        "slbench data fetch tiny",
        "--from",
        "FILE",
    )
    assert listing(folder) == []


def test_no_reachable_server_is_an_error(folder: Path) -> None:
    with serving({}) as gone:
        url = gone.url("/data.bin")
    with pytest.raises(FetchError, match=naming("data.bin", "http://127.0.0.1", "refused")):
        fetch(folder, [archive(url)])


def test_concurrent_processes_download_a_file_once(server: Server, folder: Path) -> None:
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
    folder = tmp_path / "file" / "tiny"
    with pytest.raises(InputError) as refused:
        fetch(folder, [archive(server.url("/data.bin"))])
    assert not missing(str(refused.value), f"{tmp_path}/file/tiny", "--data-root", "SLBENCH_DATA")
    assert server.requests == []


def test_a_local_file_of_any_name_is_added_by_its_checksum(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "downloaded (1)").write_bytes(CONTENT)
    assert add_local_file(folder, [archive()], tmp_path / "downloaded (1)").name == "data.bin"
    assert (folder / "data.bin").read_bytes() == CONTENT


def test_a_local_file_with_another_checksum_is_refused(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "other").write_bytes(b"other")
    with pytest.raises(InputError) as refused:
        add_local_file(folder, [archive()], tmp_path / "other")
    md5 = hashlib.md5(b"other").hexdigest()
    assert not missing(str(refused.value), f"{tmp_path}/other", "md5", md5, "tiny", "data.bin", MD5)
    with pytest.raises(InputError, match=naming("absent")):
        add_local_file(folder, [archive()], tmp_path / "absent")
    assert not folder.exists()


@pytest.mark.parametrize("name", ["data.bin", "data.bin.part"])
def test_a_fifo_in_the_place_of_a_download_is_refused(server: Server, folder: Path, name: str) -> None:
    folder.mkdir(parents=True)
    os.mkfifo(folder / name)
    with pytest.raises(InputError, match=naming(str(folder / name), "not a file")):
        fetch(folder, [archive(server.url("/data.bin"))])


def test_a_download_larger_than_any_archive_is_refused(
    server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ARCHIVE_BYTES.variable, str(2**18))
    with pytest.raises(FetchError, match=naming("0.000244141 GiB", ARCHIVE_BYTES.variable)):
        fetch(folder, [archive(server.url("/data.bin"))])
    assert server.requests == [("/data.bin", None)]


def test_a_local_file_that_is_a_device_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match=naming("/dev/zero", "device")):
        add_local_file(folder, [archive()], Path("/dev/zero"))
