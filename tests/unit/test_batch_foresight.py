"""batch/foresight.py: what a clip is thought to take grows with pixels and steps; broken pictures are seen by their headers."""

import os

import pytest

from unstill.batch.foresight import foresee_first, look_at
from unstill.batch.items import Item
from unstill.errors import PictureError


def item(picture, number=1, **knobs):
    return Item(number, str(picture), f"{number}.mp4", {"model": "pocket", "look": False, **knobs}, 1, "")


def test_time_and_room_grow_with_frames_and_time_with_steps(photo):
    def foresee(frames, steps):
        return foresee_first([item(photo, size="256x144", frames=frames, steps=steps)], "cpu")

    plan, one = foresee(7, 6)
    two, three, longer = (foresee(*asked)[1] for asked in ((14, 6), (21, 6), (7, 12)))
    assert plan.model.name == "pocket"
    assert three.clip_s - two.clip_s == pytest.approx(two.clip_s - one.clip_s)
    assert two.clip_s > one.clip_s
    assert longer.clip_s > one.clip_s
    assert one.start_s > 0
    assert two.clip_bytes == pytest.approx(2 * one.clip_bytes, abs=1)


def test_the_first_picture_that_can_be_read_is_planned(photo, tmp_path):
    (tmp_path / "bad.png").write_text("<svg/>")
    assert foresee_first([item(tmp_path / "bad.png"), item(photo, 2)], "cpu")[1].clip_s > 0
    with pytest.raises(PictureError):
        foresee_first([item(tmp_path / "bad.png")], "cpu")


def test_broken_pictures_are_counted_and_the_first_are_named(photo, tmp_path):
    (tmp_path / "words.jpg").write_text("no picture at all")
    (tmp_path / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    broken = [str(tmp_path / name) for name in ("words.jpg", "cut.png", "gone.jpg")]
    found = look_at([str(photo), *broken, str(photo)])
    assert (found.looked, found.broken, found.is_all) == (4, 3, True), "a picture that is named twice counts once"
    assert [picture for picture, _ in found.named] == broken
    assert found.share == 0.25


def test_no_more_is_looked_at_than_there_is_time_for_and_no_addresses(photo):
    assert (look_at([str(photo)], most_s=-1).looked, look_at([str(photo)], most_s=-1).is_all) == (0, False)
    found = look_at(["s3://shots/one.jpg", str(photo)])
    assert (found.looked, found.is_all, found.share) == (1, False, 1.0)


def test_what_is_no_plain_file_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    assert look_at([str(tmp_path / "pipe.png")]).broken == 1
