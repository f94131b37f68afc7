"""The command line in this process, on a miniature model: pictures, clips, names, recipes, and what is said of them."""

import json
import re
import shutil
from pathlib import Path

import pytest

from command_line import SMALL, list_names, paint
from unstill.cli import main
from unstill.cli.progress import STAGES
from unstill.cli.run import Target, run
from unstill.cli.telling import Manner
from unstill.formats.probe import probe
from unstill.models import Keep
from unstill.request import Request

pytestmark = pytest.mark.usefixtures("place")


@pytest.fixture(scope="module")
def kept():
    """Engines: loading the miniature takes longer than making a clip."""
    return Keep()


@pytest.fixture
def animate(miniature, kept, monkeypatch):
    """Run `unstill animate`."""
    monkeypatch.setattr("unstill.models.load_engine", kept)

    def run(*words):
        return main(["animate", "photo.png", "--model", str(miniature), "--seed", "1", *SMALL, *words])

    return run


def test_a_picture_becomes_a_clip_whose_path_is_said_and_warnings_once(animate, place, capsys):
    assert animate() == 0
    spoken = capsys.readouterr()
    assert spoken.out == "photo.mp4\n"
    assert spoken.err.count("warning: 2 steps are few") == 1
    found = probe(place / "photo.mp4")
    assert (found.frames, str(found.size)) == (3, "64x64")
    assert list_names(place) == ["photo.mp4", "photo.png"]


def test_a_second_clip_takes_another_name_and_quiet_says_that_alone(animate, place, capsys):
    (place / "photo.mp4").write_bytes(b"the first")
    assert animate("-q") == 0
    assert capsys.readouterr() == ("photo-2.mp4\n", "")
    assert (place / "photo.mp4").read_bytes() == b"the first"
    assert probe(place / "photo-2.mp4").frames == 3


def test_a_name_that_another_run_takes_while_this_one_writes_is_left_to_it(miniature, kept, monkeypatch, place, capsys):
    monkeypatch.setattr("unstill.models.load_engine", kept)

    class Raced(Target):
        def choose(self, request):
            path = super().choose(request)
            if "3" not in path.name:
                path.write_text("theirs")
            return path

    request = Request(model=str(miniature), format="gif", size="64x64", frames=3, steps=2)
    assert run(request, Raced("photo.png"), Manner(quiet=True)).path == Path("photo-3.gif")
    assert list_names(place) == ["photo-2.gif", "photo-3.gif", "photo.gif", "photo.png"]
    assert {(place / name).read_text() for name in ("photo.gif", "photo-2.gif")} == {"theirs"}
    assert (place / "photo-3.gif").read_bytes().startswith(b"GIF89a")
    assert capsys.readouterr().out == "photo-3.gif\n"


def test_a_named_clip_replaces_what_was_there(animate, place):
    (place / "clip.gif").write_text("old")
    assert animate("-o", "clip.gif") == 0
    assert (place / "clip.gif").read_bytes().startswith(b"GIF89a")


def test_json_tells_path_report_knobs_recipe_and_warnings(animate, capsys):
    assert animate("--json") == 0
    spoken = capsys.readouterr()
    answer = json.loads(spoken.out)
    assert answer["path"] == "photo.mp4"
    assert answer["knobs"]["seed"] == 1
    assert list(answer["report"]["stages_s"]) == ["prepare", "load", "sample", "decode", "check", "write"]
    assert list(STAGES) == [*answer["report"]["stages_s"], "batch"], "the line of a terminal has words for each, and no other"
    assert answer["recipe"]["knobs"]["motion"] == 127
    assert any("2 steps are few" in warning for warning in answer["warnings"])
    assert spoken.err == ""


def test_what_a_format_cannot_hold_is_a_warning_and_no_python_warning(animate, capsys, recwarn):
    assert animate("-o", "clip.gif", "--play-fps", "60") == 0
    said = capsys.readouterr().err
    assert said.count("warning: GIF cannot play faster than 50 fps") == 1
    assert "UserWarning" not in said
    assert animate("-o", "clip.gif", "--play-fps", "60", "--json") == 0
    assert any("GIF cannot" in warning for warning in json.loads(capsys.readouterr().out)["warnings"])
    assert not recwarn.list


