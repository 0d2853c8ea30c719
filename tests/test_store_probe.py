"""The probe of a folder accepts a usable file system, and names what a broken one does."""

from pathlib import Path

import pytest

from slbench import store_probe
from slbench.store_probe import mount_faults, mount_of, store_faults, what_holds
from tests.support import missing


def test_a_usable_folder_has_no_faults_and_is_left_as_it_was(tmp_path: Path) -> None:
    assert store_faults(tmp_path / "results") == []
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_which_claims_do_not_exclude_each_other_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_probe, "create", lambda *_: True)
    (fault,) = store_probe.competition(tmp_path)
    assert "50 of 50" in fault and "claimed twice" in fault


def test_a_folder_in_which_nobody_can_claim_is_named(tmp_path: Path) -> None:
    for number in range(7):
        (tmp_path / str(number)).touch()
    (fault,) = store_probe.competition(tmp_path)
    assert "7 of 50" in fault


def test_a_folder_in_which_files_are_read_half_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_probe, "replace", lambda path, content: path.write_text(content[:7]))
    (fault,) = store_probe.reading(tmp_path)
    assert "half-written" in fault


MOUNTS = r"""
22 1 252:1 / / rw,relatime shared:1 - ext4 /dev/vda rw
40 22 0:40 / /home/data\040sets rw,nosuid - nfs4 host:/x rw,vers=4.2,addr=10.0.0.1
41 22 0:41 / /home/slow rw - nfs host:/y rw,acregmax=600,acdirmax=30
42 22 0:42 / /home/fresh rw - nfs host:/z rw,noac
43 22 0:43 / /home/bucket rw - fuse.s3fs s3fs rw
44 22 0:44 / /home/lustre rw - lustre host:/w rw
""".strip()


@pytest.mark.parametrize(
    ("folder", "kind", "delay", "faults"),
    [
        ("/home/other", "ext4", None, []),
        ("/home/data sets/results", "nfs4", 60, []),
        ("/home/slow", "nfs", 600, [("600", "acregmax", "100")]),
        ("/home/fresh", "nfs", 0, []),
        ("/home/bucket/x", "fuse.s3fs", None, [("object store", "claimed twice")]),
        ("/home/lustre", "lustre", None, []),
    ],
)
def test_the_mount_of_a_folder_tells_what_cannot_be_probed(
    tmp_path: Path, folder: str, kind: str, delay: int | None, faults: list[tuple[str, ...]]
) -> None:
    (tmp_path / "mountinfo").write_text(MOUNTS)
    mount = mount_of(Path(folder), tmp_path / "mountinfo")
    assert mount is not None
    assert (mount.kind, mount.delay) == (kind, delay)
    lines = list(mount_faults(mount))
    assert len(lines) == len(faults)
    assert [missing(line, *parts) for line, parts in zip(lines, faults, strict=True)] == [[] for _ in faults]
    assert mount_of(Path("/x"), tmp_path / "none") is None


def test_a_shared_folder_is_not_said_to_be_probed_between_machines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not missing(what_holds(tmp_path), "links", "two processes of this machine")
    monkeypatch.setattr(store_probe, "mount_of", lambda folder: store_probe.Mount("nfs4", ()))
    monkeypatch.setattr(store_probe, "has_links", lambda folder: False)
    assert not missing(what_holds(tmp_path), "no hard links", "nfs4", "60 s", "cannot probe")
    assert list(tmp_path.iterdir()) == []
