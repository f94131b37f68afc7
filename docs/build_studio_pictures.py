"""Photograph the page of `unstill serve` at work: docs/pictures/studio-*.webp, as docs/howto/studio.md shows it.

A server of its own makes small clips of the pictures in examples/ and recipe/pictures/; Chromium shows the page, and
nothing is painted over. It knows the page only as its users do: by what is written on it.

Use: python docs/build_studio_pictures.py      (with Playwright and Chromium; a few minutes on a CPU)
"""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from server import Server, http, wait_for  # noqa: E402 - the tests' own, which starts and stops it

TARGET = ROOT / "docs" / "pictures"
MOST_BYTES = 150_000
WIDE, TALL = 1440, 900
SHOWN_PX = 1200
PATIENCE_MS = 600_000
SETTINGS = {"model": "pocket", "frames": 9, "steps": 8, "seed": 3}
CLIPS = {  # what stands in the gallery, the last one first
    "recipe/pictures/pagoda.jpg": "512x320",
    "examples/lighthouse.jpg": "288x512",
    "recipe/pictures/dandelions.jpg": "512x320",
    "recipe/pictures/stream.jpg": "512x320",
    "examples/balloon.jpg": "448x448",
    "examples/harbour.jpg": "512x288",
}


def main() -> None:
    """Make the clips, open the page, take the pictures."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = Server(Path(folder))
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"])
        try:
            expect.set_options(timeout=PATIENCE_MS)
            page = browser.new_page(viewport={"width": WIDE, "height": TALL}, reduced_motion="reduce")
            photograph(page, server, [make(server, ROOT / name, size) for name, size in CLIPS.items()])
        finally:
            browser.close()
            server.stop()


def make(server: Server, picture: Path, size: str) -> str:
    """Have a clip made; return its id."""
    given = http.post(f"{server.url}/v1/pictures", files={"picture": (picture.name, picture.read_bytes(), "image/jpeg")})
    body = {**SETTINGS, "size": size, "title": picture.stem, "input_reference": {"file_id": given.json()["id"]}}
    video = http.post(f"{server.url}/v1/videos", json=body).json()
    assert wait_for(server, video["id"], most_s=PATIENCE_MS / 1000)["state"] == "completed"
    return str(video["id"])


def photograph(page: Page, server: Server, clips: list[str]) -> None:
    """Take one picture of each view."""
    page.goto(server.url)
    expect(page.locator("#choose")).to_be_visible()
    page.locator("#files").set_input_files([ROOT / "examples" / "lighthouse.jpg", ROOT / "examples" / "balloon.jpg"])
    page.get_by_role("radio", name="landscape").check(force=True)
    expect(page.locator(".plan-what")).to_contain_text("1024 × 576")
    page.locator("#knobs").evaluate("panel => panel.scrollTo(0, 0)")
    expect(page.locator(".crop.movable")).to_be_visible()
    save(page, "make")
    page.emulate_media(color_scheme="dark")
    page.goto(f"{server.url}/#/clip/{clips[-1]}")
    expect(page.locator(".chart").first).to_be_visible()
    page.get_by_label("Frame", exact=True).fill("9")
    with page.expect_response("**/v1/plan"):
        page.get_by_role("button", name="Compare with the picture").click()
    page.mouse.click(5, 5)
    save(page, "clip")
    page.emulate_media(color_scheme="light")
    page.goto(f"{server.url}/#/gallery")
    expect(page.locator(".card")).to_have_count(len(clips))
    save(page, "gallery")


def save(page: Page, name: str) -> None:
    """Write what the page shows, once all of its pictures are there."""
    page.wait_for_timeout(1500)  # the events never end, so that the line is never idle
    shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    shot = shot.resize((SHOWN_PX, round(SHOWN_PX * TALL / WIDE)), Image.Resampling.LANCZOS)
    place = TARGET / f"studio-{name}.webp"
    for quality in (88, 82, 76, 70):
        shot.save(place, quality=quality, method=6)
        if place.stat().st_size <= MOST_BYTES:
            break
    print(f"{place.relative_to(ROOT)}: {place.stat().st_size} bytes")


if __name__ == "__main__":
    main()
