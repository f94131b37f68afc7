"""What the page asks a server beside /v1/videos itself: pictures, plans, knobs, previews, stills, formats, the queue, keys."""

import base64
import io
import json
import os
import signal
import socket
import subprocess
import sys

import httpx2
import pytest
from PIL import Image

from served import wait_until
from server import HARBOUR, LONG, SMALL, Server, http, post, wait_for
from unstill.request import KNOBS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(forks, tmp_path_factory):
    found = Server(tmp_path_factory.mktemp("studio"), forks=forks)
    yield found
    found.stop()


@pytest.fixture(scope="module")
def picture(server) -> str:
    answer = http.post(f"{server.url}/v1/pictures", files={"picture": ("a.jpg", HARBOUR.read_bytes(), "image/jpeg")})
    assert answer.status_code == 200, answer.text
    return answer.json()["id"]


@pytest.fixture(scope="module")
def video(server, picture) -> dict:
    """A finished clip of four frames, of a kept picture."""
    asked = {
        **SMALL,
        "model": "auto",
        "size": "256x144",
        "num_frames": 4,
        "measure": True,
        "title": "Évening at the harbour",
        "smooth": 14,
    }
    made = http.post(f"{server.url}/v1/videos", json={**asked, "input_reference": {"file_id": picture}})
    return wait_for(server, made.json()["id"])


def open_image(answer) -> Image.Image:
    assert answer.status_code == 200, answer.text
    return Image.open(io.BytesIO(answer.content))


def plan(server, picture, **knobs) -> httpx2.Response:
    return http.post(f"{server.url}/v1/plan", json={"picture": picture, "model": "pocket", **knobs})


def test_a_picture_is_kept_by_its_content_and_shown_whole_and_small(server, picture):
    url = "data:image/jpeg;base64," + base64.b64encode(HARBOUR.read_bytes()).decode()
    again = http.post(f"{server.url}/v1/pictures", json={"image_url": url}).json()
    assert (again["id"], again["width"], again["height"]) == (picture, 1280, 720)
    sizes = {name: open_image(http.get(f"{server.url}/v1/pictures/{picture}?variant={name}")).size
             for name in ("full", "display", "thumbnail")}  # fmt: skip
    assert sizes == {"full": (1280, 720), "display": (1280, 720), "thumbnail": (320, 180)}
    assert "immutable" in http.get(f"{server.url}/v1/pictures/{picture}").headers["cache-control"]


@pytest.mark.parametrize("name", ["0" * 64, "..%2f..%2fjobs.sqlite", "jobs.sqlite", "x"])
def test_only_pictures_are_shown(server, name):
    assert http.get(f"{server.url}/v1/pictures/{name}").status_code in (404, 422)


def test_a_plan_says_what_would_be_made_and_what_of_the_picture(server, picture):
    found = plan(server, picture, size="512x512", focus="left", seed=5).json()
    assert (found["model"], found["frames"], found["seed"], found["clip_size"]) == ("pocket", 25, 5, "512x512")
    assert found["seconds"] == pytest.approx(25 / 7, abs=0.001)
    assert found["crop"] == {"left": 0.0, "top": 0.0, "width": 720 / 1280, "height": 1.0}
    assert any("crop keeps 56%" in said for said in found["warnings"])
    assert plan(server, picture, size="512x512", fit="pad").json()["crop"]["width"] == 1.0


def test_a_plan_counts_the_frames_of_the_file(server, picture):
    assert plan(server, picture, frames=5, smooth=28, loop="ping-pong").json()["seconds"] == pytest.approx(8 / 7, abs=0.02)


def test_all_that_is_wrong_with_a_plan_is_said_by_name(server, picture):
    answer = plan(server, picture, motion=300, steps="many", device="cuda")
    assert answer.status_code == 422
    assert [any(word in text for text in answer.json()["error"]["problems"]) for word in ("motion", "steps", "device")] == [
        True
    ] * 3
    wrong = plan(server, picture, dtype="fp16")  # only the model knows that it cannot
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (422, "bad_request")


def test_a_plan_knows_how_long_clips_take_once_some_were_made(server, picture, video):
    assert (video["state"], video["model"], video["knobs"]["model"]) == ("completed", "pocket", "auto")
    assert plan(server, picture, frames=4, measure=True).json()["about_s"] > 0


