"""takes.py and calibration.py: what is tried next, which clip is given, and curves that are read and refused."""

import dataclasses
import json
import math

import numpy as np
import pytest

from unstill.artifacts import Clip, Measures, ModelFiles, Plan, Report, Rung, Verdict
from unstill.calibration import Curve, Point, find_curve, place_of, read_curve
from unstill.errors import ModelError, RequestError
from unstill.measure.verdicts import judge
from unstill.request import Request, settle
from unstill.takes import DRAFTS, choose, describe_search, is_asked, rank, refuse_confusion, shrink
from unstill.values import Size

FILES = ModelFiles("pocket", "pocket", "bundled", {}, {}, frames=25, weights_bytes=0)
SVD = ModelFiles("svd-xt", "svd-xt", "diffusers", {}, {}, frames=25, weights_bytes=0)
STEADY = Measures(
    motion_px=2.0, motion_spread_px=0.2, camera="left", camera_or=None, camera_px=2.0, objects_px=0.1, pan_x_px=2.0,
    pan_y_px=0.0, zoom_percent=0.0, roll_degrees=0.0, static_share=0.0, flicker_greys=0.1, local_flicker_greys=0.2,
    flash_greys=0.2, fade_greys=0.0, alternates=0.0, seam_greys=0.0, seam_every=0, repeats=0, black_frames=0, sharpness=1.0,
    saturation=1.0, contrast=1.0, band_percent=0.0, fidelity_db=40.0,
)  # fmt: skip


def plan_of(request: Request, files: ModelFiles = FILES, seed: int = 7) -> Plan:
    settled = settle(request, files.family, files.frames).replace(seed=seed, size=Size(1024, 576))
    return Plan(settled, files, Size(1024, 576), Size(1024, 576), "cpu", "fp32", "motion", 0, Rung("fast", 25))


class Model:
    """A world in which motion is a power of the knob, with a factor for each seed."""

    def __init__(self, factor=1.0, power=1.3, grain=True, **changed):
        self.frames = (
            np.random.default_rng(1).integers(0, 255, (2, 8, 8, 3), np.uint8) if grain else np.zeros((2, 8, 8, 3), np.uint8)
        )
        self.factor, self.power, self.changed, self.made = factor, power, changed, []

    def __call__(self, request: Request, name: str) -> Clip:
        self.made.append((request, name))
        request = settle(request, "pocket", 25)
        factor = self.factor(request.seed) if callable(self.factor) else self.factor
        moved = factor * 2.0 * (request.motion / 127) ** self.power
        found = dataclasses.replace(STEADY, motion_px=moved, static_share=float(moved < 0.25), **self.changed)
        report = Report(25, Size(1024, 576), 1.0, 40.0, measures=found, verdicts=judge(found))
        return Clip(self.frames, report, {}, request, lambda clip, path, request: path)


def run(knobs, model, seed=None, files=FILES):
    request = Request(**knobs, seed=seed)
    return choose(request, plan_of(request, files, seed=7 if seed is None else seed), model)


def test_a_model_that_moves_no_more_beyond_its_strongest_setting_is_asked_for_that():
    """pocket's curve is level from 180 on: to jump to 255 would end the search with less than the picture can move."""

    class Level(Model):
        def __call__(self, request, name):
            over = settle(request, "pocket", 25).motion - 180
            self.factor = 0.72 if over <= 0 else 0.72 * math.exp(-over / 100)
            return super().__call__(request, name)

    clip = run({"want_motion": 2.2}, Level(), seed=7)
    assert clip.report.measures.motion_px == pytest.approx(2.2, rel=0.05)
    assert all(one.motion <= 190 for one in clip.report.tried)


def test_a_search_begins_where_it_is_told_to():
    model = Model()
    run({"want_motion": 1.0, "motion": 30}, model, seed=7)
    assert model.made[0][0].motion == 30


@pytest.mark.parametrize(
    ("knobs", "word"),
    [({"want_motion": "still", "fix_still": True}, "fix_still"), ({"takes": 2, "measure": False}, "measure"),
     ({"want_motion": 1, "measure": False}, "measure")],
)  # fmt: skip
def test_searches_that_contradict_themselves_are_refused_before_anything_is_made(knobs, word):
    with pytest.raises(RequestError, match=word):
        refuse_confusion(Request(**knobs))


def test_what_a_search_will_do_can_be_said_before():
    request = Request(want_motion=1.2, takes=3, fix_still=True, seed=7)
    said = describe_search(request, plan_of(request))
    assert "up to 3 drafts of 384x216" in said and "3 clips, seeds 7 to 9" in said and "motion 180, 200, 255" in said


