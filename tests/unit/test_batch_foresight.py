"""batch/foresight.py: what a clip is thought to take grows with its pixels; a broken first picture is passed over."""

import pytest

from unstill.batch.foresight import foresee_first
from unstill.batch.items import Item
from unstill.errors import PictureError


def item(picture, number=1, **knobs):
    return Item(number, str(picture), f"{number}.mp4", {"model": "pocket", "look": False, **knobs}, 1, "")


def test_twice_the_frames_take_twice_the_time_and_room(photo):
    plan, one = foresee_first([item(photo, size="256x144", frames=7)], "cpu")
    _, two = foresee_first([item(photo, size="256x144", frames=14)], "cpu")
    assert plan.model.name == "pocket"
    assert two.clip_s == pytest.approx(2 * one.clip_s)
    assert two.clip_bytes == pytest.approx(2 * one.clip_bytes, abs=1)


def test_the_first_picture_that_can_be_read_is_planned(photo, tmp_path):
    (tmp_path / "bad.png").write_text("<svg/>")
    assert foresee_first([item(tmp_path / "bad.png"), item(photo, 2)], "cpu")[1].clip_s > 0
    with pytest.raises(PictureError):
        foresee_first([item(tmp_path / "bad.png")], "cpu")
