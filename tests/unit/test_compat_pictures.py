"""Pictures that a script loads: files, Pillow images, and web addresses, served here on loopback."""

from __future__ import annotations

import io
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image

from unstill.compat import load_image
from unstill.compat.pictures import download
from unstill.errors import DownloadError, PictureError


def encode(image: Image.Image, kind: str = "PNG", **more) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **more)
    return stream.getvalue()


PLAIN = Image.new("RGB", (40, 20), "#336699")


PAGES = {"/photo.png": encode(PLAIN), "/page.html": b"<!doctype html><title>no picture</title>", "/large": b"x" * 5000}


class Web(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/away":
            self.send_response(302)
            self.send_header("Location", "file:///etc/hostname")
            self.end_headers()
            return
        if self.path == "/moved":
            self.send_response(301)
            self.send_header("Location", "/photo.png")
            self.end_headers()
            return
        found = PAGES.get(self.path)
        self.send_response(200 if found else 404)
        self.end_headers()
        self.wfile.write(found or b"")

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def web():
    with ThreadingHTTPServer(("127.0.0.1", 0), Web) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("page", ["/photo.png", "/moved"])
def test_a_web_address_is_fetched_and_redirects_are_followed(web, page):
    assert np.array_equal(np.asarray(load_image(web + page)), np.asarray(PLAIN))


def test_a_page_that_is_no_picture_is_refused(web):
    with pytest.raises(PictureError):
        load_image(web + "/page.html")


@pytest.mark.parametrize("page", ["/nothing", "/away"])
def test_what_cannot_be_fetched_says_so_and_a_redirect_never_opens_a_file(web, page):
    with pytest.raises(DownloadError, match="cannot be fetched"):
        load_image(web + page)


def test_a_host_that_is_not_there_is_a_download_error():
    with pytest.raises(DownloadError):
        load_image("http://127.0.0.1:9/photo.png")


def test_a_download_ends_at_its_largest_size(web):
    assert len(download(web + "/large", 5000)) == 5000
    with pytest.raises(PictureError, match="larger than"):
        download(web + "/large", 4999)


def test_a_file_is_turned_upright_and_made_rgb(tmp_path):
    turned = Image.new("RGB", (40, 20))
    turned.paste("#ff0000", (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by a quarter to the right: what was left is above
    turned.save(tmp_path / "photo.png", exif=exif)
    upright = load_image(str(tmp_path / "photo.png"))
    assert (upright.mode, upright.size) == ("RGB", (20, 40))
    assert upright.getpixel((10, 5)) == (255, 0, 0)


def test_transparent_parts_become_white():
    assert load_image(Image.new("RGBA", (40, 20), (0, 0, 0, 0))).getpixel((3, 3)) == (255, 255, 255)


def test_a_method_of_conversion_is_applied():
    assert load_image(PLAIN, convert_method=lambda image: image.convert("L")).mode == "L"


@pytest.mark.parametrize("given", [None, 7, [PLAIN], "nowhere.png", "ftp://127.0.0.1/photo.png", "file:///etc/hostname"])
def test_anything_else_is_an_error(given):
    with pytest.raises(PictureError):
        load_image(given)