def test_takes_without_a_goal_are_judged_by_what_the_model_usually_does():
    """Else the stillest would win: it flickers least."""
    model = Model(factor=lambda seed: {1: 0.8, 2: 1.9, 3: 4.0}[seed])
    clip = run({"takes": 3, "motion": 127}, model, seed=1)
    assert clip.request.seed == 2


def test_a_picture_of_one_colour_is_not_made_again_and_what_nothing_woke_is_said():
    model = Model(factor=0.0, grain=False)
    clip = run({"fix_still": True}, model, seed=3)
    assert len(model.made) == 1
    assert "of one colour" in clip.report.warnings[-1]
    model = Model(factor=0.01, grain=True)
    clip = run({"fix_still": True}, model, seed=3)
    assert len(model.made) == 4
    assert "nothing woke the clip" in clip.report.warnings[-1]


def test_a_plain_request_is_no_search():
    assert not is_asked(Request(motion=255, seed=1))
    assert all(is_asked(Request(**{name: value})) for name, value in (("takes", 2), ("want_motion", 1), ("fix_still", True)))


@pytest.mark.parametrize("wanted", [0.5, 1.0, 2.0, 3.0])
@pytest.mark.parametrize("factor", [0.6, 1.0, 1.7])
@pytest.mark.parametrize("power", [0.8, 1.3, 1.8])
def test_wanted_motion_is_found_within_a_tenth(wanted, factor, power):
    if 2 * factor * (255 / 127) ** power < wanted:
        pytest.skip("more than this model can move")
    model = Model(factor, power)
    clip = run({"want_motion": wanted}, model, seed=3)
    assert clip.report.measures.motion_px == pytest.approx(wanted, rel=0.1)
    assert [one.kind for one in clip.report.tried][-1] == "take"
    assert len(model.made) <= DRAFTS["pocket"].most + 1
    assert all(request.size.area_px < 0.2 * 1024 * 576 for request, _ in model.made[:-1])


def test_a_search_asks_for_no_search():
    """The recipe of what comes out must not search again."""
    model = Model()
    run({"want_motion": 1.0, "takes": 2, "fix_still": True}, model, seed=3)
    assert not any(is_asked(request) for request, _ in model.made)


def test_what_cannot_be_reached_is_said():
    clip = run({"want_motion": 9.0}, Model(0.5), seed=3)
    assert "9 px/frame was wanted, and" in clip.report.warnings[-1]
    assert clip.request.motion == 255


def test_another_seed_is_tried_where_none_was_asked_for():
    model = Model(lambda seed: 0.2 if seed == 7 else 2.0)
    clip = run({"want_motion": 3.0}, model)
    assert clip.request.seed == 8
    assert 1.5 < clip.report.measures.motion_px < 8  # of three drafts two told that the first seed moves too little


def test_the_nearest_of_all_drafts_is_taken_where_no_seed_goes_so_far():
    """The first seed gives little at most, the next less: it is the first that is made."""
    clip = run({"want_motion": 3.0}, Model(lambda seed: 0.2 if seed == 7 else 0.05))
    assert (clip.request.seed, clip.request.motion) == (7, 255)


def test_a_clip_that_is_wanted_still_is_no_fault():
    model = Model()
    clip = run({"want_motion": 0.0, "takes": 3}, model)
    assert clip.report.measures.motion_px < 0.25
    assert (clip.report.verdicts, clip.report.warnings) == ((), ())
    assert [name for _, name in model.made].count("draft 1") == 1


def test_seeds_go_round_after_the_last():
    clip = run({"takes": 2}, Model(), seed=2**63 - 1)
    assert {one.seed for one in clip.report.tried} == {2**63 - 1, 0}


def test_waking_never_takes_noise_away():
    assert run({"fix_still": True, "motion": 1, "noise": 0.3}, Model()).request.noise == 0.3


def test_svd_drafts_are_small_and_few_steps():
    model = Model()
    run({"want_motion": 1.0}, model, seed=3, files=SVD)
    request, name = model.made[0]
    assert (str(request.size), request.steps, name) == ("576x320", 10, "draft 1")


def test_takes_are_ranked_and_all_of_them_given():
    clip = run({"takes": 4, "want_motion": None}, Model(lambda seed: {7: 0.01, 8: 1.0, 9: 1.0, 10: 1.0}[seed]))
    assert len(clip.others) == 3
    assert clip.request.seed == 8
    assert clip.others[-1].request.seed == 7  # it stands still
    assert [one.seed for one in clip.report.tried] == [7, 8, 9, 10]


