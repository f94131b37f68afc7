"""A finished clip in another format, made in a process of its own and kept beside the clip.

    python -m unstill.studio.convert outputs/TOKEN.mp4 outputs/TOKEN.gif

It is made of the file, so it can be no better than that. It does not know HTTP.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from unstill.errors import WriteError

FORMATS = ("mp4", "webm", "gif", "webp", "apng")
MOST_S = 300.0  # AV1 of a long clip on a busy machine


def find_format(clip: Path, wanted: str) -> Path:
    """Give the clip in a format, made now if nobody asked for it before."""
    place = clip.with_suffix(f".{wanted}")
    if place.exists():
        return place
    words = [sys.executable, "-m", __name__, str(clip), str(place)]
    try:
        done = subprocess.run(words, capture_output=True, timeout=MOST_S, check=False, text=True)
    except subprocess.TimeoutExpired:
        raise WriteError(f"Making {wanted} took more than {MOST_S:g} s", hint="take the clip as it is") from None
    if done.returncode or not place.exists():
        print(done.stderr, file=sys.stderr)  # into the server's log
        raise WriteError(f"The clip could not be made into {wanted}", hint="take the clip as it is")
    return place


def convert(source: Path, target: Path) -> None:
    """Write a clip anew; how it was made stays in the file."""
    from unstill.artifacts import Clip, Report
    from unstill.formats.frames import read_frames
    from unstill.request import Request
    from unstill.values import Size
    from unstill.write import write

    frames, found = read_frames(source)
    recipe = found.recipe or {}
    request = Request(format=target.suffix.removeprefix("."), play_fps=found.play_fps or None, recipe=bool(recipe))
    report = Report(len(frames), Size(frames.shape[2], frames.shape[1]), mean_change=0.0, fidelity_db=0.0)
    write(Clip(frames, report, recipe, request, write), target, request)


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
