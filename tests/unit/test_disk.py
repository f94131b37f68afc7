"""disk.py: whatever a system calls a full disk is one to everything that writes; files are whole or not there."""

import errno
import os

import pytest

from unstill.batch.places import ClipFolder
from unstill.catalog.transfer import storing
from unstill.client.transfer import write_aside
from unstill.disk import FULL, write_whole
from unstill.errors import DiskFull, UnstillError
from unstill.jobs.files import explained


def refuse(number):
    """Refuse to write, for a reason of the system's."""
    raise OSError(number, os.strerror(number))


def keep_job(folder, number):
    with explained():
        refuse(number)


def store_model(folder, number):
    with storing():
        refuse(number)


def fetch_clip(folder, number):
    with write_aside(folder / "clip.mp4"):
        refuse(number)


def publish_clip(folder, number):
    class Made:
        def replace(self, target):
            refuse(number)

    ClipFolder(folder).publish(Made(), "0" * 64, {"output": "clip.mp4"})


WRITERS = [keep_job, store_model, fetch_clip, publish_clip]


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("number", sorted(FULL))
def test_a_full_disk_is_told_as_one_by_whatever_writes(tmp_path, write, number):
    with pytest.raises(DiskFull):
        write(tmp_path, number)


@pytest.mark.parametrize("write", WRITERS)
def test_other_trouble_of_a_disk_is_not_told_as_a_full_one(tmp_path, write):
    with pytest.raises(UnstillError) as caught:
        write(tmp_path, errno.EIO)
    assert not isinstance(caught.value, DiskFull)


def test_a_file_that_cannot_be_written_whole_leaves_the_old_one(tmp_path, monkeypatch):
    place = tmp_path / "record.json"
    write_whole(place, b"old")
    monkeypatch.setattr(os, "fsync", lambda handle: refuse(errno.ENOSPC))
    with pytest.raises(OSError, match="space"):
        write_whole(place, b"new")
    assert place.read_bytes() == b"old"