def test_who_comes_late_may_leave_out_what_happened_before(server, video):
    with http.stream("GET", f"{server.url}/v1/events?after=latest") as answer:
        id = post(server).json()["id"]
        kinds = []
        for line in answer.iter_lines():
            if line.startswith("data:"):
                event = json.loads(line.removeprefix("data:"))
                assert event["video"] == id
                kinds.append(event["kind"])
                if event["kind"] == "completed":
                    break
    assert kinds[:2] == ["queued", "running"]
    assert http.get(f"{server.url}/v1/events?after=yesterday").status_code == 422


def test_a_planner_that_was_killed_is_replaced(forks, server, picture):
    assert plan(server, picture).json()["object"] == "plan"
    [first] = forks.find("unstill.studio.planner", str(server.folder))
    os.kill(first, signal.SIGKILL)
    assert plan(server, picture).json()["object"] == "plan"
    assert forks.find("unstill.studio.planner", str(server.folder)) != [first]


def test_every_knob_that_may_be_set_is_listed_with_its_ends(server):
    listed = http.get(f"{server.url}/v1/knobs").json()
    knobs = {knob["name"]: knob for knob in listed["data"]}
    assert set(KNOBS) - set(knobs) == {"device", "takes", "max_memory"}
    assert (knobs["motion"]["kind"], knobs["motion"]["least"], knobs["motion"]["most"]) == ("whole", 0, 255)
    assert knobs["camera"]["choices"][:2] == ["auto", "still"]
    assert knobs["noise"]["kind"] == "number" and knobs["measure"]["kind"] == "flag" and knobs["focus"]["default"] == "0.5,0.5"
    assert "png" not in knobs["format"]["choices"]
    assert [preset["name"] for preset in listed["presets"]] == ["default", "stability", "draft"]


def test_models_say_whether_they_are_here(server):
    here = {model["id"]: (model["here"], model["frames"]) for model in http.get(f"{server.url}/v1/models").json()["data"]}
    assert here["pocket"] == (True, 25)
    assert set(here) == {"pocket", "svd", "svd-xt", "svd-xt-1.1"}


def test_a_clip_has_a_thumbnail_and_its_frames_on_a_sheet(server, video):
    url = f"{server.url}/v1/videos/{video['id']}/content"
    assert open_image(http.get(f"{url}?variant=thumbnail")).size == (256, 144)
    grid = video["spritesheet"]
    assert (video["frames"], grid["frames"], video["fps"]) == (8, 8, 14.0)  # smoothed: twice as many as were made
    assert open_image(http.get(f"{url}?variant=spritesheet")).size == (grid["columns"] * 192, grid["rows"] * 108)
    assert http.get(f"{url}?variant=poster").status_code == 422


@pytest.mark.parametrize("format", ["gif", "webp", "webm"])
def test_a_clip_can_be_had_in_other_formats_with_all_its_frames(server, video, format, tmp_path):
    from unstill.formats.probe import probe

    answer = http.get(f"{server.url}/v1/videos/{video['id']}/content?format={format}")
    assert answer.status_code == 200, answer.text
    place = tmp_path / f"clip.{format}"
    place.write_bytes(answer.content)
    found = probe(place)
    assert (found.format, found.frames) == (format, 8)
    assert found.duration_s == pytest.approx(8 / 14, abs=0.02)
    assert found.recipe["knobs"]["seed"] == 1


def test_the_report_holds_curves(server, video):
    report = http.get(f"{server.url}/v1/videos/{video['id']}/report").json()
    assert len(report["measures"]["curves"]["motion_px"]) == 3
    assert report["moves"] == video["moves"]


def test_clips_are_found_by_words_and_states(server, video):
    def find(**query):
        return [one["id"] for one in http.get(f"{server.url}/v1/videos", params=query).json()["data"]]

    assert find(q="harbour even") == [video["id"]]
    assert find(q="100%_") == []
    assert find(state="completed", limit=1, order="asc") == [video["id"]]
    assert http.get(f"{server.url}/v1/videos?state=odd&limit=0").json()["error"]["problems"][1].startswith("state must be")


def test_one_goes_on_from_the_last_frame(server, video):
    kept = http.post(f"{server.url}/v1/pictures", json={"last_frame_of": video["id"]}).json()
    assert (kept["object"], kept["width"], kept["height"]) == ("picture", 256, 144)


