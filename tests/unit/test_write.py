"""A clip becomes a file whole and under its name, or not at all."""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clips import FORMATS, RECIPE, make_clip, make_frames
from unstill.cli.run import hear
from unstill.errors import DiskFull, WriteError
from unstill.formats.probe import probe
from unstill.request import Request
from unstill.write import check_target, write

TESTS = str(Path(__file__).parents[1])
KILLED = """
import json, os, signal, sys, tempfile
from pathlib import Path
from clips import make_clip, make_frames
from unstill.formats.probe import probe

DISK = {"open", "write", "writelines", "flush", "fsync", "close", "rename", "replace", "mkdir", "unlink", "chmod"}
clip, path = make_clip(make_frames(6)), Path(sys.argv[1])
with tempfile.TemporaryDirectory() as elsewhere:
    clip.save(Path(elsewhere) / path.name)  # whatever is imported for it is imported


def save_and_die(moment):
    seen = 0

    def look(frame, event, function):
        nonlocal seen
        if event == "c_call" and function.__name__ in DISK:
            seen += 1
            if seen == moment:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(look)
    clip.save(path)
    os._exit(0)


killed, moment = True, 0
while killed:
    moment += 1
    child = os.fork()
    if not child:
        save_and_die(moment)
    killed = os.WIFSIGNALED(os.waitpid(child, 0)[1])
    print(json.dumps({"killed": killed, "frames": probe(path).frames, "files": os.listdir(path.parent)}))
"""
WRITES_ON = """
import sys
from pathlib import Path
from clips import make_clip, make_frames

clip = make_clip(make_frames(6))
print("ready", flush=True)
while True:
    clip.save(Path(sys.argv[1]))
"""


def name(kind):
    return "clip" if kind == "png" else f"clip.{kind}"


def names(folder):
    return sorted(path.name for path in folder.iterdir())


class TestWhatIsStored:
    @pytest.mark.parametrize("kind", FORMATS)
    @pytest.mark.parametrize(("count", "stored"), [(2, 2), (3, 4), (14, 26)])
    def test_ping_pong_shows_neither_end_twice(self, tmp_path, kind, count, stored):
        frames = make_frames(count, 16, 24)
        assert probe(make_clip(frames, loop="ping-pong").save(tmp_path / name(kind))).frames == stored

    @pytest.mark.parametrize("kind", FORMATS)
    def test_one_frame_is_a_clip(self, tmp_path, kind):
        assert probe(make_clip(make_frames(1), loop="ping-pong").save(tmp_path / name(kind))).frames == 1

    @pytest.mark.parametrize("kind", FORMATS)
    def test_the_recipe_is_kept_or_left_out_and_the_mark_stays(self, tmp_path, kind):
        clip = make_clip(make_frames(2))
        with_it = probe(clip.save(tmp_path / name(kind)))
        without = probe(clip.save(tmp_path / name(kind), recipe=False))
        assert (with_it.recipe, without.recipe) == (RECIPE, None)
        assert with_it.mark == without.mark
        assert "machine-generated" in without.mark

    def test_the_recipe_says_how_this_file_is_written(self, tmp_path):
        clip = make_clip(make_frames(3))
        found = probe(clip.save(tmp_path / "frames", play_fps=12, loop="ping-pong"))
        assert found.recipe["knobs"] == {**RECIPE["knobs"], "play_fps": 12.0, "loop": "ping-pong"}
        assert (found.frames, found.play_fps) == (4, 12.0)

    def test_stills_hold_the_pixels_in_order(self, tmp_path):
        clip = make_clip(make_frames(3))
        clip.save(tmp_path / "frames")
        assert names(tmp_path / "frames") == ["0001.png", "0002.png", "0003.png"]
        for number, frame in enumerate(clip.frames, 1):
            with Image.open(tmp_path / "frames" / f"{number:04d}.png") as image:
                assert np.array_equal(np.asarray(image), frame)

    @pytest.mark.parametrize(
        "frames",
        [
            make_frames(2).astype(np.float32), make_frames(2)[..., :2], make_frames(2)[0], make_frames(2)[:0],
            make_frames(2)[:, :0], make_frames(2).tolist(), None,
        ],
    )  # fmt: skip
    def test_what_is_no_clip_is_refused(self, tmp_path, frames):
        clip = make_clip()
        object.__setattr__(clip, "frames", frames)
        with pytest.raises(WriteError, match="uint8"):
            clip.save(tmp_path / "clip.mp4")
        assert names(tmp_path) == []

    @pytest.mark.parametrize(("knobs", "size"), [({"codec": "av1"}, (63, 80)), ({"format": "webp"}, (1, 16384))])
    def test_sides_that_a_codec_cannot_hold_are_refused(self, tmp_path, knobs, size):
        clip = make_clip(np.zeros((1, *size, 3), np.uint8))
        with pytest.raises(WriteError, match="holds sides of"):
            clip.save(tmp_path / ("clip.webm" if "codec" in knobs else "clip.webp"), **knobs)