def test_stills_go_into_a_folder_of_their_own(animate, place, capsys):
    assert animate("--format", "png", "--loop", "ping-pong") == 0
    assert capsys.readouterr().out == "photo-frames\n"
    assert list_names(place / "photo-frames") == [f"{number:04d}.png" for number in range(1, 5)]


def test_a_dry_run_says_what_would_be_done_and_does_nothing(animate, place, capsys):
    assert animate("--dry-run") == 0
    out = capsys.readouterr().out
    assert "64x64, 3 frames, 0.4 s at 7 fps" in out
    assert "photo.mp4" in out
    assert list_names(place) == ["photo.png"]


def test_a_dry_run_as_json_holds_the_plan(animate, capsys):
    assert animate("--dry-run", "--json", "-o", "x.gif") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["path"] == "x.gif"
    assert answer["plan"]["knobs"]["steps"] == 2
    assert answer["plan"]["device"] == "cpu"


@pytest.mark.parametrize(
    ("words", "said"),
    [(["-o", "nowhere/x.mp4"], "There is no folder"), (["-o", "x.xyz"], "does not tell its format"), (["-o", "photo.png"], "error: "),
     (["-o", "x.gif", "--codec", "vp9"], "gif cannot hold vp9"), (["-o", "-", "--format", "gif", "--codec", "vp9"], "gif cannot hold vp9"),
     (["--format", "gif", "--codec", "av1"], "gif cannot hold av1")],
)  # fmt: skip
def test_a_dry_run_refuses_a_place_that_a_run_refuses(words, said, animate, place, capsys):
    codes = animate("--dry-run", *words), animate(*words)
    spoken = capsys.readouterr()
    assert codes == (8, 8)
    assert spoken.err.count(said) == 2
    assert spoken.out == ""
    assert list_names(place) == ["photo.png"]


def test_a_dry_run_refuses_a_name_of_its_own_that_cannot_be(miniature, place, capsys):
    picture = "x" * 251 + ".png"  # file systems take 255 bytes, and .webp has one more than .png
    (place / "photo.png").rename(place / picture)
    assert main(["animate", picture, "--model", str(miniature), "--format", "webp", "--dry-run"]) == 8
    assert "Nothing can be written to" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["--dry-run"]])
def test_a_clip_never_replaces_the_picture_it_is_made_of(words, miniature, place, capsys):
    (place / "photo.png").rename(place / "photo.gif")
    (place / "link.gif").symlink_to("photo.gif")
    picture = (place / "photo.gif").read_bytes()
    for out in ("photo.gif", "link.gif", str(place / "photo.gif")):
        assert main(["animate", "photo.gif", "--model", str(miniature), "-o", out, *words]) == 8
        assert "replace the picture itself" in capsys.readouterr().err
    assert (place / "photo.gif").read_bytes() == picture


def test_the_configuration_counts_and_what_is_given_wins(animate, place, capsys):
    config = place.parent / "config" / "unstill" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text("[animate]\nmotion = 42\nfps = 9\n")
    assert animate("--dry-run", "--motion-bucket-id", "43", "--json") == 0
    knobs = json.loads(capsys.readouterr().out)["plan"]["knobs"]
    assert (knobs["motion"], knobs["fps"]) == (43, 9)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [(["animate", "none.png"], 3, "error: "), (["animate", "text.png"], 3, "error: "), (["animate", "."], 3, "error: "),
     (["animate", "photo.png", "--model", "svd"], 4, "unstill pull svd"), (["animate", "photo.png", "--device", "cuda"], 6, "cuda"),
     (["animate", "photo.png", "-o", "no/such/clip.mp4"], 8, "error: "), (["animate", "photo.png", "-o", "clip.xyz"], None, "error: "),
     (["inspect", "none.mp4"], None, "error: "), (["inspect", "text.mp4"], None, "error: "), (["again", "photo.png", "photo.png"], 9, "no recipe")],
)  # fmt: skip
def test_what_cannot_be_done_is_said_and_leaves_no_file(words, code, said, miniature, place, capsys):
    for name in ("text.png", "text.mp4"):
        (place / name).write_text("this is neither a picture nor a clip")
    if words[0] == "animate" and "--model" not in words:
        words = [*words, "--model", str(miniature)]
    got = main(words)
    spoken = capsys.readouterr()
    assert got == code if code else got in (2, 3, 8, 9)
    assert said in spoken.err
    assert "unstill itself failed" not in spoken.err
    assert spoken.out == ""
    assert list_names(place) == ["photo.png", "text.mp4", "text.png"]


