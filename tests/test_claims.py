"""A run is claimed by one process at a time; claims of dead processes are taken over."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from slbench import claims
from slbench.claims import Claim, Claims, Owner, boot_id, current_claim, is_alive, process_start_time
from slbench.errors import StoreError
from tests.kills import killed_folders
from tests.support import naming


def write_remote_claim(path: Path, *, processes: tuple[tuple[int, str], ...] = ((1, "1"),)) -> None:
    """Write a claim of another machine."""
    owner = Owner(token="other", hostname="far", boot="another", processes=processes)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(owner.model_dump_json())


def acquire(root: Path) -> Claim:
    """Return a new claim of the run."""
    claim = Claims(root).acquire("run")
    assert claim is not None
    return claim


def test_a_run_is_claimed_once_and_again_after_release(tmp_path: Path) -> None:
    claim = acquire(tmp_path)
    assert Claims(tmp_path).acquire("run") is None
    assert set(Claims(tmp_path).holders()) == {"run"}
    claim.release(done=False)
    assert Claims(tmp_path).holders() == {}
    second = acquire(tmp_path)
    assert (second.path.name, second.heartbeat(), claim.heartbeat()) == ("2.json", True, False)
    second.release(done=True)
    assert list(tmp_path.iterdir()) == []


def test_one_of_several_threads_gets_the_claim(tmp_path: Path) -> None:
    barrier, won = threading.Barrier(16), list[Claim]()

    def race() -> None:
        observer = Claims(tmp_path)
        barrier.wait()
        claim = observer.acquire("run")
        if claim is not None:
            won.append(claim)

    for round_number in range(1, 6):
        threads = [threading.Thread(target=race) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [claim.path.name for claim in won] == [f"{round_number}.json"]
        won.pop().release(done=False)


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "no hard links"])
def test_one_of_several_processes_gets_the_claim(tmp_path: Path, links: bool) -> None:
    program = f"""
import os, sys, time
from pathlib import Path
from slbench.claims import Claims
def no(*_): raise PermissionError(1, "Operation not permitted")
if not {links}: os.link = no
while not Path({str(tmp_path / "go")!r}).exists(): time.sleep(0.001)
print(Claims(Path({str(tmp_path / "claims")!r})).acquire("run") is not None, flush=True)
sys.stdin.read()
"""
    processes = [
        subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    (tmp_path / "go").touch()
    answers = []
    for process in processes:
        assert process.stdout is not None
        answers.append(process.stdout.readline().strip())
    for process in processes:
        process.communicate()
    assert sorted(answers) == ["False", "False", "False", "True"]


def test_a_claim_of_a_dead_local_process_is_taken_over_at_once(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    claim = acquire(tmp_path)
    claim.owner = claim.owner.model_copy(update={"processes": ()})
    claim.add_process(process.pid, "cuda:1")
    assert Claims(tmp_path).acquire("run") is None
    assert Claims(tmp_path).holders()["run"].owner.device == "cuda:1"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert Claims(tmp_path).holders() == {}
    assert Claims(tmp_path).stale() == [tmp_path / "run"]
    again = acquire(tmp_path)
    assert (again.path.name, claim.heartbeat()) == ("2.json", False)
    claim.release(done=False)  # a lost claim: the new one is unchanged
    assert again.heartbeat()


def test_whoever_takes_over_may_be_killed_before_any_file_operation(tmp_path: Path) -> None:
    dead = Owner(token="dead", hostname="h", boot=boot_id(), processes=((os.getpid(), "1"),))

    def prepare(folder: Path) -> None:
        (folder / "run").mkdir(parents=True)
        (folder / "run" / "1.json").write_text(dead.model_dump_json())

    for folder in killed_folders(tmp_path, acquire, prepare=prepare):
        claim = acquire(folder)
        assert [path.name for path in (folder / "run").glob("*.json")] == [claim.path.name]
        assert claim.heartbeat()


@pytest.mark.parametrize("done", [True, False])
def test_whoever_releases_may_be_killed_before_any_file_operation(tmp_path: Path, done: bool) -> None:
    def work(folder: Path) -> None:
        claim = acquire(folder)
        claim.write_progress({})
        claim.release(done=done)

    for folder in killed_folders(tmp_path, work):
        assert acquire(folder).heartbeat() and Claims(folder).acquire("run") is None


def test_a_claim_that_a_late_listing_does_not_show_is_not_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after: released, taken by another, ended and removed, and begun anew; or taken over twice."""
    for held, shown in (("1.json", "5.free"), ("7.json", "2.free"), ("3.json", "3.json")):
        folder = tmp_path / held / "run"
        write_remote_claim(folder / held)
        late = [claims.ClaimFile(int(shown[0]), folder / shown)]
        listings = [late, *[claims.numbered] * 9]

        def first_late(path: Path, listings: list[object] = listings) -> list[claims.ClaimFile]:
            listing = listings.pop(0)
            return listing if isinstance(listing, list) else listing(path)  # type: ignore[operator]

        monkeypatch.setattr(claims, "numbered", first_late)
        assert Claims(tmp_path / held).acquire("run") is None
        monkeypatch.undo()
        assert [path.name for path in folder.iterdir()] == [held]


