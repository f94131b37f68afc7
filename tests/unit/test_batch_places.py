"""batch/places.py: a clip is there with its record, or it is made again; copies, links, and hostile pictures."""

import hashlib
import os
import time
from pathlib import Path

import pytest

from unstill import disk
from unstill.batch.places import OLD_S, OWN, ClipFolder, open_place, read_picture
from unstill.errors import BatchError, PictureError, WriteError
from unstill.jobs import files

KEY = "ab" * 32


def tell(data, output):
    return {"output": output, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data), "key": KEY}


def publish(place, data=b"clip", output="sub/one.mp4"):
    made = place.aside(".mp4")
    made.write_bytes(data)
    place.publish(made, KEY, tell(data, output))


@pytest.fixture(params=["folder", "address"])
def place(request, tmp_path):
    root = tmp_path / "clips"
    root.mkdir()
    return open_place(str(root) if request.param == "folder" else f"local://{root}")


def test_what_is_published_is_found_under_its_key(place, tmp_path):
    assert place.find(KEY, "sub/one.mp4") is None
    publish(place)
    assert (tmp_path / "clips/sub/one.mp4").read_bytes() == b"clip"
    assert place.find(KEY, "sub/one.mp4")["bytes"] == 4
    assert place.find("cd" * 32, "sub/one.mp4") is None


def test_the_same_clip_by_another_name_is_copied(place, tmp_path):
    publish(place)
    assert place.find(KEY, "two.mp4")["output"] == "two.mp4"
    assert (tmp_path / "clips/two.mp4").read_bytes() == b"clip"
    assert (tmp_path / "clips/sub/one.mp4").exists()


def test_a_record_counts_only_while_its_clip_is_there(place, tmp_path):
    publish(place)
    (tmp_path / "clips/sub/one.mp4").write_bytes(b"clips")
    assert place.find(KEY, "sub/one.mp4") is None
    (tmp_path / "clips/sub/one.mp4").unlink()
    assert place.find(KEY, "sub/one.mp4") is None


def test_nothing_is_left_beside_the_clips(place, tmp_path):
    publish(place)
    assert not list((tmp_path / "clips" / OWN / "aside").glob("*"))
    assert sorted(path.name for path in (tmp_path / "clips").iterdir()) == [OWN, "sub"]


@pytest.mark.parametrize("step", range(4))
def test_killed_anywhere_the_clip_is_there_with_its_record_or_made_again(tmp_path, monkeypatch, step):
    """Every call that reaches the disk fails in its turn, as a kill would leave it; then all of it is done again."""
    place, calls = ClipFolder(tmp_path / "clips"), []
    made = place.aside(".mp4")
    made.write_bytes(b"clip")

    def counted(before):
        def call(*arguments, **more):
            calls.append(before)
            if len(calls) == step + 1:
                raise KeyboardInterrupt
            return before(*arguments, **more)

        return call

    with monkeypatch.context() as patched:
        patched.setattr("unstill.batch.places.write_whole", counted(disk.write_whole))
        patched.setattr("pathlib.Path.replace", counted(type(made).replace))
        patched.setattr("unstill.batch.places.flush_folder", counted(files.flush_folder))
        with pytest.raises(KeyboardInterrupt):
            place.publish(made, KEY, tell(b"clip", "one.mp4"))
    is_there = (tmp_path / "clips/one.mp4").exists()
    assert (place.find(KEY, "one.mp4") is not None) is is_there
    publish(place, output="one.mp4")
    assert place.find(KEY, "one.mp4") is not None


def test_a_folder_that_leads_out_by_a_link_is_not_written_to(tmp_path):
    (tmp_path / "clips").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "clips/sub").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(WriteError, match="leads out"):
        publish(ClipFolder(tmp_path / "clips"))
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_one_batch_at_a_time_writes_to_a_folder(tmp_path):
    with ClipFolder(tmp_path).held(), pytest.raises(BatchError, match="Another batch"), ClipFolder(tmp_path).held():
        pass
    with ClipFolder(tmp_path).held():
        pass


def test_what_never_became_whole_is_swept(tmp_path):
    place = ClipFolder(tmp_path)
    old, new = place.aside(".mp4"), place.aside(".mp4")
    for made in (old, new):
        made.write_bytes(b"half")
    os.utime(old, (time.time() - OLD_S - 60,) * 2)
    with place.held():
        assert (old.exists(), new.exists()) == (False, True)


@pytest.mark.parametrize("kind", ["fifo", "folder", "nothing", "nul", "device"])
def test_a_picture_that_is_no_plain_file_is_refused_before_it_blocks(tmp_path, kind):
    path = str(tmp_path / "one.png")
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        Path(path).mkdir()
    path = {"nul": "a\0b", "device": "/dev/zero"}.get(kind, path)
    with pytest.raises(PictureError):
        read_picture(path)


def test_a_picture_of_an_address_is_read(tmp_path):
    (tmp_path / "one.png").write_bytes(b"picture")
    assert read_picture(f"local://{tmp_path}/one.png") == b"picture"
    with pytest.raises(PictureError, match="no file"):
        read_picture(f"local://{tmp_path}/two.png")
    with pytest.raises(PictureError, match="cannot be read"):
        read_picture("nothing-like-it://one.png")


def test_an_address_that_nothing_knows_says_what_is_missing():
    with pytest.raises(WriteError, match="cannot be opened"):
        open_place("nothing-like-it://clips")
