"""Takes, wanted motion, woken stills and calibration, with models that run: what is made, written and said."""

import json
import shutil
from pathlib import Path

import pytest

from miniature import make_miniature
from unstill import animate
from unstill.calibration import read_curve
from unstill.cli import main
from unstill.models import Keep
from unstill.request import BUNDLED
from unstill.takes import DRAFTS, Draft
from unstill.values import Size

HARBOUR = Path(__file__).parents[2] / "examples" / "harbour.jpg"
QUICK = {"model": "pocket", "device": "cpu", "size": "192x112", "frames": 5, "steps": 1}
TINY = {"size": "64x64", "frames": 2, "steps": 1, "device": "cpu"}


@pytest.fixture(scope="module")
def keep():
    return Keep()


@pytest.fixture(scope="module")
def thin(tmp_path_factory):
    return str(make_miniature(tmp_path_factory.mktemp("thin"), is_thin=True))


def test_takes_are_written_beside_each_other(thin, photo, tmp_path):
    clip = animate(photo, model=thin, takes=3, seed=4, out=tmp_path / "clip.gif", **TINY)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip-2.gif", "clip-3.gif", "clip.gif"]
    assert sorted(one.request.seed for one in (clip, *clip.others)) == [4, 5, 6]
    assert clip.path == tmp_path / "clip.gif"
    assert clip.recipe["knobs"]["takes"] == 1, "the recipe is of one clip"


def test_takes_replace_nothing_that_nobody_named(thin, photo, tmp_path):
    (tmp_path / "clip-2.gif").write_bytes(b"mine")
    (tmp_path / "clip-3.gif").mkdir()
    picture = shutil.copy(photo, tmp_path / "clip-4.png")
    clip = animate(picture, model=thin, takes=2, seed=4, out=tmp_path / "clip.gif", **TINY)
    assert (tmp_path / "clip-2.gif").read_bytes() == b"mine"
    assert clip.others[0].path == tmp_path / "clip-4.gif"
    assert "write" in clip.report.stages_s


def test_takes_without_a_name_take_free_ones(thin, photo, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("UNSTILL_CONFIG", raising=False)
    (tmp_path / "photo-2.gif").write_bytes(b"mine")
    options = ["--size", "64x64", "--frames", "2", "--steps", "1", "--takes", "2", "--format", "gif", "--seed", "1"]
    assert main(["animate", str(photo), "--model", thin, *options]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photo-2.gif", "photo-3.gif", "photo.gif"]
    assert (tmp_path / "photo-2.gif").read_bytes() == b"mine"
    err = capsys.readouterr().err
    assert err.count("take: motion 127, noise 0.02, seed") == 2


def test_several_clips_do_not_go_to_standard_output(photo, capsys, monkeypatch):
    monkeypatch.delenv("UNSTILL_CONFIG", raising=False)
    assert main(["animate", str(photo), "-o", "-", "--format", "gif", "--takes", "2"]) == 2
    assert "takes makes several" in capsys.readouterr().err


def test_a_wanted_motion_is_made(keep):
    clip = animate(HARBOUR, want_motion=1.5, seed=3, load=keep, **QUICK)
    assert clip.report.measures.motion_px == pytest.approx(1.5, rel=0.15)
    assert clip.recipe["knobs"]["motion"] == clip.report.tried[-1].motion
    assert "want_motion" not in clip.recipe["knobs"]
    assert sum(clip.report.stages_s.values()) == pytest.approx(sum(one.took_s for one in clip.report.tried), rel=0.05)


def test_a_small_draft_moves_as_the_clip_will(keep):
    """The bundled model's latents do not depend on the size, so neither does what a seed means."""
    large, small = (
        animate(HARBOUR, seed=9, load=keep, **{**QUICK, "size": size}).report.measures for size in ("384x216", "192x112")
    )
    assert small.motion_px == pytest.approx(large.motion_px, rel=0.1)
    assert small.camera == large.camera


def test_a_still_clip_is_woken(keep):
    clip = animate(HARBOUR, fix_still=True, motion=0, seed=3, load=keep, **QUICK)
    assert [one.kind for one in clip.report.tried] == ["take", "waking"]
    assert clip.report.tried[0].faults == ("still",)
    assert clip.report.measures.motion_px > 1
    assert any("stood still" in warning for warning in clip.report.warnings)


def test_a_progress_says_which_clip_it_is_about(keep):
    seen = set()
    animate(HARBOUR, takes=2, seed=3, load=keep, watch=lambda progress: seen.add(progress.of), **QUICK)
    assert seen == {"take 1 of 2", "take 2 of 2"}


def test_a_calibration_is_made_and_can_be_read(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(DRAFTS, BUNDLED, Draft(Size(192, 112), 8, 1, 3))
    place = tmp_path / "curve.json"
    assert main(["calibrate", "pocket", str(HARBOUR), "--seeds", "1", "--motions", "40,160", "-o", str(place), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    curve = read_curve(place.read_text(), str(place))
    assert [point.motion for point in curve.points] == [40, 160]
    assert curve.points[1].median_px > 2 * curve.points[0].median_px
    assert len(answer["samples"]) == 2


@pytest.mark.parametrize("motions", ["40", "40,x", "40,300"])
def test_a_calibration_that_cannot_be_is_refused(motions, capsys):
    assert main(["calibrate", "pocket", str(HARBOUR), "--motions", motions]) == 2
    assert "error: " in capsys.readouterr().err
