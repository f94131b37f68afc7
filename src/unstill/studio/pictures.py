"""Uploads become pictures that can be trusted: decoded in a short-lived process with limits, and encoded anew.

    python -m unstill.studio.pictures < upload > picture.png

Whatever a file does to a decoder, it does it there. It does not know HTTP.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import re
import subprocess
import sys

from unstill.errors import PictureError, UnstillError

MOST_BYTES = 32 * 2**20
MOST_S = 10.0  # a 50-megapixel PNG takes 2 s
MOST_MEMORY = 2 * 2**30
DATA_URL = re.compile(r"data:image/[a-z0-9.+-]{1,20};base64,", re.ASCII)


def purify(data: bytes) -> bytes:
    """Decode an upload elsewhere and give it as PNG: upright, in sRGB, nothing else in it."""
    if len(data) > MOST_BYTES:
        raise PictureError(f"The picture has {len(data)} bytes, and at most {MOST_BYTES} are taken", hint="send a smaller one")
    try:
        done = subprocess.run([sys.executable, "-m", __name__], input=data, capture_output=True, timeout=MOST_S, check=False)
    except subprocess.TimeoutExpired:
        raise PictureError(f"The picture took more than {MOST_S:g} s to decode") from None
    if done.returncode == 0 and done.stdout:
        return done.stdout
    told = read_told(done.stderr)
    raise PictureError(told.get("message") or "The picture could not be decoded within its limits", hint=told.get("hint"))


def read_told(text: bytes) -> dict[str, str]:
    """Read what the process said of an error, if it came to say anything."""
    try:
        told = json.loads(text.decode(errors="replace").strip().splitlines()[-1])
    except (ValueError, IndexError):
        return {}
    return told if isinstance(told, dict) else {}


def read_data_url(text: str) -> bytes:
    """Take the picture out of a data URL; other addresses are not fetched."""
    found = DATA_URL.match(text[:64])
    if found is None:
        raise PictureError("image_url must be a data URL of a picture: data:image/…;base64,…", hint="addresses are not fetched")
    try:
        return base64.b64decode(text[found.end() :], validate=True)
    except (binascii.Error, ValueError):
        raise PictureError("image_url is no base64") from None


def main() -> int:
    """Decode standard input."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    from PIL import Image

    from unstill.formats.picture import decode

    try:
        picture = decode(io.BytesIO(sys.stdin.buffer.read()), "#ffffff")
        out = io.BytesIO()
        Image.fromarray(picture.pixels_HWC).save(out, "PNG", compress_level=1)
    except UnstillError as error:
        print(json.dumps({"message": error.message, "hint": error.hint}), file=sys.stderr)
        return 1
    except MemoryError:
        print(json.dumps({"message": "The picture needs more memory than a picture may"}), file=sys.stderr)
        return 1
    sys.stdout.buffer.write(out.getvalue())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
