"""Digests by content; what has not changed is not read."""

import hashlib
import os
import shutil
import time

import pytest

from serpens import contents
from serpens.contents import Contents


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("a,b\n1,2\n")
    return path


@pytest.fixture
def settled(monkeypatch):
    """Files that were written just now count as written long ago."""
    monkeypatch.setattr(contents, "RACY_NS", -(10**18))


def test_an_unchanged_file_is_read_once(file, tmp_path, settled):
    cache = tmp_path / "cache.json"
    first = Contents(cache)
    assert first.sha256(file) == hashlib.sha256(b"a,b\n1,2\n").hexdigest()
    assert (first.sha256(file), first.read) == (first.sha256(file), 1)
    first.save()
    again = Contents(cache)
    assert again.sha256(file) == hashlib.sha256(b"a,b\n1,2\n").hexdigest()
    assert again.read == 0


def test_content_under_an_older_time_is_seen(file, settled):
    known = Contents()
    known.sha256(file)
    before = file.stat()
    file.write_text("a,b\n1,3\n")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_mtime_ns == before.st_mtime_ns
    assert known.sha256(file) == hashlib.sha256(b"a,b\n1,3\n").hexdigest()


def test_a_file_put_in_place_of_another_is_seen(file, tmp_path, settled):
    known = Contents()
    known.sha256(file)
    other = tmp_path / "other"
    other.write_text("a,b\n9,9\n")
    shutil.copystat(file, other)
    other.rename(file)
    assert known.sha256(file) == hashlib.sha256(b"a,b\n9,9\n").hexdigest()


def test_what_was_read_within_a_tick_of_its_change_is_read_again(file):
    known = Contents()
    known.sha256(file)
    known.sha256(file)
    assert known.read == 2
    known.known[str(file)]["read"] = time.time_ns() + 3 * 10**9
    known.sha256(file)
    assert known.read == 2


def test_folders_are_their_files_but_for_hidden_ones(tmp_path):
    for name in ("b/2", "b/1", "a", "b/.hidden"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    found = contents.files([tmp_path / "b", tmp_path / "a", tmp_path / "gone"])
    assert [path.name for path in found] == ["1", "2", "a"]