class TestMaxBytes:
    NOISE = np.random.default_rng(0).integers(0, 256, (6, 96, 128, 3), np.uint8)

    @pytest.mark.parametrize("kind", FORMATS)
    def test_a_file_is_reduced_until_it_fits_and_says_how(self, tmp_path, kind):
        clip = make_clip(self.NOISE)
        whole = sum(file.stat().st_size for file in sized(clip.save(tmp_path / name(kind))))
        budget = max(10_000, whole // 2)
        if whole <= budget:
            pytest.skip("small already")
        with pytest.warns(UserWarning, match=f"reduced to fit into {budget} bytes: .*[0-9]+x[0-9]+"):
            path = clip.save(tmp_path / name(kind), max_bytes=budget)
        assert sum(file.stat().st_size for file in sized(path)) <= budget
        assert probe(path).frames == 6

    def test_what_cannot_fit_tells_the_smallest_size_reached(self, tmp_path):
        clip = make_clip(np.random.default_rng(0).integers(0, 256, (12, 128, 128, 3), np.uint8))
        with pytest.raises(WriteError, match=r"10000 bytes: the smallest apng has [0-9]{5,}"):
            clip.save(tmp_path / "clip.apng", max_bytes=10_000)
        assert names(tmp_path) == []

    def test_what_fits_is_left_alone(self, tmp_path):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            make_clip(make_frames(2)).save(tmp_path / "clip.webm", max_bytes=10**6)


def sized(path):
    return list(path.iterdir()) if path.is_dir() else [path]


class TestNotes:
    def test_odd_sides_in_h264_are_said_and_webm_needs_no_word(self, tmp_path):
        clip = make_clip(make_frames(2, 57, 101))
        with pytest.warns(UserWarning, match="101x57 is stored twice"):
            clip.save(tmp_path / "clip.mp4")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            clip.save(tmp_path / "clip.webm")

    def test_frames_left_out_of_a_gif_are_said(self, tmp_path):
        with pytest.warns(UserWarning, match="faster than 50"):
            make_clip(play_fps=60).save(tmp_path / "clip.gif")

    def test_the_command_line_hears_every_note_and_not_only_the_first(self, tmp_path):
        clip = make_clip(make_frames(2, 57, 101))
        for _ in range(2):
            with hear(debug=False) as heard:
                for _ in range(2):
                    warn_inside(clip, tmp_path)
            assert ["stored twice" in note for note in heard] == [True, True]

    def test_a_note_made_an_error_leaves_nothing(self, tmp_path):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(UserWarning):
                make_clip(make_frames(2, 57, 101)).save(tmp_path / "clip.mp4")
        assert names(tmp_path) == []


def warn_inside(clip, folder):
    """Save as the command line does: from a file of the package."""
    from unstill.compat.export import export_to_video

    export_to_video(list(clip.frames), folder / "other.mp4", fps=7)


class TestTargets:
    @pytest.mark.parametrize(
        ("target", "knobs"),
        [
            ("clip.mp4", {"format": "gif"}), ("clip.png", {"format": "mp4", "codec": "vp9"}), ("clip.gif", {"codec": "h264"}),
            ("clip.mp4", {"codec": "vp9"}), ("clip.webm", {"codec": "h264"}), ("clip.avi", {}), ("clip.png", {}), (".txt", {}),
            ("none/clip.mp4", {}), ("folder", {"format": "mp4"}), ("folder.mp4", {}), ("file/clip.mp4", {}), ("file", {}),
            ("a\0b.mp4", {}), ("x" * 252 + ".mp4", {}), ("x/" * 3000 + "a.mp4", {}), ("loop.mp4", {}), ("pipe.mp4", {}),
            (".", {}), ("..", {}), ("/dev/full", {"format": "mp4"}), ("/proc/clip.mp4", {}), ("theirs", {}), ("numbered", {}),
        ],
    )  # fmt: skip
    def test_a_place_that_cannot_be_is_refused_before_any_work(self, tmp_path, monkeypatch, target, knobs):
        for folder in ("folder", "folder.mp4", "theirs", "numbered"):
            (tmp_path / folder).mkdir()
        (tmp_path / "file").write_text("x")
        (tmp_path / "theirs" / "notes.txt").write_text("mine")
        (tmp_path / "numbered" / "0001.png").write_bytes(b"a scan of somebody's letter")
        (tmp_path / "loop.mp4").symlink_to("loop.mp4")
        os.mkfifo(tmp_path / "pipe.mp4")
        monkeypatch.chdir(tmp_path)
        before = sorted(map(str, tmp_path.rglob("*")))
        if target.startswith("/proc"):
            with pytest.raises(WriteError):
                make_clip(make_frames(1)).save(target)
            return
        for refuse in (lambda: check_target(Path(target), Request(**knobs)), lambda: make_clip(None, **knobs).save(target)):
            with pytest.raises(WriteError):
                refuse()
        assert sorted(map(str, tmp_path.rglob("*"))) == before

    @pytest.mark.parametrize(
        ("target", "format"), [("clip", "mp4"), ("clip.png", "apng"), ("frames.png", "png"), ("a.b", "gif")]
    )
    def test_names_that_do_not_mislead_are_taken(self, tmp_path, target, format):
        assert probe(make_clip(make_frames(1), format=format).save(tmp_path / target)).format == format

    def test_a_name_of_255_bytes_is_taken(self, tmp_path):
        path = tmp_path / ("é" * 125 + "x.mp4")
        assert len(os.fsencode(path.name)) == 255
        assert probe(make_clip(make_frames(1)).save(path)).frames == 1

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
    def test_a_folder_that_may_not_be_written_is_refused(self, tmp_path):
        tmp_path.chmod(0o500)
        with pytest.raises(WriteError, match="cannot be written to"):
            check_target(tmp_path / "clip.mp4", Request())

    def test_a_link_stays_a_link_and_what_it_points_to_is_written(self, tmp_path):
        (tmp_path / "real").mkdir()
        for kind in ("gif", "png"):
            link = tmp_path / f"latest-{name(kind)}"
            link.symlink_to(Path("real") / name(kind))
            for count in (1, 2):
                assert make_clip(make_frames(count)).save(link) == link
                assert link.is_symlink()
                assert probe(tmp_path / "real" / name(kind)).frames == count

    def test_permissions_follow_the_umask(self, tmp_path):
        before = os.umask(0o027)
        try:
            file, folder = (make_clip(make_frames(1)).save(tmp_path / name(kind)) for kind in ("gif", "png"))
        finally:
            os.umask(before)
        assert stat.S_IMODE(file.stat().st_mode) == 0o640
        assert stat.S_IMODE(folder.stat().st_mode) == 0o750


class TestPublication:
    @pytest.mark.parametrize("kind", ["gif", "png"])
    def test_one_of_ours_is_replaced_whole(self, tmp_path, kind):
        for count in (4, 2):
            make_clip(make_frames(count)).save(tmp_path / name(kind))
            assert probe(tmp_path / name(kind)).frames == count
            assert names(tmp_path) == [name(kind)]

    @pytest.mark.parametrize("kind", ["mp4", "png"])
    @pytest.mark.parametrize("exists", [False, True])
    def test_a_full_disk_says_so_and_leaves_all_as_it_was(self, tmp_path, kind, exists):
        """On a real file system of 60 kB, mounted where only the child sees it."""
        code = (
            "import os, sys; from pathlib import Path; import numpy as np\n"
            "from clips import make_clip, make_frames; from unstill.errors import DiskFull; from unstill.formats.probe import probe\n"
            f"path = Path(sys.argv[1]) / '{name(kind)}'\n"
            f"if {exists}: make_clip(make_frames(2)).save(path)\n"
            "try: make_clip(np.random.default_rng(0).integers(0, 256, (9, 96, 96, 3), np.uint8), quality=100).save(path)\n"
            "except DiskFull as error: print(error)\n"
            "print(os.listdir(path.parent), probe(path).frames if path.exists() else None)"
        )
        command = f'mount -t tmpfs -o size=60k none {tmp_path} && {sys.executable} -c "$CODE" {tmp_path}'
        environment = {**os.environ, "CODE": code, "PYTHONPATH": TESTS}
        if shutil.which("unshare") is None:
            pytest.skip("no file system can be mounted here: there is no unshare")
        done = subprocess.run(["unshare", "-rm", "sh", "-c", command], capture_output=True, text=True, env=environment)
        if "unshare" in done.stderr or "mount" in done.stderr:
            pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
        assert f"No room is left for '{name(kind)}'" in done.stdout, done.stderr
        assert done.stdout.splitlines()[-1] == (f"['{name(kind)}'] 2" if exists else "[] None")

    @pytest.mark.parametrize("kind", ["gif", "png"])
    @pytest.mark.parametrize("failure", [KeyboardInterrupt(), OSError(28, "no room"), OSError(5, "broken")])
    def test_an_interruption_at_every_flush_leaves_nothing(self, tmp_path, monkeypatch, kind, failure):
        make_clip(make_frames(2)).save(tmp_path / name(kind))
        flush, calls, limits = os.fsync, [], []

        def break_off(handle):
            calls.append(handle)
            if len(calls) == limits[-1] and stat.S_ISREG(os.fstat(handle).st_mode):
                raise failure
            flush(handle)

        monkeypatch.setattr(os, "fsync", break_off)
        for limit in range(1, 4 if kind == "png" else 2):
            limits.append(limit)
            calls.clear()
            expected = (
                KeyboardInterrupt if isinstance(failure, KeyboardInterrupt) else DiskFull if failure.errno == 28 else WriteError
            )
            with pytest.raises(expected):
                make_clip(make_frames(3)).save(tmp_path / name(kind))
            assert names(tmp_path) == [name(kind)]
            assert probe(tmp_path / name(kind)).frames == 2

    def test_a_folder_that_cannot_be_put_in_place_brings_the_old_one_back(self, tmp_path, monkeypatch):
        make_clip(make_frames(2)).save(tmp_path / "frames")
        rename = Path.rename

        def refuse(self, target):
            if self.suffix == ".part":
                raise OSError(5, "broken")
            return rename(self, target)

        monkeypatch.setattr(Path, "rename", refuse)
        with pytest.raises(WriteError, match="broken"):
            make_clip(make_frames(3)).save(tmp_path / "frames")
        assert names(tmp_path) == ["frames"]
        assert probe(tmp_path / "frames").frames == 2

    def test_killed_at_any_moment_the_target_is_the_old_or_the_new(self, tmp_path):
        """Before every call that reaches the disk, in a process of its own."""
        path = tmp_path / "clip.gif"
        make_clip(make_frames(2)).save(path)
        environment = {**os.environ, "PYTHONPATH": TESTS}
        told = subprocess.run([sys.executable, "-c", KILLED, path], env=environment, capture_output=True, text=True, check=True)
        moments = [json.loads(line) for line in told.stdout.splitlines()]
        assert [moment["killed"] for moment in moments] == [True] * (len(moments) - 1) + [False]
        assert len(moments) > 6
        found = [moment["frames"] for moment in moments]
        assert found == sorted(found) and set(found) == {2, 6}
        left = {file for moment in moments for file in moment["files"]}
        assert left > {"clip.gif"}, "never was half a file on the disk"
        assert all(re.fullmatch(r"clip\.gif|\.unstill-[0-9a-f]{16}\.part", file) for file in left)

    @pytest.mark.thorough("also between calls, within libraries; the test above kills before every call that reaches the disk")
    @pytest.mark.parametrize("wait_s", [0.0, 0.013, 0.037])
    def test_killed_at_a_random_moment_the_target_is_the_old_or_the_new(self, tmp_path, wait_s):
        path = tmp_path / "clip.gif"
        make_clip(make_frames(2)).save(path)
        environment = {**os.environ, "PYTHONPATH": TESTS}
        with subprocess.Popen([sys.executable, "-c", WRITES_ON, path], env=environment, stdout=subprocess.PIPE) as child:
            child.stdout.readline()
            time.sleep(wait_s)  # the moment itself, not a wait for something
            child.kill()
        assert probe(path).frames in (2, 6)
        assert all(re.fullmatch(r"clip\.gif|\.unstill-[0-9a-f]{16}\.part", left) for left in names(tmp_path))

    def test_two_writers_to_one_name_leave_one_whole_file(self, tmp_path):
        code = (
            "import sys; from pathlib import Path; from clips import make_clip, make_frames\n"
            "clip = make_clip(make_frames(int(sys.argv[2])))\n"
            "for _ in range(20): clip.save(Path(sys.argv[1]))"
        )
        environment = {**os.environ, "PYTHONPATH": TESTS}
        command = [sys.executable, "-c", code, str(tmp_path / "clip.webp")]
        children = [subprocess.Popen([*command, count], env=environment) for count in ("3", "5")]
        assert [child.wait() for child in children] == [0, 0]
        assert names(tmp_path) == ["clip.webp"]
        assert probe(tmp_path / "clip.webp").frames in (3, 5)


def test_write_returns_the_path_that_it_was_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    clip = make_clip(make_frames(1))
    assert write(clip, Path("clip.gif"), clip.request) == Path("clip.gif")