def test_a_claim_begun_anew_under_the_number_of_a_dead_one_is_not_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run" / "1.json"
    path.parent.mkdir()
    dead = Owner(token="dead", hostname="h", boot=boot_id(), processes=((os.getpid(), "1"),))
    write_remote_claim(path)
    alive = path.read_text()
    answers = [(dead, 1)]
    monkeypatch.setattr(claims, "read", lambda path, read=claims.read: answers.pop() if answers else read(path))
    assert Claims(tmp_path).acquire("run") is None
    assert ([path.name for path in path.parent.iterdir()], path.read_text()) == (["1.json"], alive)


def test_a_claim_of_another_machine_seems_held_until_it_is_seen_not_to_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run" / "1.json"
    write_remote_claim(path)
    os.utime(path, (10**6, 10**6))  # years ago, by the clock of whoever wrote it
    clock, observer = [7.0], Claims(tmp_path)
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    assert (observer.seem_held(), observer.names()) == ({"run"}, {"run"})
    clock[0] += claims.STALE_SECONDS + 1
    assert (observer.seem_held(), observer.names()) == (set(), {"run"})
    assert Claims(tmp_path / "none").names() == set()


def test_a_command_that_tries_once_takes_over_from_another_machine_that_is_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, waits = [7.0], list[float]()

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        clock[0] += seconds

    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(time, "sleep", sleep)
    for name in ("run", "other", "unreadable"):
        write_remote_claim(tmp_path / name / "1.json")
    (tmp_path / "unreadable" / "1.json").write_text("")  # after a power loss
    observer = Claims(tmp_path)
    assert observer.acquire_unless_alive("run") is not None
    before = sum(waits)
    assert before > claims.STALE_SECONDS
    assert all(observer.acquire_unless_alive(name) is not None for name in ("other", "unreadable"))
    assert sum(waits) < before + claims.STALE_SECONDS, "all were observed at once"
    assert observer.acquire_unless_alive("run") is None, "its owner is this process"


def test_a_command_that_tries_once_is_refused_at_the_first_heartbeat_of_another_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, waits = tmp_path / "run" / "1.json", list[float]()
    write_remote_claim(path)

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            os.utime(path, (10**6, 10**6))

    monkeypatch.setattr(time, "sleep", sleep)
    assert Claims(tmp_path).acquire_unless_alive("run") is None
    assert (len(waits), [each.name for each in path.parent.iterdir()]) == (3, ["1.json"])


def test_a_process_hidden_from_this_user_is_judged_by_its_heartbeats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = Owner(token="t", hostname="h", boot=boot_id(), processes=((2**22 + 1, "1"),))
    path = tmp_path / "run" / "1.json"
    write_remote_claim(path)
    path.write_text(hidden.model_dump_json())

    def forbid(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    with monkeypatch.context() as patches:
        patches.setattr(os, "kill", forbid)
        assert Claims(tmp_path).acquire("run") is None
    assert Claims(tmp_path).acquire("run") is not None  # no such process


def test_a_process_that_sees_another_namespace_in_proc_shares_its_id_with_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert boot_id() == claims.boot_id.__wrapped__()
    monkeypatch.setattr(os, "getpid", lambda: 7)
    first, second = claims.boot_id.__wrapped__(), claims.boot_id.__wrapped__()
    assert len({boot_id(), first, second}) == 3


def test_a_reused_process_id_is_another_process(tmp_path: Path) -> None:
    assert is_alive(os.getpid(), process_start_time(os.getpid()))
    assert not is_alive(os.getpid(), "1")
    assert not is_alive(2**22 + 1, "1")
    path = tmp_path / "run" / "1.json"
    write_remote_claim(path)
    owner = Owner(token="t", hostname="h", boot=boot_id(), processes=((os.getpid(), "1"),))
    path.write_text(owner.model_dump_json())
    assert acquire(tmp_path).path.name == "2.json"


def test_a_claim_of_another_machine_is_alive_while_its_modification_time_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run" / "1.json"
    write_remote_claim(path)
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    observer = Claims(tmp_path)
    for jump in (0, -86_400, 7, 10**9):  # a heartbeat even if the clock goes backwards
        os.utime(path, (10**6 + jump, 10**6 + jump))
        assert observer.acquire("run") is None
        clock[0] += claims.STALE_SECONDS - 1
        assert observer.acquire("run") is None
    clock[0] += 2
    claim = observer.acquire("run")
    assert claim is not None
    assert claim.path.name == "2.json"
    assert [claim_file.path.name for claim_file in claims.numbered(path.parent)] == ["2.json"]


@pytest.mark.parametrize("content", ["", "{", "garbage\x00", '{"token": 1}'])
def test_an_unreadable_claim_is_alive_until_it_is_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "1.json").write_text(content)
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    observer = Claims(tmp_path)
    assert observer.acquire("run") is None
    assert observer.holders() == {}
    clock[0] = claims.STALE_SECONDS + 1
    assert observer.acquire("run") is not None


