"""Chromium plays what we write: every frame, its size, its time."""

import functools
import http.server
import threading

import pytest

from clips import make_clip, make_frames

pytestmark = pytest.mark.browser

COUNT, WIDTH, HEIGHT = 14, 128, 72
VIDEO_FPS, IMAGE_FPS = 24, 12  # videos are played, images only decoded
VIDEOS = {"h264.mp4": {}, "av1.mp4": {"codec": "av1"}, "vp9.webm": {}, "av1.webm": {"codec": "av1"}}
IMAGES = {"clip.gif": "image/gif", "clip.webp": "image/webp", "clip.apng": "image/png"}
PLAY = """name => new Promise((done, fail) => {
  const video = document.createElement('video');
  const seen = new Set();
  const canvas = new OffscreenCanvas(16, 9).getContext('2d', {willReadFrequently: true});
  video.muted = true;
  video.onerror = () => fail(new Error(name + ': ' + video.error.message));
  const look = () => {
    canvas.drawImage(video, 0, 0, 16, 9);
    seen.add(canvas.getImageData(0, 0, 16, 9).data.join());
    video.requestVideoFrameCallback(look);
  };
  video.requestVideoFrameCallback(look);
  video.onended = () => done({width: video.videoWidth, height: video.videoHeight, duration: video.duration,
                              end: video.currentTime, pictures: seen.size});
  video.src = name;
  document.body.append(video);
  video.play().catch(fail);
})"""
ANIMATE = """async ([name, type]) => {
  const image = new Image();
  image.src = name;
  await image.decode();
  const data = await (await fetch(name)).arrayBuffer();
  const decoder = new ImageDecoder({data, type});
  await decoder.tracks.ready;
  const track = decoder.tracks.selectedTrack;
  const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight).getContext('2d', {willReadFrequently: true});
  let duration = 0;
  const seen = new Set();
  for (let frameIndex = 0; frameIndex < track.frameCount; frameIndex++) {
    const {image: frame} = await decoder.decode({frameIndex});
    duration += frame.duration / 1e6;
    canvas.drawImage(frame, 0, 0);
    seen.add(canvas.getImageData(0, 0, image.naturalWidth, image.naturalHeight).data.join());
    frame.close();
  }
  return {width: image.naturalWidth, height: image.naturalHeight, frames: track.frameCount, plays: String(track.repetitionCount),
          duration, pictures: seen.size, animated: track.animated};
}"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A handler that logs nothing."""

    def log_message(self, *what):
        """Say nothing."""


@pytest.fixture(scope="module")
def page(browser, tmp_path_factory):
    """An empty page beside a clip of each kind."""
    folder = tmp_path_factory.mktemp("site")
    frames = make_frames(COUNT, HEIGHT, WIDTH)
    for name, knobs in VIDEOS.items():
        make_clip(frames, play_fps=VIDEO_FPS).save(folder / name, **knobs)
    for name in IMAGES:
        make_clip(frames, play_fps=IMAGE_FPS).save(folder / name, plays=3)
    (folder / "index.html").write_text("<!doctype html><body>")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        found = browser.new_page()
        found.goto(f"http://127.0.0.1:{server.server_port}/index.html")
        yield found
        found.close()
        server.shutdown()


@pytest.mark.parametrize("name", VIDEOS)
def test_a_video_plays_to_its_end(page, name):
    found = page.evaluate(PLAY, name)
    assert (found["width"], found["height"]) == (WIDTH, HEIGHT)
    assert found["duration"] == pytest.approx(COUNT / VIDEO_FPS, abs=0.002)
    assert found["end"] == pytest.approx(found["duration"], abs=0.01)
    assert found["pictures"] >= 3  # a busy machine drops frames; a picture that stands still has one


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_is_animated_whole_and_plays_three_times(page, name):
    found = page.evaluate(ANIMATE, [name, IMAGES[name]])
    assert (found["width"], found["height"], found["frames"]) == (WIDTH, HEIGHT, COUNT)
    assert found["animated"]
    assert found["pictures"] == COUNT
    assert found["duration"] == pytest.approx(COUNT / IMAGE_FPS, abs=0.006)
    assert found["plays"] == "2", "Chromium counts those after the first"
