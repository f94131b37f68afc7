"""A file may be anyone's: looking at it gives a Probe or a RecipeError, soon and in little memory."""

import os
import resource
import shutil
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest

from clips import FORMATS, RECIPE, make_clip, make_frames
from unstill.errors import RecipeError
from unstill.formats.probe import LARGEST_BYTES, Probe, probe
from unstill.values import Size

FILES = [kind for kind in FORMATS if kind != "png"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """One small clip of each format; of PNG one still."""
    folder = tmp_path_factory.mktemp("clips")
    clip = make_clip(make_frames(5, 16, 24), plays=3)
    made = {kind: clip.save(folder / f"clip.{kind}") for kind in FILES}
    return {**made, "png": clip.save(folder / "frames") / "0001.png"}


def look(path):
    """Probe a hostile file: any other exception than RecipeError fails the test."""
    try:
        return probe(path)
    except RecipeError as error:
        return error


@pytest.mark.parametrize("kind", FILES)
def test_a_clip_of_ours_is_told_whole(files, kind):
    found = probe(files[kind])
    assert (found.format, found.frames, found.size, found.recipe) == (kind, 5, Size(24, 16), {**RECIPE})
    assert found.duration_s == pytest.approx(5 / 7, abs=0.005)
    assert found.play_fps == pytest.approx(7, abs=0.06)
    assert found.loop == (None if kind in ("mp4", "webm") else 3)
    assert found.mark.startswith("made by unstill")


def test_a_folder_of_stills_is_a_clip(files):
    found = probe(files["png"].parent)
    assert (found.format, found.frames, found.size, found.recipe) == ("png", 5, Size(24, 16), RECIPE)
    assert found.duration_s == pytest.approx(5 / 7)


@pytest.mark.parametrize("kind", FORMATS)
def test_truncated_at_every_sixteenth(files, kind, tmp_path):
    data = files[kind].read_bytes()
    for part in range(16):
        (tmp_path / "cut").write_bytes(data[: len(data) * part // 16])
        assert isinstance(look(tmp_path / "cut"), Probe | RecipeError)


@pytest.mark.parametrize("kind", FORMATS)
def test_flipped_bytes(files, kind, tmp_path):
    data, rng = files[kind].read_bytes(), np.random.default_rng(7)
    start = time.process_time()
    for _ in range(200):
        changed = bytearray(data)
        for place in rng.integers(0, len(data), rng.integers(1, 9)):
            changed[place] = rng.integers(0, 256)
        (tmp_path / "flipped").write_bytes(changed)
        assert isinstance(look(tmp_path / "flipped"), Probe | RecipeError)
    assert time.process_time() - start < 20


def png(*chunks):
    body = b"".join(struct.pack(">I", len(c)) + n + c + struct.pack(">I", zlib.crc32(n + c)) for n, c in chunks)
    return b"\x89PNG\r\n\x1a\n" + body


IHDR = (b"IHDR", struct.pack(">IIBBBBB", 4, 4, 8, 2, 0, 0, 0))
GIF = b"GIF89a\x04\x00\x04\x00\x00\x00\x00"
DEEP = b'{"unstill":' + b"[" * 5000


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello, this is text",
        b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/clip.ts\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        b"RIFF\xff\xff\xff\xffWEBPVP8X\xff\xff\xff\xff" + bytes(10),
        b"RIFF\x00\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00" + bytes(10) + b"ANMF\xff\xff\xff\xff",
        b"RIFF\x00\x00\x00\x00WEBPVP8 \x0a\x00\x00\x00" + bytes(10),
        b"RIFF",
        png(),
        png((b"IDAT", b"x")),
        png((b"IHDR", b"")),
        png(IHDR, (b"fcTL", b"short")),
        png(IHDR, (b"iTXt", b"Comment\0\0\0\0\0" + DEEP)),
        png(IHDR, (b"iTXt", b'Comment\0\0\0\0\0{"unstill":1,"knobs":{"a":NaN}}')),
        png(IHDR, (b"iTXt", b'Comment\0\0\0\0\0{"unstill":1,"knobs":{"a":"' + b"x" * 100_000 + b'"}}')),
        png(IHDR) + b"\0" * 3_000_000,
        GIF,
        GIF + b"\x3b",
        GIF + b"\x21\xfe\x01",
        GIF + b"\x21\xfe" + b"\xff" + b"{" * 255 + b"\0;",
        GIF + b"\x77",
        b"\0\0\0\x18ftypisom" + bytes(64),
        b"\0\0\0\x18ftypisom" + bytes(12) + b"\xff\xff\xff\xffmoov",
        b"\x1a\x45\xdf\xa3" + b"\xff" * 64,
    ],
)
def test_what_only_looks_like_a_clip_is_refused(tmp_path, data):
    (tmp_path / "lie").write_bytes(data)
    with pytest.raises(RecipeError) as caught:
        probe(tmp_path / "lie")
    assert str(tmp_path) not in caught.value.message


def test_a_gif_without_times_is_a_clip_without_a_rate(files, tmp_path):
    data = bytearray(files["gif"].read_bytes())
    while (place := data.find(b"\x21\xf9\x04")) >= 0:
        data[place : place + 8] = b"\x21\xfe\x04" + b"1234\0"
    (tmp_path / "still.gif").write_bytes(data)
    found = probe(tmp_path / "still.gif")
    assert (found.frames, found.duration_s, found.play_fps) == (5, 0.0, 0.0)


def test_comment_bombs_end(tmp_path):
    part = b"\xff" + b'{"' + b"a" * 253
    bomb = GIF + (b"\x21\xfe" + part * 20 + b"\0") * 2000 + b"\x3b"
    (tmp_path / "bomb.gif").write_bytes(bomb)
    start = time.process_time()
    assert isinstance(look(tmp_path / "bomb.gif"), RecipeError)
    assert time.process_time() - start < 5


@pytest.mark.parametrize("knobs", ['{"play_fps":"abc"}', '{"play_fps":-1}', '{"fps":true}', '{"fps":1e308}', "{}"])
def test_a_folder_whose_recipe_tells_no_rate(tmp_path, knobs):
    text = b'Comment\0\0\0\0\0{"unstill":"1","knobs":' + knobs.encode() + b"}"
    (tmp_path / "0001.png").write_bytes(png(IHDR, (b"iTXt", text), (b"IEND", b"")))
    assert probe(tmp_path).frames == 1


def test_what_is_no_plain_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    os.mkfifo(tmp_path / "folder" / "0001.png")
    for path in (tmp_path / "pipe", tmp_path / "folder", Path("/dev/zero"), tmp_path / "none", tmp_path, tmp_path / "loop"):
        assert isinstance(look(path), RecipeError)
    for name in ("a\0b", "x" * 5000, ""):
        assert isinstance(look(Path(name)), RecipeError)


@pytest.mark.parametrize("start", [b"", b"GIF89a", b"RIFF\0\0\0\0WEBP", png(IHDR), b"\0\0\0\x18ftypisom", b"\x1a\x45\xdf\xa3"])
@pytest.mark.parametrize("size", [2**31, LARGEST_BYTES + 1])
def test_a_huge_sparse_file_is_neither_read_nor_believed(tmp_path, start, size):
    with (tmp_path / "huge").open("wb") as file:
        file.write(start)
        file.truncate(size)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.process_time()
    assert isinstance(look(tmp_path / "huge"), RecipeError)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB
    assert time.process_time() - begun < 5


@pytest.mark.slow
def test_an_index_that_claims_samples_without_end_takes_no_memory(files, tmp_path):
    """One number in the table of sizes: FFmpeg would set aside 24 bytes a sample."""
    data = bytearray(files["mp4"].read_bytes())
    place = data.find(b"stsz")
    data[place + 8 : place + 16] = struct.pack(">II", 1, 2**28)
    (tmp_path / "claim.mp4").write_bytes(data)
    code = (
        "import resource, sys, av; resource.setrlimit(resource.RLIMIT_AS, (2**30,) * 2)\n"
        "from pathlib import Path; from unstill.formats.probe import probe; from unstill.errors import RecipeError\n"
        "try: probe(Path(sys.argv[1]))\n"
        "except RecipeError as error: print('refused:', error)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "claim.mp4")], capture_output=True, text=True, timeout=30)
    assert "refused:" in done.stdout, done.stderr
    assert done.stderr == ""


def test_names_cannot_pass_for_addresses(files, tmp_path, monkeypatch):
    """FFmpeg takes `http:…` and `concat:…` for protocols."""
    monkeypatch.chdir(tmp_path)
    for name in ("http:clip.mp4", "concat:a|b.mp4"):
        shutil.copy(files["mp4"], tmp_path / name)
        assert probe(Path(name)).frames == 5