def test_a_still_clip_is_woken_and_both_numbers_are_told():
    clip = run({"fix_still": True, "motion": 1}, Model())
    assert (clip.request.motion, clip.request.noise, clip.others) == (180, 0.1, ())
    assert clip.report.warnings[-1].startswith("the clip stood still: 0.00 px/frame with motion 1, now 3.1")


def test_a_clip_that_moves_is_left_alone():
    model = Model()
    run({"fix_still": True}, model)
    assert len(model.made) == 1


def test_what_cannot_be_woken_is_given_as_it_is():
    model = Model(0.0)
    clip = run({"fix_still": True}, model)
    assert len(model.made) == 4
    assert [(verdict.name, "fix-still" in verdict.cure) for verdict in clip.report.verdicts] == [("still", False)]


def clip_with(verdicts=(), **numbers):
    found = dataclasses.replace(STEADY, **numbers)
    faults = tuple(Verdict(name, "", "") for name in verdicts)
    return Clip(None, Report(25, Size(8, 8), 1.0, 40.0, measures=found, verdicts=faults), {}, Request(), None)


def test_a_spoiled_clip_comes_after_one_with_small_faults():
    clips = [clip_with(["still"]), clip_with(["bands", "soft"]), clip_with(), clip_with(flicker_greys=0.5)]
    assert sorted(clips, key=lambda clip: rank(clip, None)) == [clips[2], clips[3], clips[1], clips[0]]


def test_of_good_clips_the_one_that_moves_as_wanted_is_first():
    near, far = clip_with(motion_px=2.9, flicker_greys=0.5), clip_with(motion_px=1.0)
    assert min([far, near], key=lambda clip: rank(clip, 3.0)) is near


@pytest.mark.parametrize(
    ("size", "small"),
    [("1024x576", "384x216"), ("576x1024", "216x384"), ("768x768", "288x288"), ("960x640", "360x240"), ("256x144", "256x144")],
)
def test_a_draft_keeps_the_shape(size, small):
    width, height = map(int, size.split("x"))
    assert str(shrink(Size(width, height), DRAFTS["pocket"])) == small


def test_the_bundled_model_has_the_curve_of_its_formula():
    curve = find_curve(FILES)
    assert curve.find_px(80) == pytest.approx(1.88, abs=0.01)
    assert all(0 < a.median_px < b.median_px for a, b in zip(curve.points, curve.points[1:], strict=False))
    for point in curve.points[1:-1]:
        assert curve.find_motion(curve.find_px(point.motion)) == point.motion
        assert curve.find_spread(point.motion) == pytest.approx((point.low_px, point.high_px), abs=0.001)


def test_an_unknown_model_is_guessed_at():
    curve = find_curve(SVD)
    assert curve.clips == 0
    assert curve.find_px(127) == pytest.approx(2.0)


def test_a_curve_made_here_comes_first(tmp_path, monkeypatch):
    monkeypatch.setattr("platformdirs.user_data_dir", lambda name: str(tmp_path))
    curve = Curve("svd-xt", (Point(10, 0.1, 0.1, 0.2), Point(200, 9.0, 8.0, 10.0)), 3, "note")
    place_of("svd-xt").parent.mkdir(parents=True)
    place_of("svd-xt").write_text(json.dumps(curve.to_dict()))
    assert find_curve(SVD) == curve
    assert place_of("../x/svd").parent == place_of("svd-xt").parent


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"model": "a", "clips": 1, "note": "", "points": []}',
     '{"model": "a", "clips": 1, "note": "", "points": [{"motion": 1}]}',
     '{"model": "a", "clips": 1, "note": "", "points": [{"motion": 1, "median_px": 2, "low_px": 1, "high_px": 1}, {"motion": 2, "median_px": 1, "low_px": 1, "high_px": 1}]}'],
)  # fmt: skip
def test_what_is_no_curve_is_refused(text):
    with pytest.raises(ModelError, match="no calibration"):
        read_curve(text, "curve.json")


def test_a_curve_is_read_on_logarithmic_scales_and_goes_on_beyond_its_ends():
    curve = Curve("m", (Point(10, 0.1, 0, 0), Point(100, 1.0, 0, 0), Point(200, 2.0, 0, 0)))
    assert curve.find_px(math.sqrt(1000)) == pytest.approx(math.sqrt(0.1))
    assert curve.find_px(255) == pytest.approx(2.55)
    assert curve.find_motion(0.0) == 0
    assert curve.find_motion(100.0) == 200  # nobody saw what comes beyond
