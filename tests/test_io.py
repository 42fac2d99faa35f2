"""Atomic writes and file digests."""

from __future__ import annotations

import hashlib
import stat

import pytest

from crossnorm.io import atomic_path, file_sha256, write_atomically


def test_a_failed_block_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "kept.txt"
    path.write_text("old")

    def fail():
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_appears_when_the_block_ends_with_the_usual_permissions(tmp_path):
    path, usual = tmp_path / "new.txt", tmp_path / "usual.txt"
    usual.touch()
    with atomic_path(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(usual.stat().st_mode)
    assert sorted(tmp_path.iterdir()) == [path, usual]


def test_text_is_written_as_utf_8(tmp_path):
    write_atomically(tmp_path / "a", "α")
    assert (tmp_path / "a").read_bytes() == "α".encode()


def test_a_digest_covers_all_files_in_order(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(b"3" * (1 << 20) + b"5")
    other.write_bytes(b"7")
    assert file_sha256(one, other) == hashlib.sha256(b"3" * (1 << 20) + b"57").hexdigest()
    assert file_sha256(one, other) != file_sha256(other, one)
