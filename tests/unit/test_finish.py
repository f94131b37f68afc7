"""finish.py and between.py: when each frame of a file is shown, and how frames between two are made."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from clips import make_clip, make_frames
from films import disc, grain, travel
from unstill.between import interpolate
from unstill.cli.again import choose_knobs
from unstill.cli.telling import describe_clip
from unstill.errors import RequestError
from unstill.finish import MOST_FRAMES, Shot, count_frames, finish, schedule
from unstill.formats.probe import probe
from unstill.request import Request

SMALL = (144, 256)
LOOPS = ("none", "ping-pong", "cross-fade")


def blend(first_CHW, second_CHW, moments):
    """Stand in for a better interpolator, in so many words."""
    return [first_CHW * (1 - moment) + second_CHW * moment for moment in moments]


def count_up(count):
    """Frames whose grey says which they are, ten levels apart."""
    return np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None] * 10, (count, 16, 16, 3)).copy()


def greys(frames):
    return [float(frame.mean()) for frame in frames]


def places(count, **knobs):
    return [float(shot.place) for shot in schedule(count, Request(**{"fps": 8, **knobs}))[0]]


def psnr(one, two):
    return float(-10 * (one - two).square().mean().clamp(min=1e-12).log10())


def gain(film_FCHW, moment=0.5):
    """How much closer the flow comes to the middle frame than a blend, in dB."""
    first, truth, last = film_FCHW
    (made,) = interpolate(first, last, [moment])
    return psnr(made, truth) - psnr(first * (1 - moment) + last * moment, truth)


class TestNothingUnasked:
    def test_frames_pass_as_they_are(self):
        frames = make_frames(5)
        made, fps = finish(frames, Request(fps=7))
        assert made is frames
        assert fps == 7.0

    def test_the_rate_of_broadcast_stays_exact(self):
        assert finish(make_frames(2), Request(play_fps=29.97))[1] == 30000 / 1001

    @pytest.mark.parametrize("count", [1, 2, 5])
    def test_smoothing_to_the_clips_own_rate_changes_nothing(self, count):
        frames = make_frames(count)
        assert np.array_equal(finish(frames, Request(fps=7, smooth=7))[0], frames)


class TestSpeed:
    def test_alone_it_is_the_files_rate(self):
        made, fps = finish(frames := make_frames(5), Request(fps=8, speed=2))
        assert made is frames
        assert fps == 16

    def test_with_smooth_it_is_how_many_frames_are_put_between(self):
        assert count_frames(8, Request(fps=8, smooth=16)) == (16, 16)
        assert count_frames(8, Request(fps=8, smooth=16, speed=0.5)) == (32, 16)
        assert count_frames(8, Request(fps=8, smooth=16, speed=4)) == (4, 16)
        assert places(8, smooth=16, speed=4) == [0, 2, 4, 6]


class TestLoop:
    @pytest.mark.parametrize(("count", "shown"), [(1, [0]), (2, [0, 1]), (3, [0, 1, 2, 1]), (4, [0, 1, 2, 3, 2, 1])])
    def test_ping_pong_shows_neither_end_twice(self, count, shown):
        assert places(count, loop="ping-pong") == shown

    def test_cross_fade_takes_a_quarter_of_the_frames_and_ends_where_it_begins(self):
        made, _ = finish(count_up(13), Request(fps=8, loop="cross-fade"))
        assert greys(made) == [75, 60, 45, *range(30, 100, 10)]
        shots, _ = schedule(13, Request(fps=8, loop="cross-fade"))
        assert shots[:4] == [Shot(Fraction(0), Fraction(10), 0.75), Shot(Fraction(1), Fraction(11), 0.5),
                             Shot(Fraction(2), Fraction(12), 0.25), Shot(Fraction(3))]  # fmt: skip
        assert [shot.place for shot in shots[4:]] == [4, 5, 6, 7, 8, 9]

    @pytest.mark.parametrize(("count", "left"), [(4, 3), (5, 4), (14, 10), (25, 19)])
    def test_a_faded_clip_is_shorter_by_the_faded_frames(self, count, left):
        assert count_frames(count, Request(fps=8, loop="cross-fade"))[0] == left

    @pytest.mark.parametrize("count", [1, 2, 3])
    def test_too_few_frames_to_fade_are_an_error(self, count):
        with pytest.raises(RequestError, match=f"needs 4 frames or more, and the clip has {count}"):
            finish(make_frames(count), Request(loop="cross-fade"))

    @pytest.mark.parametrize("count", [4, 5, 9, 25])
    @pytest.mark.parametrize("smooth", [None, 24, 37])
    def test_no_step_of_a_faded_loop_is_a_jump(self, count, smooth):
        made, _ = finish(count_up(count), Request(fps=8, loop="cross-fade", smooth=smooth), between=blend)
        faded = round(count / 4)
        slope = max(1, (count - faded) / (faded + 1)) * 8 / (smooth or 8)
        steps = np.diff([*greys(made), greys(made)[0]])
        assert np.abs(steps).max() <= 10 * slope + 1


class TestSmooth:
    @pytest.mark.parametrize("loop", LOOPS)
    @pytest.mark.parametrize(("fps", "smooth"), [(7, 24), (7, 60), (6, 24), (25, 10), (7, 7.5), (24, 23.976), (7, 1)])
    def test_the_clip_lasts_as_long_as_before(self, loop, fps, smooth):
        before, rate = count_frames(25, Request(fps=fps, loop=loop))
        after, smoothed = count_frames(25, Request(fps=fps, loop=loop, smooth=smooth))
        most = 1 if loop == "ping-pong" else 0.5  # there and back, the number is even
        assert abs(after / smoothed - before / rate) <= most / smoothed + 1e-9

    @pytest.mark.parametrize("loop", LOOPS[:2])
    def test_the_clips_own_frames_stay_as_they_are(self, loop):
        frames = make_frames(4)
        plain, _ = finish(frames, Request(fps=8, loop=loop))
        smooth, fps = finish(frames, Request(fps=8, loop=loop, smooth=24), between=blend)
        assert np.array_equal(smooth[::3], plain)
        assert fps == 24

    def test_an_open_clip_ends_on_its_last_frame_for_as_long_as_before(self):
        assert places(3, smooth=24)[-3:] == [2, 2, 2]

    def test_a_closed_clip_is_smooth_over_the_seam(self):
        assert places(3, smooth=16, loop="ping-pong") == [0, 0.5, 1, 1.5, 2, 1.5, 1, 0.5]
        assert [(float(s.place), float(s.other), s.share) for s in schedule(4, Request(fps=8, smooth=16, loop="cross-fade"))[0]] == [
            (0, 3, 0.5), (0.5, 3, 0.25), (1, 0, 0), (1.5, 0, 0), (2, 0, 0), (0, 2.5, 0.75),
        ]  # fmt: skip

    def test_the_way_back_is_made_of_the_frames_of_the_way_there(self):
        asked = []

        def note(first_CHW, second_CHW, moments):
            asked.extend(moments)
            return blend(first_CHW, second_CHW, moments)

        made, _ = finish(make_frames(5), Request(fps=8, smooth=24, loop="ping-pong"), between=note)
        assert len(made) == 24
        assert len(asked) == 8
        assert all(np.array_equal(made[n], made[-n]) for n in range(1, 12))

    def test_the_moments_go_with_the_time(self):
        made, _ = finish(count_up(3), Request(fps=8, smooth=40), between=blend)
        assert greys(made) == [0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 20, 20, 20, 20]

    def test_more_frames_than_memory_holds_are_refused(self):
        with pytest.raises(RequestError, match=f"at most {MOST_FRAMES} are possible"):
            count_frames(25, Request(play_fps=0.1, smooth=240))

    def test_one_frame_stays_one_picture(self):
        made, _ = finish(make_frames(1), Request(fps=8, smooth=16, loop="ping-pong"))
        assert len(made) == 2
        assert np.array_equal(made[0], made[1])


class TestBetween:
    @pytest.mark.parametrize(
        ("film", "least_db"), [({"pan": (3.0, 1.0)}, 12), ({"pan": (1.5, 0.5)}, 8), ({"zoom_percent": 1.5}, 8)]
    )
    def test_a_moving_camera_is_followed(self, film, least_db):
        assert gain(travel(grain(size=SMALL), 3, **film)) > least_db

    def test_a_quarter_of_the_time_is_a_quarter_of_the_way(self):
        film = travel(grain(size=SMALL), 5, pan=(1.0, 0.0))
        assert gain(film[[0, 1, 4]], 0.25) > 8

    @pytest.mark.slow
    @pytest.mark.parametrize(("step", "least_db"), [(8, 6), (24, 5)])
    def test_a_thing_before_a_ground_leaves_no_double_edge(self, step, least_db):
        (first, last), _ = disc(grain(2), grain(5), step)
        truth = disc(grain(2), grain(5), step // 2)[0][1]
        assert gain(torch.stack([first, truth, last])) > least_db

    def test_what_stands_is_no_worse_than_blended(self):
        noise = torch.randn(3, 3, *SMALL, generator=torch.Generator().manual_seed(1))
        assert gain((grain(size=SMALL) + 0.01 * noise).clamp(0, 1)) > -0.2

    def test_equal_frames_need_no_flow(self):
        def refuse(*_):
            raise AssertionError

        made, _ = finish(count_up(1).repeat(3, 0), Request(fps=8, smooth=16), between=refuse)
        assert len(made) == 6

    @pytest.mark.parametrize("size", [(16, 16), (17, 401), (64, 8)])
    def test_any_size_will_do(self, size):
        frames = make_frames(2, *size)
        made, _ = finish(frames, Request(fps=8, smooth=16))
        assert made.shape == (4, *size, 3)

    def test_colours_stay_in_range_and_black_stays_black(self):
        black, white = torch.zeros(3, *SMALL), torch.ones(3, *SMALL)
        (made,) = interpolate(black, white, [0.5])
        assert torch.allclose(made, torch.full_like(made, 0.5), atol=0.01)


KNOBS = {"smooth": 21, "loop": "cross-fade", "speed": 2.0}


class TestFiles:
    def test_the_recipe_says_it_and_again_repeats_it(self, tmp_path):
        found = probe(make_clip(make_frames(8)).save(tmp_path / "clip.mp4", **KNOBS))
        assert choose_knobs("clip.mp4", found.recipe).items() >= KNOBS.items()
        assert found.frames == count_frames(8, Request(fps=7, **KNOBS))[0] == 9
        assert found.play_fps == pytest.approx(21, rel=1e-3)

    def test_a_folder_of_stills_knows_its_rate(self, tmp_path):
        clip = make_clip(make_frames(4))
        assert probe(clip.save(tmp_path / "fast", speed=2)).play_fps == pytest.approx(14)
        assert probe(clip.save(tmp_path / "smooth", smooth=14, speed=0.5)).play_fps == pytest.approx(14)

    def test_what_is_told_is_what_is_written(self, tmp_path):
        clip = make_clip(make_frames(8), seed=1, **KNOBS)
        assert describe_clip(clip).startswith("9 frames, 0.4 s at 21 fps")
        assert probe(clip.save(tmp_path / "clip.gif")).frames == 9

    def test_a_limit_of_bytes_holds_for_the_finished_frames(self, tmp_path):
        clip = make_clip(np.random.default_rng(0).integers(0, 256, (4, 64, 96, 3), np.uint8))
        with pytest.warns(UserWarning, match="reduced to fit"):
            path = clip.save(tmp_path / "clip.webp", loop="ping-pong", smooth=14, max_bytes=20_000)
        assert path.stat().st_size <= 20_000
        assert probe(path).frames == 12


class TestNames:
    @pytest.mark.parametrize("value", [True, "true", "True"])
    def test_ping_pong_is_a_loop(self, value):
        assert Request.from_mapping({"ping_pong": value}).loop == "ping-pong"
        assert Request().for_file({"ping-pong": False}).loop == "none"

    @pytest.mark.parametrize("value", [0, 3, "0", "3"])
    def test_a_number_of_plays_is_told_where_it_belongs(self, value):
        with pytest.raises(RequestError, match="how often a file plays is `plays`"):
            Request.from_mapping({"loop": value})

    @pytest.mark.parametrize("value", ["cross_fade", " Cross-Fade "])
    def test_spellings_are_read(self, value):
        assert Request(loop=value).loop == "cross-fade"

    @pytest.mark.parametrize("value", [None, [], {}, "forever", b"none", 1.5])
    def test_other_things_are_no_loop(self, value):
        with pytest.raises(RequestError, match="loop must be one of none, ping-pong, cross-fade"):
            Request(loop=value)
