"""A lock has one owner; its death frees it, here at once, elsewhere when its heart no longer beats."""

import errno
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from serpens import locks
from serpens.errors import EnvironmentFaultError, LockLostError
from serpens.locks import Lock, Owner, holder

WORKFLOW = Path(__file__).parents[2] / "workflow"
HOLD = """
import sys, time
from pathlib import Path
from serpens.locks import Lock
lock = Lock(Path(sys.argv[1]))
lock.acquire(lambda: None)
print("held", flush=True)
time.sleep(float(sys.argv[2]))
lock.release()
"""
COUNT = """
import sys, time
from pathlib import Path
from serpens import locks
locks.POLL_SECONDS = 0.001
folder = Path(sys.argv[1])
for _ in range(int(sys.argv[2])):
    lock = locks.Lock(folder / "locked")
    lock.acquire(lambda: None)
    number = int((folder / "number").read_text())
    time.sleep(0.001)
    (folder / "number").write_text(str(number + 1))
    lock.release()
    try:
        (folder / "locked").rmdir()
    except OSError:
        pass
"""


def start(program, *arguments):
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.Popen(command, cwd=WORKFLOW, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def other(tmp_path):
    """Return another process, which holds the lock of tmp_path."""
    with start(HOLD, tmp_path, 600) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def wait(process):
    process.kill()
    process.wait()


def stop():
    raise InterruptedError


def test_who_waits_says_for_whom_and_takes_over_at_once_from_the_dead(tmp_path, other, caplog):
    caplog.set_level(logging.INFO)
    lock = Lock(tmp_path)
    with pytest.raises(InterruptedError):
        lock.acquire(stop)
    assert caplog.messages == [
        f"waiting for process {other.pid} on {locks.platform.node()}, which works on the same outputs; "
        f"stop it if it is not wanted ({tmp_path}/lock)"
    ]
    assert holder(tmp_path).pid == other.pid
    # a fresh heartbeat is no life: the process table tells
    wait(other)
    os.utime(tmp_path / "lock")
    assert holder(tmp_path) is None
    assert lock.try_acquire() is None
    assert lock.held()
    lock.release()
    assert not list(tmp_path.iterdir())


def test_a_suspended_owner_lives(tmp_path, other):
    other.send_signal(signal.SIGSTOP)
    os.utime(tmp_path / "lock", (0, 0))
    assert Lock(tmp_path).try_acquire().pid == other.pid


def test_a_killed_child_that_nobody_collected_is_dead(tmp_path, other):
    other.kill()
    deadline = time.monotonic() + 10
    while holder(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert Lock(tmp_path).try_acquire() is None


def test_who_waits_gets_the_lock_when_it_is_given_back(tmp_path):
    with start(HOLD, tmp_path, 0.5) as process:
        process.stdout.readline()
        lock = Lock(tmp_path)
        lock.acquire(lambda: None)
        assert lock.held()
        assert process.wait() == 0
    lock.release()


def written(folder, **changes):
    owner = replace(Owner.this_process(), **changes)
    (folder / "lock").write_text(json.dumps(asdict(owner)))
    return owner


def test_a_later_process_of_the_same_number_is_another(tmp_path):
    written(tmp_path, started="1")
    assert Lock(tmp_path).try_acquire() is None


@pytest.mark.parametrize("elsewhere", [{"host": "node7"}, {"place": "another boot, or a container"}])
def test_elsewhere_the_heartbeat_tells(tmp_path, elsewhere):
    owner = written(tmp_path, **elsewhere, pid=1)
    lock = Lock(tmp_path)
    now = time.time()
    os.utime(tmp_path / "lock", (now, now - locks.STALE_SECONDS + 5))
    assert lock.try_acquire() == owner
    os.utime(tmp_path / "lock", (now, now - locks.STALE_SECONDS - 5))
    assert lock.try_acquire() is None
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_clocks_of_machines_may_differ(tmp_path, monkeypatch):
    owner = written(tmp_path, host="node7")
    monkeypatch.setattr(time, "time", lambda: 4e9)
    assert Lock(tmp_path).try_acquire() == owner


def test_the_owner_renews_its_lock(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "HEARTBEAT_SECONDS", 0.02)
    lock = Lock(tmp_path)
    lock.try_acquire()
    os.utime(tmp_path / "lock", (0, 0))
    time.sleep(0.5)
    assert (tmp_path / "lock").stat().st_mtime > 1
    # but not another's
    written(tmp_path)
    os.utime(tmp_path / "lock", (0, 0))
    time.sleep(0.1)
    assert (tmp_path / "lock").stat().st_mtime == 0
    lock.release()
    assert (tmp_path / "lock").exists()


def test_an_owner_that_is_not_known_yet_is_waited_for(tmp_path):
    (tmp_path / "lock").write_text('{"host": "nod')
    assert Lock(tmp_path).try_acquire().host == "an unknown machine"
    os.utime(tmp_path / "lock", (0, 0))
    assert Lock(tmp_path).try_acquire() is None


def test_a_lost_lock_is_an_error(tmp_path):
    lock = Lock(tmp_path)
    lock.try_acquire()
    lock.check()
    thief = written(tmp_path, pid=99)
    with pytest.raises(LockLostError) as caught:
        lock.check()
    assert str(caught.value) == (
        f"the lock {tmp_path}/lock must stay with the process that works on these outputs, {lock.owner}; {thief} took "
        "it, when this one had not been heard of for 60 s. This process stops and changes nothing more; run again"
    )
    (tmp_path / "lock").unlink()
    with pytest.raises(LockLostError, match="; it was removed\\. This process stops"):
        lock.check()


def test_of_many_that_bury_one_dead_owner_one_takes_over(tmp_path):
    written(tmp_path, started="1")
    candidates = [Lock(tmp_path) for _ in range(20)]
    barrier, owned = threading.Barrier(len(candidates)), []

    def run(lock):
        barrier.wait()
        if lock.try_acquire() is None:
            owned.append(lock)

    threads = [threading.Thread(target=run, args=(lock,)) for lock in candidates]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(owned) == 1
    owned[0].check()
    owned[0].release()


def test_processes_take_turns(tmp_path):
    (tmp_path / "number").write_text("0")
    processes = [start(COUNT, tmp_path, 40) for _ in range(3)]
    for process in processes:
        with process:
            process.communicate()
            assert process.returncode == 0
    assert (tmp_path / "number").read_text() == "120"


def test_a_file_system_without_links_will_do(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(os, "link", refuse)
    first, second = Lock(tmp_path), Lock(tmp_path)
    assert first.try_acquire() is None
    assert second.try_acquire() == first.owner
    first.release()
    assert not list(tmp_path.iterdir())


def test_a_disk_without_room_is_named(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(EnvironmentFaultError) as caught:
        Lock(tmp_path).try_acquire()
    assert str(caught.value) == (
        f"a lock must be written in {tmp_path} (No space left on device): make it writable, or free some space"
    )


def test_who_died_with_the_right_to_bury_a_lock_does_not_keep_it_for_ever(tmp_path):
    dead = written(tmp_path, started="1")
    right = tmp_path / f"lock.{dead.token}.dead"
    right.touch()
    assert Lock(tmp_path).try_acquire() == dead
    os.utime(right, (0, 0))
    Lock(tmp_path).try_acquire()
    assert Lock(tmp_path).try_acquire() is None
