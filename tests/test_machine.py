import platform
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from slbench import machine


@pytest.mark.parametrize(
    ("content", "cores"),
    [("200000 100000\n", 2.0), ("150000 100000\n", 1.5), ("max 100000\n", None), ("", None), ("garbage\n", None)],
)
def test_the_core_limit_is_read_from_a_cgroup_file(tmp_path: Path, content: str, cores: float | None) -> None:
    file = tmp_path / "cpu.max"
    file.write_text(content)
    assert machine.cgroup_cores(file) == cores


def test_the_load_of_others_is_what_the_processors_did_and_this_process_did_not() -> None:
    before = machine.CpuClock(wall=10.0, busy=100.0, own=5.0)
    assert machine.CpuClock(wall=14.0, busy=110.0, own=9.0).other_load(before) == 1.5  # 10 s busy, 4 s of them ours
    assert machine.CpuClock(wall=14.0, busy=103.0, own=9.0).other_load(before) == 0.0
    now = machine.CpuClock.now()
    assert now.busy >= now.own >= 0


def test_without_a_cgroup_file_there_is_no_limit(tmp_path: Path) -> None:
    assert machine.cgroup_cores(tmp_path / "cpu.max") is None


@pytest.mark.parametrize(
    ("affinity", "quota", "cores"), [(8, None, 8), (8, 3.0, 3), (2, 3.0, 2), (8, 2.9, 2), (8, 0.5, 1)]
)
def test_usable_cores_are_the_minimum_of_affinity_and_cgroup_and_at_least_one(
    monkeypatch: pytest.MonkeyPatch, affinity: int, quota: float | None, cores: int
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(affinity)), raising=False)
    monkeypatch.setattr(machine, "cgroup_cores", lambda path: quota)
    assert machine.usable_cores() == cores


@pytest.mark.parametrize(
    ("flags", "native"),
    [("fpu sse2 avx512f", False), ("avx512_bf16", True), ("amx_tile amx_bf16", True), ("avx512_bf16x", False)],
)
def test_bf16_is_native_with_avx512_bf16_or_amx(monkeypatch: pytest.MonkeyPatch, flags: str, native: bool) -> None:
    monkeypatch.setattr(machine, "cpu_info", lambda: {"flags": flags})
    assert machine.cpu_computes_bf16() is native


def test_a_machine_id_is_m_and_11_hex_digits_and_constant() -> None:
    first = machine.host()
    machine.host.cache_clear()
    assert machine.host().machine_id == first.machine_id
    assert len(first.machine_id) == 12
    assert first.machine_id[0] == "m"
    int(first.machine_id[1:], 16)


def repository(folder: Path) -> None:
    commands = ["init -q", "add .", "-c user.name=x -c user.email=x@x commit -q -m x"]
    for command in commands:
        subprocess.run(["git", "-C", str(folder), *command.split()], check=True, capture_output=True)


def test_a_package_outside_a_repository_has_no_commit(tmp_path: Path) -> None:
    (tmp_path / "__init__.py").touch()
    assert machine.git_state(tmp_path) == (None, None)


def test_a_tracked_package_has_a_commit_and_is_dirty_once_it_is_changed(tmp_path: Path) -> None:
    (tmp_path / "__init__.py").touch()
    repository(tmp_path)
    commit, dirty = machine.git_state(tmp_path)
    assert commit is not None
    assert len(commit) == 40
    assert dirty is False
    (tmp_path / "__init__.py").write_text("x = 1\n")
    assert machine.git_state(tmp_path) == (commit, True)


def test_an_untracked_package_in_another_repository_has_no_commit(tmp_path: Path) -> None:
    (tmp_path / "other.txt").touch()
    repository(tmp_path)
    package = tmp_path / "site-packages"
    package.mkdir()
    (package / "__init__.py").touch()
    assert machine.git_state(package) == (None, None)


ALLOCATIONS = """
import resource, sys
from slbench import machine

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = b"x" * 2**26
    del block
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    return int(open("/proc/self/statm").read().split()[1])

machine.keep_freed_memory()
kept = [faults(), faults()]
before = resident()
machine.return_freed_memory()
print(*kept, before - resident())
"""


@pytest.mark.skipif(sys.platform != "linux" or platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_freed_memory_is_kept_until_it_is_returned() -> None:
    output = subprocess.run([sys.executable, "-c", ALLOCATIONS], check=True, capture_output=True, text=True).stdout
    first, again, returned = (int(value) for value in output.split())
    pages = 2**26 // resource.getpagesize()
    assert first > 0.9 * pages
    assert again < pages / 10
    assert returned > 0.9 * pages