def test_a_clip_tells_how_it_was_made(animate, capsys):
    assert animate("-q", "--motion", "99") == 0
    assert main(["inspect", "photo.mp4"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^motion +99$", out, re.MULTILINE)
    assert "3 frames, 64x64" in out
    assert main(["inspect", "photo.mp4", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["recipe"]["knobs"]["motion"] == 99


@pytest.mark.parametrize("name", ["clip.mp4", "clip.gif", "clip.webp"])
def test_a_clip_is_repeated_by_its_recipe(animate, name, miniature, place, capsys):
    assert animate("-q", "-o", name) == 0
    assert main(["again", name, "photo.png", "--model", str(miniature), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out.partition("\n")[2])
    assert Path(answer["path"]).suffix == Path(name).suffix
    assert (place / answer["path"]).read_bytes() == (place / name).read_bytes()
    assert not any("recipe" in warning for warning in answer["warnings"])


STILLS = [["--format", "png"], ["-o", "frames"], ["-o", "x.apng"]]
PICTURES = ["harbour.v2.png", "photo.png", ".hidden"]
THE_REST = pytest.mark.thorough("names of pictures and of stills are found apart; each is in a pair of `make test`")


@pytest.mark.parametrize(
    ("picture", "out"),
    [
        pytest.param(picture, out, marks=[THE_REST] if n != m else [])
        for n, picture in enumerate(PICTURES)
        for m, out in enumerate(STILLS)
    ],
)
def test_stills_are_repeated_whatever_their_picture_is_called(picture, out, animate, miniature, place, capsys):
    (place / "photo.png").rename(place / picture)
    words = [picture, "--model", str(miniature)]
    assert main(["animate", *words, *SMALL, *out, "-q"]) == 0
    made = capsys.readouterr().out.strip()
    for more in ([], ["--dry-run"], ["--format", "gif"]):
        assert main(["again", made, *words, "-q", *more]) == 0
    again = capsys.readouterr().out.splitlines()[0]
    assert probe(place / again).format == probe(place / made).format
    assert probe(place / again).frames == 3


def test_another_picture_is_told_of_and_knobs_can_be_changed(animate, miniature, place, capsys):
    paint(place / "other.png", 5)
    assert animate("-q") == 0
    assert main(["again", "photo.mp4", "other.png", "--model", str(miniature), "--motion", "7", "-o", "x.mp4"]) == 0
    assert "not the picture" in capsys.readouterr().err
    assert probe(place / "x.mp4").recipe["knobs"]["motion"] == 7


def test_other_weights_under_the_same_name_are_told_of(animate, miniature, tmp_path, capsys):
    assert animate("-q") == 0
    other = shutil.copytree(miniature, tmp_path / "other" / miniature.name)
    unet = next((other / "unet").glob("*.safetensors"))
    unet.write_bytes(unet.read_bytes()[:-1] + b"\1")
    capsys.readouterr()
    assert main(["again", "photo.mp4", "photo.png", "--model", str(miniature)]) == 0
    assert "the weights" not in capsys.readouterr().err
    assert main(["again", "photo.mp4", "photo.png", "--model", str(other)]) == 0
    assert f"warning: the weights are not those of the recipe in unet/{unet.name}: expect another" in capsys.readouterr().err


def test_a_clip_without_a_recipe_cannot_be_repeated(animate, capsys):
    assert animate("-q", "--no-recipe") == 0
    assert main(["again", "photo.mp4", "photo.png"]) == 9
    assert main(["inspect", "photo.mp4"]) == 0
    assert "none: made with --no-recipe" in capsys.readouterr().out