def test_the_progress_of_a_running_run_is_readable(tmp_path: Path) -> None:
    claim = acquire(tmp_path)
    claim.write_progress({"epoch": 3})
    assert Claims(tmp_path).holders()["run"].progress == {"epoch": 3}
    (tmp_path / "run" / "progress.json").write_text("[")
    assert Claims(tmp_path).holders()["run"].progress == {}
    claim.release(done=True)
    claim.write_progress({"epoch": 4})  # too late: the folder is deleted
    claim.add_process(os.getpid(), "cpu")
    assert current_claim(tmp_path / "run") is None


def test_a_claim_with_a_deleted_folder_is_not_the_new_one_of_its_name(tmp_path: Path) -> None:
    lost = acquire(tmp_path)
    shutil.rmtree(tmp_path / "run")
    other = acquire(tmp_path)
    assert (lost.path, lost.heartbeat(), other.heartbeat()) == (other.path, False, True)
    lost.release(done=True)
    lost.release(done=False)
    assert other.heartbeat()


def test_forget_removes_claims_of_dead_owners_only(tmp_path: Path) -> None:
    path = tmp_path / "run" / "1.json"
    write_remote_claim(path)
    os.utime(path, (10**6, 10**6))
    Claims(tmp_path).forget(["run", "nothing"])
    assert path.exists()
    dead = Owner(token="t", hostname="h", boot=boot_id(), processes=((os.getpid(), "1"),))
    path.write_text(dead.model_dump_json())
    Claims(tmp_path).forget(["run"])
    assert not path.exists()


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../x"])
def test_a_name_that_leaves_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(AssertionError, match="invalid name of a claim"):
        Claims(tmp_path / "claims").acquire(name)
    assert list(tmp_path.iterdir()) == []


def test_heartbeats_update_a_claim_and_detect_its_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "HEARTBEAT_SECONDS", 0.02)
    claim = acquire(tmp_path)
    os.utime(claim.path, (10**6, 10**6))
    with claim.heartbeats() as is_held:
        while claim.path.stat().st_mtime == 10**6:
            time.sleep(0.01)
        assert is_held()
        shutil.rmtree(tmp_path / "run")
        while is_held():
            time.sleep(0.01)


def test_a_released_claim_does_not_hide_a_claim_of_its_number(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    for name in ("4.free", "4.json"):
        (tmp_path / "run" / name).touch()
    newest = current_claim(tmp_path / "run")
    assert newest is not None
    assert newest.path.name == "4.json"


def test_nothing_is_written_through_a_claim_that_is_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / "run").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match=naming("claims/run", "link")):
        Claims(tmp_path / "claims").acquire("run")
    Claims(tmp_path / "claims").forget(["run"])
    assert Claims(tmp_path / "claims").stale() == []
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_reading_a_claim_that_is_a_fifo_does_not_wait(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    for name in ("1.json", "progress.json"):
        os.mkfifo(tmp_path / "run" / name)
    assert Claims(tmp_path).holders() == {}
    assert claims.read_progress(tmp_path / "run") == {}


def test_a_claim_that_cannot_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "write_text", full_disk)
    with pytest.raises(OSError, match="No space left"):
        Claims(tmp_path).acquire("run")
    assert list(tmp_path.iterdir()) == []


def full_disk(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")
