"""cli/telling.py: what is said of a plan and of a clip."""

import io
import json
import sys
from dataclasses import replace

import pytest

from unstill.artifacts import Clip, ModelFiles, Plan, PreparedImage, Report, Rung
from unstill.cli.telling import Manner, describe_clip, describe_plan, describe_time, measure, plan_to_dict, tell, tell_plan
from unstill.request import Request, settle
from unstill.values import Size


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


def settled(**knobs):
    return settle(Request(**{"seed": 1234, **knobs}), "svd", 14)


def make_clip(path=None, warnings=(), **knobs):
    stages = {"prepare": 0.1, "load": 4.2, "sample": 33.0, "decode": 5.1, "check": 0.2, "write": 0.5, "measure": 0.3}
    report = Report(frames=14, size=Size(1024, 576), mean_change=3.2, fidelity_db=31.5, stages_s=stages, warnings=warnings)
    return Clip(frames=None, report=report, recipe={"unstill": "1"}, request=settled(**knobs), writer=None, path=path)


class Image(PreparedImage):
    size = Size(448, 256)

    def __init__(self):
        for name, value in {"original": Size(3000, 2000), "sha256": "ab" * 32, "notes": ("turned by 90°", "cropped")}.items():
            object.__setattr__(self, name, value)


def make_plan(**knobs):
    files = ModelFiles("svd", "svd", "diffusers", {}, {}, 14, 0, revision="0123456789abcdef", licence="community")
    request = settled(**knobs)
    return Plan(
        request,
        files,
        Size(448, 256),
        Size(448, 250),
        "cuda:0",
        "fp16",
        "reference",
        4_511_000_000,
        Rung("fast", 25),
        warnings=("beware",),
    )


def test_a_clip_is_one_line(tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"x" * 312_400)
    assert describe_clip(make_clip(path)) == "14 frames, 2.0 s at 7 fps, 1024x576, 312 kB, seed 1234"


def test_ping_pong_shows_the_turning_points_once():
    assert describe_clip(make_clip(loop="ping-pong")).startswith("26 frames, 3.7 s at 7 fps")


def test_the_playback_rate_is_the_files_own():
    assert "0.5 s at 30 fps" in describe_clip(make_clip(play_fps=30))


def test_without_any_rate_a_file_plays_as_its_writer_makes_it():
    clip = replace(make_clip(), request=Request())
    assert describe_clip(clip).startswith("14 frames, 2.0 s at 7 fps")


def test_a_folder_of_frames_has_the_size_of_its_files(tmp_path):
    for name in "ab":
        (tmp_path / name).write_bytes(b"xyz")
    assert measure(tmp_path) == 6


def test_where_the_time_went_begins_with_the_longest_and_leaves_out_crumbs():
    text = describe_time({"prepare": 0.1, "sample": 33.0, "load": 4.2, "novel": 5.0}, 42.9)
    assert text == "42.9 s in all: sampling 33.0 s, novel 5.0 s, loading 4.2 s, starting 0.6 s"


def test_in_a_pipe_only_the_path_is_said(tmp_path, capsys):
    path = tmp_path / "clip.mp4"
    path.touch()
    tell(make_clip(path), Manner(), 43.0, told=())
    assert capsys.readouterr() == (f"{path}\n", "")


def test_on_a_terminal_the_clip_and_its_time_are_said_too(tmp_path, monkeypatch, capsys):
    path = tmp_path / "clip.mp4"
    path.touch()
    monkeypatch.setattr(sys, "stderr", Terminal())
    tell(make_clip(path), Manner(), 43.0, told=())
    assert "14 frames, 2.0 s" in sys.stderr.getvalue()
    assert "43.0 s in all: sampling 33.0 s" in sys.stderr.getvalue()


def test_a_warning_is_said_once(tmp_path, capsys):
    path = tmp_path / "clip.mp4"
    path.touch()
    tell(make_clip(path, warnings=("early", "late")), Manner(), 43.0, told=["early"])
    assert capsys.readouterr().err == "warning: late\n"


def test_quiet_says_the_path_and_no_warning(tmp_path, capsys):
    path = tmp_path / "clip.mp4"
    path.touch()
    tell(make_clip(path, warnings=("late",)), Manner(quiet=True), 43.0, told=())
    assert capsys.readouterr() == (f"{path}\n", "")


def test_json_is_one_object_with_everything(tmp_path, capsys):
    path = tmp_path / "clip.mp4"
    tell(make_clip(path, warnings=("early", "late")), Manner(as_json=True), 43.0, told=("early",))
    spoken = capsys.readouterr()
    answer = json.loads(spoken.out)
    assert answer["path"] == str(path)
    assert answer["knobs"]["seed"] == 1234
    assert answer["report"]["size"] == "1024x576"
    assert answer["recipe"] == {"unstill": "1"}
    assert answer["warnings"] == ["early", "late"]
    assert spoken.err == ""


def test_debug_says_every_stage(tmp_path, capsys):
    path = tmp_path / "clip.mp4"
    path.touch()
    tell(make_clip(path), Manner(debug=True), 43.0, told=())
    said = capsys.readouterr().err
    assert all(stage in said for stage in ("prepare", "load", "sample", "decode", "check", "write", "measure"))
    assert "peak memory unknown" in said


def test_a_plan_says_what_would_happen():
    rows = dict(describe_plan(Image(), make_plan(), "photo.mp4", "seed 1234"))
    assert rows["picture"] == "3000x2000; turned by 90°; cropped"
    assert rows["model"] == "svd, 4.5 GB of weights in fp16, revision 0123456789ab"
    assert rows["clip"] == "448x250, worked on at 448x256, 14 frames, 2.0 s at 7 fps"
    assert rows["motion"] == "motion 127, noise 0.02, fps 7, seed 1234"
    assert rows["file"] == "photo.mp4"


def test_a_plan_as_json_has_no_places_of_files():
    plan = plan_to_dict(Image(), make_plan(), is_drawn=False)
    assert plan["model"]["weights_bytes"] == 4_511_000_000
    assert plan["knobs"]["motion"] == 127
    assert "weights" not in plan["model"]
    json.dumps(plan)


@pytest.mark.parametrize("manner", [Manner(), Manner(quiet=True)])
def test_a_plans_warnings_are_said_unless_quiet(manner, capsys):
    tell_plan(Image(), make_plan(), "photo.mp4", manner)
    spoken = capsys.readouterr()
    assert spoken.err == ("" if manner.quiet else "warning: beware\n")
    assert "runs on   cuda:0, engine reference" in spoken.out


def test_a_seed_that_would_be_drawn_anew_is_not_told(capsys):
    tell_plan(Image(), make_plan(), "photo.mp4", Manner(), is_drawn=True)
    assert "a seed drawn at random" in capsys.readouterr().out
    tell_plan(Image(), make_plan(), "photo.mp4", Manner(as_json=True), is_drawn=True)
    assert "seed" not in json.loads(capsys.readouterr().out)["plan"]["knobs"]