def test_a_running_clip_shows_what_it_will_be(server, picture):
    asked = {**LONG, "size": "128x72"}
    id = http.post(f"{server.url}/v1/videos", json={**asked, "input_reference": {"file_id": picture}}).json()["id"]

    def fetch() -> httpx2.Response | None:
        shown = http.get(f"{server.url}/v1/videos/{id}/preview")
        return None if shown.status_code == 404 else shown

    assert max(open_image(wait_until(fetch, "its first preview")).size) == 480
    waiting = [post(server, seed=seed).json()["id"] for seed in (1, 2, 3)]

    def queue():
        return [one["id"] for one in http.get(f"{server.url}/v1/queue").json()["data"]]

    assert queue() == [id, *waiting]
    moved = http.post(f"{server.url}/v1/videos/{waiting[2]}/move", json={"before": waiting[0]}).json()
    assert (moved["place"], queue()[1:]) == (1, [waiting[2], waiting[0], waiting[1]])
    for wrong in ({"before": 3}, {"after": None}, []):
        assert http.post(f"{server.url}/v1/videos/{waiting[0]}/move", json=wrong).status_code == 422
    http.post(f"{server.url}/v1/videos/{id}/cancel")
    assert wait_for(server, id)["state"] == "cancelled"
    assert http.get(f"{server.url}/v1/videos/{id}/preview").status_code == 404
    assert wait_for(server, waiting[1])["state"] == "completed"


def test_what_is_made_of_a_clip_goes_with_it(server, picture):
    made = http.post(f"{server.url}/v1/videos", json={**SMALL, "input_reference": {"file_id": picture}}).json()["id"]
    wait_for(server, made)
    before = {place.name for place in (server.folder / "outputs").iterdir()}
    assert http.delete(f"{server.url}/v1/videos/{made}").json()["deleted"]
    gone = before - {place.name for place in (server.folder / "outputs").iterdir()}
    assert sorted(name.partition(".")[2] for name in gone) == ["last.png", "mp4", "spritesheet.jpg", "thumbnail.jpg"]


def test_a_browser_shows_its_key_once(forks, tmp_path):
    server = Server(tmp_path, key="secret", forks=forks)
    try:
        with httpx2.Client(base_url=server.url, timeout=120) as browser:
            assert browser.get("/v1/session").json() == {"needs_key": True, "is_open": False}
            assert browser.get("/v1/videos").status_code == 401
            assert browser.post("/v1/session", json={"key": "guess"}).status_code == 422
            assert browser.post("/v1/session", json={"key": "secret"}).status_code == 204
            assert "secret" not in str(browser.cookies)
            assert browser.get("/v1/session").json() == {"needs_key": True, "is_open": True}
            assert browser.get("/v1/videos").status_code == 200
            assert browser.delete("/v1/session").status_code == 204
            assert browser.get("/v1/videos").status_code == 401
    finally:
        server.stop()


def test_who_knows_the_end_of_a_clip_is_told_that_nothing_more_comes(server, video):
    url = f"{server.url}/v1/videos/{video['id']}/events"
    with http.stream("GET", url) as answer:
        last = [line.removeprefix("id: ") for line in answer.iter_lines() if line.startswith("id: ")][-1]
    assert http.get(url, headers={"Last-Event-ID": last}).status_code == 204


@pytest.mark.parametrize(
    "headers", [{"Host": "["}, {"Origin": "http://["}, {"Content-Length": "9" * 5000}], ids=["host", "origin", "length"]
)
def test_headers_that_are_none_are_no_errors_of_ours(server, headers):
    given = {"Host": f"127.0.0.1:{server.port}", "Connection": "close", **headers}
    with socket.create_connection(("127.0.0.1", server.port), timeout=120) as line:
        line.sendall("".join(["GET /v1/videos HTTP/1.1\r\n", *(f"{k}: {v}\r\n" for k, v in given.items()), "\r\n"]).encode())
        assert 400 <= int(line.recv(100).split()[1]) < 500


def test_what_a_library_prints_does_not_shift_the_planners_answers(tmp_path):
    """One that answers what is no JSON is replaced; the next question is answered by another."""
    from unstill.errors import MachineError
    from unstill.jobs.files import Folder
    from unstill.studio.planner import Planner

    class Chatty(Planner):
        def _start(self):
            words = [sys.executable, "-uc", "for line in iter(input, ''): print('a warning'); print('{}')"]
            self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            return self._process

    planner = Chatty(Folder(tmp_path))
    with pytest.raises(MachineError, match="could not be made"):
        planner.ask("picture", {})
    planner.close()
