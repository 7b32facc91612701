"""Who owns a lock, and whether it lives."""

import os
import subprocess
import sys

import pytest

from serpens.owner import Owner, occupy, release_dead


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "locks").mkdir()
    return tmp_path


def lock(folder, seconds=0):
    file = folder / "locks/0.input.lock"
    file.touch()
    since = (folder / "owner").stat().st_mtime
    os.utime(file, (since + seconds, since + seconds))
    return file


def dead():
    """Return a process that has ended."""
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return Owner.me()._replace(pid=done.pid)


def test_this_process_lives_and_an_ended_one_does_not():
    assert not Owner.me().dead
    assert dead().dead
    # the number was given to another process meanwhile
    assert Owner.me()._replace(started=1.0).dead
    assert not dead()._replace(host="elsewhere").dead


def test_an_owner_is_written_and_read():
    assert Owner.parse(Owner.me().text()) == Owner.me()
    assert Owner.parse("{") is None
    assert Owner.parse("{}") is None


def test_locks_of_a_killed_run_are_removed(folder):
    (folder / "owner").write_text(dead().text())
    file = lock(folder, -1)
    assert "was killed; its locks are removed" in release_dead(folder / "owner", folder / "locks")
    assert not file.exists()


def test_locks_of_a_living_run_and_newer_ones_stay(folder):
    occupy(folder / "owner")
    file = lock(folder)
    found = release_dead(folder / "owner", folder / "locks")
    assert f"(process {os.getpid()} on {Owner.me().host}); wait until it ends, or stop it." in found
    assert file.exists()
    (folder / "owner").write_text(dead().text())
    file = lock(folder, 5)
    release_dead(folder / "owner", folder / "locks")
    assert file.exists()


def test_without_locks_there_is_nothing_to_say(folder):
    assert release_dead(folder / "owner", folder / "locks") == ""
    assert release_dead(folder / "owner", folder / "gone") == ""
