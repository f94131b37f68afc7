"""cli/run.py: where the clip goes, and what is refused before any work."""

import io
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from unstill.cli.run import Target, check_place, claim, refuse_confusion
from unstill.cli.telling import Manner
from unstill.errors import RequestError, WriteError
from unstill.request import Request


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("picture", "knobs", "name"),
    [("photo.jpg", {}, "photo.mp4"), ("some/where/my.photo.png", {}, "my.photo.mp4"), ("-", {}, "clip.mp4"),
     ("photo.jpg", {"format": "gif"}, "photo.gif"), ("photo.jpg", {"format": "webp"}, "photo.webp"), ("clip.gif.jpg", {"format": "png"}, "clip.gif-frames"),
     ("photo.jpg", {"codec": "vp9"}, "photo.webm"), ("photo.jpg", {"codec": "av1"}, "photo.mp4"),
     ("photo.jpg", {"format": "webm", "codec": "av1"}, "photo.webm"), ("x" * 300 + ".jpg", {}, "x" * 300 + ".mp4"), (".hidden", {}, ".hidden.mp4")],
)  # fmt: skip
def test_a_clip_is_named_after_its_picture(picture, knobs, name):
    assert str(Target(picture).choose(Request(**knobs))) == name


def test_a_name_that_is_taken_is_never_taken_again(place):
    for name in ("photo.mp4", "photo-2.mp4"):
        (place / name).touch()
    assert str(Target("photo.jpg").choose(Request())) == "photo-3.mp4"


def test_a_link_that_leads_nowhere_counts_as_taken(place):
    (place / "photo.mp4").symlink_to("nowhere")
    assert str(Target("photo.jpg").choose(Request())) == "photo-2.mp4"


def test_a_clip_that_is_repeated_keeps_its_kind_unless_told_otherwise():
    assert str(Target("photo.jpg", kind="gif").choose(Request())) == "photo.gif"
    assert str(Target("photo.jpg", kind="gif").choose(Request(format="webp"))) == "photo.webp"
    assert str(Target("photo.jpg", "clip.mp4", kind="gif").choose(Request())) == "clip.mp4"


def test_a_name_that_does_not_tell_its_format_gets_it_from_the_request():
    frames = Target("harbour.v2.jpg", kind="png")
    assert check_place(frames, frames.complete(Request())) == Path("harbour.v2-frames")
    assert frames.complete(Request(format="gif")) == Request(format="gif")
    assert Target("harbour.v2.jpg", kind="gif").complete(Request()) == Request()
    assert Target("harbour.v2.jpg", "there", kind="png").complete(Request()) == Request()


@dataclass(frozen=True)
class Raced(Target):
    """A target whose names somebody else takes right after they were chosen, until three are gone."""

    def choose(self, request):
        path = super().choose(request)
        if "3" not in path.name:
            theirs = path / "theirs" if path.name.endswith("-frames") else path
            theirs.parent.mkdir(exist_ok=True)
            theirs.write_bytes(b"theirs")
        return path


def test_a_file_takes_the_first_name_that_nobody_else_took(place):
    (place / "made.gif").write_bytes(b"ours")
    assert claim(place / "made.gif", Raced("photo.jpg"), Request(format="gif")) == Path("photo-3.gif")
    assert [(place / name).read_bytes() for name in ("photo.gif", "photo-2.gif", "photo-3.gif")] == [
        b"theirs",
        b"theirs",
        b"ours",
    ]


def test_a_folder_takes_the_first_name_that_nobody_else_took(place):
    (place / "made").mkdir()
    (place / "made" / "0001.png").write_bytes(b"ours")
    assert claim(place / "made", Raced("photo.jpg"), Request(format="png")) == Path("photo-3-frames")
    assert sorted(str(path.relative_to(place)) for path in place.glob("*/*")) == [
        "photo-2-frames/theirs", "photo-3-frames/0001.png", "photo-frames/theirs",
    ]  # fmt: skip


def test_a_gif_of_a_gif_gets_another_name(place):
    (place / "wave.gif").touch()
    assert str(Target("wave.gif").choose(Request(format="gif"))) == "wave-2.gif"


@pytest.mark.parametrize(
    ("picture", "out", "knobs", "manner", "message"),
    [("photo.png", "-", {}, Manner(), "needs a format that is one file"), ("photo.png", "-", {"format": "png"}, Manner(), "one file"),
     ("photo.png", "-", {"format": "gif"}, Manner(as_json=True), "both want standard output")],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(picture, out, knobs, manner, message):
    with pytest.raises(RequestError, match=message):
        refuse_confusion(Request(**knobs), Target(picture, out), manner)


def test_a_keyboard_is_no_picture(monkeypatch):
    monkeypatch.setattr(sys, "stdin", Terminal())
    with pytest.raises(RequestError, match="is the keyboard here"):
        refuse_confusion(Request(), Target("-", None), Manner())


def test_a_clip_is_not_poured_onto_the_screen(monkeypatch):
    monkeypatch.setattr(sys, "stdout", Terminal())
    with pytest.raises(RequestError, match="is the screen here"):
        refuse_confusion(Request(format="mp4"), Target("photo.png", "-"), Manner())


@pytest.mark.parametrize("out", ["photo.gif", "./photo.gif", "link.gif"])
def test_a_clip_never_replaces_its_own_picture(place, out):
    (place / "photo.gif").touch()
    (place / "link.gif").symlink_to("photo.gif")
    with pytest.raises(WriteError, match="replace the picture itself"):
        check_place(Target("photo.gif", out), Request())


@pytest.mark.parametrize("picture", ["a\0b", "none.gif", "-"])
def test_pictures_that_cannot_be_looked_up_are_left_to_the_reader(picture, place):
    (place / "clip.gif").touch()
    assert check_place(Target(picture, "clip.gif"), Request()) == Path("clip.gif")
