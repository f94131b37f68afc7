"""Pictures that lie: each is read correctly or refused, within two seconds of a core and 512 MB.

One child process takes a whole group, so that its peak memory is the largest of the group.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hostile import claim_more, make_animations, make_bombs, make_kinds
from pictures import make_blank_png, png_chunk

MOST_BYTES = 512 * 1024**2
MOST_S = 2.0

CHILD = """
import json, re, sys, time
from pathlib import Path
from unstill.errors import PictureError
from unstill.prepare import prepare
from unstill.request import Request
for name in sys.argv[1:]:
    start = time.process_time()
    try:
        image = prepare(name, Request(size="64x64"))
        said, mean = "read", image.canvas_HWC.mean((0, 1)).round(1).tolist()
    except PictureError as error:
        said, mean = str(error), None
    took_s = time.process_time() - start
    # Not ru_maxrss, which starts at the peak of the process that forked this one.
    peak_bytes = int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
    print(json.dumps({"name": name, "said": said, "mean": mean, "took_s": took_s, "peak_bytes": peak_bytes}))
"""


def read_in_child(folder: Path, *more: str) -> dict[str, dict]:
    """Prepare every file of a folder in one child; return what it said of each."""
    names = sorted(str(path) for path in folder.iterdir())
    ran = subprocess.run([sys.executable, "-c", CHILD, *names, *more], capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr[-2000:]
    results = {Path(line["name"]).name: line for line in map(json.loads, ran.stdout.splitlines())}
    assert len(results) == len(names) + len(more)
    assert {name: r["peak_bytes"] for name, r in results.items() if r["peak_bytes"] > MOST_BYTES} == {}
    return results


def slow(results) -> dict[str, float]:
    return {name: result["took_s"] for name, result in results.items() if result["took_s"] > MOST_S}


def test_files_cut_at_every_sixteenth_are_refused(tmp_path):
    """Unless what is missing is behind the pixels, as the directory of a TIFF may be, and then the picture is whole."""
    for name, data in make_kinds().items():
        (tmp_path / f"whole-{name}").write_bytes(data)
        for part in range(16):
            (tmp_path / f"{part:02}-{name}").write_bytes(data[: len(data) * part // 16])
    results = read_in_child(tmp_path)
    for name in make_kinds():
        whole = results.pop(f"whole-{name}")
        assert whole["said"] == "read"
        cut = {key: result for key, result in results.items() if key.endswith(f"-{name}")}
        assert len(cut) == 16
        assert {key for key, result in cut.items() if result["mean"] not in (None, whole["mean"])} == set()
        assert cut[f"08-{name}"]["mean"] is None
    assert slow(results) == {}


def test_flipped_bytes_give_a_picture_or_a_refusal(tmp_path):
    """Formats without checksums show other colours; what must not happen is anything else."""
    random = np.random.default_rng(1)
    for name, data in make_kinds().items():
        for i in range(40):
            flipped = bytearray(data)
            for at in random.integers(0, len(data) if i % 2 else min(len(data), 200), 1 + i % 3):
                flipped[at] ^= 1 << int(random.integers(8))
            (tmp_path / f"{i:02}-{name}").write_bytes(flipped)
    results = read_in_child(tmp_path)
    assert {r["said"].split(":")[0] for r in results.values()} > {"read"}
    assert slow(results) == {}


def test_pictures_of_absurd_size_are_refused_by_their_header(tmp_path):
    blank = make_blank_png(13_000, 13_000)
    assert len(blank) < 500_000
    (tmp_path / "13000.png").write_bytes(blank)
    (tmp_path / "65535.png").write_bytes(b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", b"\0\0\xff\xff" * 2 + b"\x08\2\0\0\0"))
    for name, data in make_kinds().items():
        (tmp_path / f"claims-{name}").write_bytes(claim_more(name, data))
    results = read_in_child(tmp_path)
    assert {name for name, result in results.items() if result["mean"] is not None} == set()
    assert "169.0 megapixels, too large" in results["13000.png"]["said"]
    assert slow(results) == {}


def test_metadata_that_unpacks_to_more_than_it_is(tmp_path):
    for name, data in make_bombs().items():
        (tmp_path / name).write_bytes(data)
    results = read_in_child(tmp_path)
    assert {name for name, result in results.items() if result["mean"] is not None} == set()
    assert slow(results) == {}


@pytest.mark.thorough("pictures of 60 megapixels, each in 512 MB")
@pytest.mark.slow
def test_the_largest_pictures_that_are_read_stay_within_the_memory(tmp_path):
    """Flat ones, as they are quick; what they take in memory does not depend on what they show."""
    colour = (90, 80, 70)
    large = {
        "colour.png": (Image.new("RGB", (8700, 7100), colour), "PNG", {"compress_level": 1}),
        "alpha.png": (Image.new("RGBA", (8700, 7100), (*colour, 255)), "PNG", {"compress_level": 1}),
        "plain.jpg": (Image.new("RGB", (7800, 7900), colour), "JPEG", {}),
        "phone.jpg": (Image.new("L", (16320, 12240), 80), "JPEG", {}),
        "scans.jpg": (Image.new("CMYK", (6000, 6000), (9, 8, 7, 6)), "JPEG", {"progressive": True, "subsampling": 0}),
        "lossy.webp": (Image.new("RGBA", (5000, 5000), (*colour, 255)), "WEBP", {"method": 0}),
        "a.avif": (Image.new("RGB", (5000, 5000), colour), "AVIF", {"speed": 10}),
        "lzw.tif": (Image.new("RGB", (8700, 7100), colour), "TIFF", {"compression": "tiff_lzw"}),
    }
    for name, (image, format, options) in large.items():
        image.save(tmp_path / name, format, **options)
        results = read_in_child(tmp_path)
        assert results[name]["said"] == "read"
        if image.mode in ("RGB", "RGBA"):
            assert np.abs(np.array(results[name]["mean"]) - colour).max() <= 2
        (tmp_path / name).unlink()


def test_animations_of_10_000_frames_cost_one(tmp_path):
    for name, data in make_animations(10_000).items():
        (tmp_path / name).write_bytes(data)
        with Image.open(tmp_path / name) as image:
            assert image.n_frames == 10_000, "to Pillow it is one"
    results = read_in_child(tmp_path)
    assert {result["said"] for result in results.values()} == {"read"}
    assert slow(results) == {}


def test_memory_that_is_refused_is_an_error_and_not_a_crash(tmp_path):
    """A process under a limit says so and can go on."""
    Image.new("RGB", (6000, 6000)).save(tmp_path / "a.png", compress_level=1)
    limited = "import resource\nfrom unstill.prepare import prepare\nresource.setrlimit(resource.RLIMIT_AS, (2**28, 2**28))\n"
    ran = subprocess.run(
        [sys.executable, "-c", limited + CHILD, str(tmp_path / "a.png")],
        capture_output=True, text=True, timeout=60, env={"OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert "MemoryError" in json.loads(ran.stdout)["said"]
