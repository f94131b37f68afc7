"""Cameras are read from words, go where they are told, and keep straight lines straight."""

import math

import pytest
import torch

from unstill.models.pocket.camera import WAYS, ease, project, read_camera
from unstill.models.pocket.grids import lay_places

PLACE_CHW = lay_places((18, 32), 18 / 32, torch.device("cpu"))
EVEN_HW = torch.ones(18, 32)


def move(word: str, nearness_HW: torch.Tensor = EVEN_HW, amount: float = 0.1) -> torch.Tensor:
    return project(PLACE_CHW, nearness_HW, read_camera(word).pose(1.0, amount)) - PLACE_CHW


@pytest.mark.parametrize(("word", "axis", "sign"), [("left", 0, 1), ("right", 0, -1), ("up", 1, 1), ("down", 1, -1)])
def test_the_scene_moves_against_the_camera(word: str, axis: int, sign: int) -> None:
    moved = move(word)
    assert torch.all(sign * moved[axis] > 0.02)
    assert torch.all(moved[1 - axis].abs() < 1e-6)


@pytest.mark.parametrize(("word", "sign"), [("push", 1), ("zoom", 1), ("pull", -1)])
def test_pushing_enlarges_and_pulling_shrinks(word: str, sign: int) -> None:
    assert torch.all(sign * (move(word) * PLACE_CHW).sum(0) > 0)


def test_a_push_moves_near_things_more_and_a_zoom_all_alike() -> None:
    near_HW = EVEN_HW * 1.5
    assert torch.all(move("push", near_HW).norm(dim=0) > move("push").norm(dim=0))
    assert torch.equal(move("zoom", near_HW), move("zoom"))


def test_an_orbit_moves_near_and_far_to_opposite_sides() -> None:
    assert move("orbit", EVEN_HW * 1.3)[0].mean() > 0.02
    assert move("orbit", EVEN_HW * 0.7)[0].mean() < -0.02


def test_a_dolly_zoom_keeps_its_subject_and_shrinks_what_is_behind() -> None:
    assert move("dolly-zoom").abs().max() < 1e-5
    assert torch.all((move("dolly-zoom", EVEN_HW * 0.6) * PLACE_CHW).sum(0) < 0)


def test_still_is_still_and_every_word_starts_where_the_picture_is() -> None:
    assert torch.equal(move("still"), torch.zeros_like(PLACE_CHW))
    for word in WAYS:
        start = project(PLACE_CHW, EVEN_HW, read_camera(word).pose(0.0, 0.3))
        assert torch.allclose(start, PLACE_CHW, atol=1e-6)


def test_loops_end_where_they_began() -> None:
    for word in WAYS:
        end = project(PLACE_CHW, EVEN_HW, read_camera(word).pose(1.0, 0.3, loops=True))
        assert torch.allclose(end, PLACE_CHW, atol=1e-6)


@pytest.mark.parametrize("word", sorted(WAYS))
def test_lines_on_planes_stay_straight(word: str) -> None:
    nearness_HW = 1 + 0.4 * PLACE_CHW[1] + 0.2 * PLACE_CHW[0]
    seen = project(PLACE_CHW, nearness_HW, read_camera(word).pose(1.0, 0.2))
    line = torch.stack([seen[:, row, 2 * row] for row in range(16)], dim=1)
    along = line[:, -1] - line[:, 0]
    off = line - line[:, :1]
    assert ((off[0] * along[1] - off[1] * along[0]).abs() / along.norm()).max() < 1e-5


def test_paths_of_several_words_are_weighed() -> None:
    both = read_camera("push 60%, left 40%")
    assert dict(both.ways) == pytest.approx({"push": 0.6, "left": 0.4})
    pose = both.pose(1.0, 1.0)
    assert (pose.z, pose.x) == pytest.approx((0.6, 0.4 * WAYS["left"].x))


@pytest.mark.parametrize("text", ["fly", "push 0%", "push -5%, left", ""])
def test_what_is_no_camera_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"one of auto|percentage"):
        read_camera(text)


def test_easing_goes_all_the_way_and_never_back() -> None:
    way = [ease(step / 50) for step in range(51)]
    assert way[0] == 0
    assert math.isclose(way[-1], 1)
    assert way == sorted(way)
