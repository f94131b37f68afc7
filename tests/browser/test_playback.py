"""Chromium plays what we write: every frame, its size, its time."""

import contextlib
import http.server
import json
import shutil
import subprocess
import threading

import pytest

from clips import make_clip, make_frames

pytestmark = pytest.mark.browser

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required",
]  # fmt: skip
COUNT, PLAY_FPS, WIDTH, HEIGHT = 14, 12, 128, 72
PAGE = """<!doctype html><body><script>
const told = {};
const videos = %s, images = %s;
const play = name => new Promise((done, fail) => {
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
});
const animate = async (name, type) => {
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
};
(async () => {
  for (const name of videos) told[name] = await play(name).catch(error => ({error: String(error)}));
  for (const [name, type] of images) told[name] = await animate(name, type).catch(error => ({error: String(error)}));
  await fetch('/told', {method: 'POST', body: JSON.stringify(told)});
})();
</script>"""
VIDEOS = {"h264.mp4": {}, "av1.mp4": {"codec": "av1"}, "vp9.webm": {}, "av1.webm": {"codec": "av1"}}
IMAGES = {"clip.gif": "image/gif", "clip.webp": "image/webp", "clip.apng": "image/png"}


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What a page that plays one clip of each kind found out."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    folder = tmp_path_factory.mktemp("site")
    clip = make_clip(make_frames(COUNT, HEIGHT, WIDTH), play_fps=PLAY_FPS)
    for name, knobs in VIDEOS.items():
        clip.save(folder / name, **knobs)
    for name in IMAGES:
        clip.save(folder / name, plays=3)
    (folder / "index.html").write_text(PAGE % (json.dumps(list(VIDEOS)), json.dumps(list(IMAGES.items()))))
    with serve(folder) as (address, answers, is_told):
        profile = tmp_path_factory.mktemp("profile")
        command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "--remote-debugging-pipe", address]
        with (folder / "log").open("w") as log:
            child = subprocess.Popen([*command[:-2], "--remote-debugging-port=0", address], stdout=log, stderr=log)
        try:
            assert is_told.wait(35), (folder / "log").read_text()[-2000:]
        finally:
            child.terminate()
            child.wait(10)
    return answers


@contextlib.contextmanager
def serve(folder):
    """Serve a folder on loopback, and take what the page posts."""
    answers, is_told = {}, threading.Event()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *request):
            super().__init__(*request, directory=str(folder))

        def do_POST(self):
            answers.update(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()
            is_told.set()

        def log_message(self, *what):
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/index.html", answers, is_told
        server.shutdown()


@pytest.mark.parametrize("name", VIDEOS)
def test_a_video_plays_to_its_end(told, name):
    found = told[name]
    assert "error" not in found, found
    assert (found["width"], found["height"]) == (WIDTH, HEIGHT)
    assert found["duration"] == pytest.approx(COUNT / PLAY_FPS, abs=0.002)
    assert found["end"] == pytest.approx(found["duration"], abs=0.01)
    assert found["pictures"] >= 3  # a busy machine drops frames; a picture that stands still has one


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_is_animated_whole(told, name):
    found = told[name]
    assert "error" not in found, found
    assert (found["width"], found["height"], found["frames"]) == (WIDTH, HEIGHT, COUNT)
    assert found["animated"]
    assert found["pictures"] == COUNT
    assert found["duration"] == pytest.approx(COUNT / PLAY_FPS, abs=0.006)


@pytest.mark.parametrize("name", IMAGES)
def test_three_plays_are_three(told, name):
    """Chromium counts repetitions after the first play."""
    assert told[name]["plays"] == "2"
