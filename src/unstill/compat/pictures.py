"""Pictures as scripts hand them over: paths, web addresses, Pillow images, arrays, tensors, and lists of these.

It owns the download of a picture and the conversion of arrays and tensors; reading and framing belong to `prepare`.
"""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from unstill.errors import DownloadError, PictureError
from unstill.prepare import read_picture
from unstill.values import show

LARGEST_DOWNLOAD_BYTES = 64 * 2**20  # the largest photographs of phones and cameras are under 50 MB
PATIENCE_S = 30.0
GROUND = "#ffffff"  # what shows through transparent parts; the default of the knob
AGENT = "unstill"  # some hosts refuse Python's own name
SLACK = 1e-3  # of values in 0–1: rounding in half precision, a quarter of a grey level


def load_image(
    image: str | Path | Image.Image, convert_method: Callable[[Image.Image], Image.Image] | None = None
) -> Image.Image:
    """Read a picture from a file, a web address or Pillow: upright, in sRGB, opaque."""
    if isinstance(image, str) and image.lower().startswith(("http://", "https://")):
        picture = read_picture(download(image), GROUND)
    elif isinstance(image, (str, Path, Image.Image)):
        picture = read_picture(image, GROUND)
    else:
        raise PictureError(f"load_image takes a path, a web address or a Pillow image, not {type(image).__name__}")
    upright = Image.fromarray(picture.pixels_HWC)
    return upright if convert_method is None else convert_method(upright)


def download(address: str, largest_bytes: int = LARGEST_DOWNLOAD_BYTES) -> bytes:
    """Fetch a file over http or https, up to a size."""
    request = urllib.request.Request(address, headers={"User-Agent": AGENT})
    try:
        with _opener().open(request, timeout=PATIENCE_S) as answer:
            content: bytes = answer.read(largest_bytes + 1)
    except (OSError, ValueError, urllib.error.URLError) as error:
        raise DownloadError(
            f"The picture cannot be fetched from {show(address)}: {error}", hint="download it in a browser and give its path"
        ) from error
    if len(content) > largest_bytes:
        raise PictureError(f"The file at {show(address)} is larger than {largest_bytes // 2**20} MiB, the most that is fetched")
    return content


def _opener() -> urllib.request.OpenerDirector:
    """Make an opener that can follow http and https and nothing else: the default one also opens file: and ftp:."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPErrorProcessor,
        urllib.request.UnknownHandler,
    ):
        opener.add_handler(handler())
    return opener


def list_pictures(given: Any) -> list[Image.Image]:
    """Take apart what a script gives as `image`: one picture or several, as Pillow images."""
    if isinstance(given, (Tensor, np.ndarray)):
        return _split(given)
    if isinstance(given, (list, tuple)):
        if not given:
            raise PictureError("The list of pictures is empty")
        return [picture for one in given for picture in list_pictures(one)]
    if isinstance(given, Image.Image):
        return [given]
    raise PictureError(
        f"image must be a Pillow image, an array, a tensor, or a list of these, not {type(given).__name__}",
        hint="load_image(...) reads a path or a web address",
    )


def _split(given: Tensor | np.ndarray[Any, Any]) -> list[Image.Image]:
    """Turn an array (rows, columns, channels) or a tensor (channels first), or a batch of them, into pictures."""
    if isinstance(given, Tensor):
        order, pixels = "channels, rows, columns", to_array(given)
        pixels = np.moveaxis(pixels, -3, -1) if pixels.ndim in (3, 4) else pixels
    else:
        order, pixels = "rows, columns, channels", given
    batch = pixels if pixels.ndim == 4 else pixels[None]
    if batch.ndim not in (3, 4) or 0 in batch.shape or (batch.ndim == 4 and batch.shape[-1] not in (1, 3, 4)):
        raise PictureError(
            f"image of shape {tuple(given.shape)} is no picture: {order} (1, 3 or 4 channels) is, or a batch of it"
        )
    grey = batch.ndim == 4 and batch.shape[-1] == 1
    return [Image.fromarray(np.ascontiguousarray(one[..., 0] if grey else one)) for one in to_bytes(batch)]


def to_array(given: Tensor) -> np.ndarray[Any, Any]:
    """Bring a tensor of any dtype and device to numpy, which knows no bfloat16."""
    on_cpu = given.detach().cpu()
    array: np.ndarray[Any, Any] = (on_cpu.float() if on_cpu.is_floating_point() else on_cpu).numpy()
    return array


def to_bytes(pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Round values in 0–1 to 8 bits; bytes stay as they are."""
    if pixels.dtype == np.uint8:
        return pixels
    if not np.issubdtype(pixels.dtype, np.floating):
        raise PictureError(f"Pixels must be bytes, or floats from 0 to 1, not {pixels.dtype}")
    low, high = float(pixels.min()), float(pixels.max())
    if not (low >= -SLACK and high <= 1 + SLACK):  # a NaN is neither
        raise PictureError(
            f"Pixels must be floats from 0 to 1, these run from {low:g} to {high:g}",
            hint="(x + 1) / 2 brings -1 to 1 there, and x / 255 brings 0 to 255",
        )
    return (pixels.clip(0, 1) * 255).round().astype(np.uint8)
