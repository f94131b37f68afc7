"""`unstill serve` with the unmodified client of OpenAI, and with requests as vLLM-Omni's pages have them."""

import base64
import io
import json
import socket
import subprocess
import warnings

import httpx2
import openai
import pytest
from openai import OpenAI
from PIL import Image

from served import wait_until
from server import HARBOUR, LONG, SMALL, Server, http, post, wait_for
from unstill.formats.frames import read_frames

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:The Sora API")]
URL = "data:image/jpeg;base64," + base64.b64encode(HARBOUR.read_bytes()).decode()


@pytest.fixture(scope="module")
def server(forks, tmp_path_factory):
    found = Server(tmp_path_factory.mktemp("serve"), "--queue", "6", key="secret", forks=forks)
    yield found
    found.stop()


@pytest.fixture(scope="module")
def client(server):
    return connect(server)


@pytest.fixture(scope="module")
def made(client):
    """A finished clip."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return client.videos.create_and_poll(prompt="", input_reference=HARBOUR, extra_body=SMALL, poll_interval_ms=100)


def connect(server: Server, key: str = "secret") -> OpenAI:
    return OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0, timeout=120)


def test_a_clip_is_made_polled_listed_downloaded_and_deleted(client, tmp_path):
    video = client.videos.create_and_poll(prompt="waves", input_reference=HARBOUR, extra_body=SMALL, poll_interval_ms=100)
    assert (video.status, video.progress, video.error) == ("completed", 100, None)
    assert (video.size, video.object, video.model) == ("64x64", "video", "svd")
    place = tmp_path / "clip.mp4"
    client.videos.download_content(video.id).write_to_file(place)
    assert len(read_frames(place)[0]) == 2
    assert video.id in [one.id for one in client.videos.list(limit=5)]
    gone = client.videos.delete(video.id)
    assert (gone.id, gone.deleted, gone.object) == (video.id, True, "video.deleted")
    with pytest.raises(openai.NotFoundError) as caught:
        client.videos.retrieve(video.id)
    assert caught.value.code == "no_such_job"


def test_what_the_client_asks_for_itself_is_carried_out(client):
    """Its own fields: seconds and size, and a prompt that is said to be ignored."""
    body = {name: value for name, value in SMALL.items() if name not in ("size", "num_frames")}
    video = client.videos.create(
        prompt="waves", input_reference=HARBOUR, seconds="4", size="64x64", extra_body={**body, "fps": 1}
    )
    assert (video.seconds, video.size) == ("4", "64x64")
    assert video.model_extra["warnings"] == ["prompt is ignored: Stable Video Diffusion takes no text"]
    assert client.videos.poll(video.id, poll_interval_ms=100).seconds == "4"


@pytest.mark.parametrize("reference", [URL, {"image_url": URL}])
def test_the_picture_may_be_a_data_url(client, reference):
    # The client takes files alone for the field itself, whatever its types say.
    video = client.videos.create(prompt="", extra_body={**SMALL, "input_reference": reference})
    assert client.videos.poll(video.id, poll_interval_ms=100).status == "completed"


def test_the_picture_may_be_one_that_is_kept(client, server):
    kept = http.post(f"{server.url}/v1/pictures", files={"picture": HARBOUR.read_bytes()}, headers=server.headers).json()
    video = client.videos.create(prompt="", extra_body={**SMALL, "input_reference": {"file_id": kept["id"]}})
    assert video.model_extra["picture"] == kept["id"]


def test_a_list_comes_in_pages_both_ways(client, made):
    newest = [one.id for one in client.videos.list(limit=2)]
    assert newest == [one.id for one in client.videos.list(limit=2, order="asc")][::-1]
    assert made.id in newest
    page = client.videos.list(limit=1)
    assert page.has_more
    assert page.get_next_page().data[0].id == newest[1]


def test_stills_of_a_clip_are_pictures(client, made):
    for variant, kind in (("thumbnail", "JPEG"), ("spritesheet", "JPEG")):
        data = client.videos.download_content(made.id, variant=variant).content
        with Image.open(io.BytesIO(data)) as image:
            assert (image.format, min(image.size) > 16) == (kind, True)


def test_parts_of_a_clip_can_be_asked_for(client, made):
    whole = client.videos.download_content(made.id).content
    part = client.videos.download_content(made.id, extra_headers={"Range": "bytes=100-"})
    assert (part.response.status_code, part.content) == (206, whole[100:])


def test_every_refusal_is_the_error_that_the_client_has_for_it(client, server, made):
    def ask(**fields):
        return client.videos.create(prompt="", input_reference=HARBOUR, **fields)

    running = ask(extra_body=LONG)
    cases = [
        (openai.UnprocessableEntityError, "bad_request", lambda: ask(extra_body={"motion": 999})),
        (openai.UnprocessableEntityError, "bad_request", lambda: ask(model="sora-2")),
        (openai.UnprocessableEntityError, "bad_picture", lambda: client.videos.create(prompt="", input_reference=b"none")),
        (openai.UnprocessableEntityError, "bad_picture", lambda: client.videos.create(prompt="")),
        (openai.AuthenticationError, "bad_key", lambda: connect(server, "wrong").videos.retrieve(made.id)),
        (openai.NotFoundError, "no_such_job", lambda: client.videos.retrieve("video_none")),
        (openai.NotFoundError, "not_found", lambda: client.videos.remix(made.id, prompt="more")),
        (openai.ConflictError, "conflict", lambda: client.videos.download_content(running.id)),
        (openai.APIStatusError, "too_large", lambda: client.videos.create(prompt="", input_reference=bytes(40 * 2**20))),
    ]
    for kind, code, act in cases:
        with pytest.raises(kind) as caught:
            act()
        assert caught.value.code == code
        assert caught.value.message
    http.post(f"{server.url}/v1/videos/{running.id}/cancel", headers=server.headers)


def test_a_full_queue_is_a_limit_of_rate(client, server):
    ids: list[str] = []
    with pytest.raises(openai.RateLimitError) as caught:
        for _ in range(20):
            ids.append(client.videos.create(prompt="", input_reference=HARBOUR, extra_body=LONG).id)
    assert caught.value.code == "queue_full"
    assert int(caught.value.response.headers["retry-after"]) > 0
    for id in ids:
        assert client.videos.delete(id).id == id


def test_requests_of_vllm_omni_work_as_they_stand(server, tmp_path):
    """curl as its page on image to video has it, with an address, a model and a picture of ours, and fewer frames and steps."""
    words = ["curl", "-sS", f"{server.url}/v1/videos", "-H", "Accept: application/json", "-H", "Authorization: Bearer secret"]
    form = {"model": "svd", "prompt": "A bear playing with yarn, smooth motion", "negative_prompt": "low quality, blurry, static",
            "input_reference": f"@{HARBOUR}", "width": "96", "height": "64", "num_frames": "2", "fps": "16", "num_inference_steps": "1",
            "guidance_scale": "1.0", "guidance_scale_2": "1.0", "boundary_ratio": "0.875", "flow_shift": "12.0",
            "extra_params": '{"sample_solver":"euler"}', "seed": "42"}  # fmt: skip
    for name, value in form.items():
        words += ["-F", f"{name}={value}"]
    created = json.loads(subprocess.run(words, capture_output=True, check=True).stdout)
    assert len([warning for warning in created["warnings"] if "is ignored" in warning]) == 7
    video = wait_for(server, created["id"])
    assert (video["status"], video["size"], video["fps"], video["seed"]) == ("completed", "96x64", 16, 42)

    words = [word.replace("/v1/videos", "/v1/videos/sync") for word in words] + ["-o", str(tmp_path / "clip.mp4"), "-f"]
    subprocess.run(words, check=True)
    assert len(read_frames(tmp_path / "clip.mp4")[0]) == 2


def test_a_picture_in_a_field_of_json_is_taken_as_vllm_omni_does(server):
    answer = post(server, server.headers, files={"none": b""}, image_reference=json.dumps({"image_url": URL}))
    assert answer.status_code == 200, answer.text


def test_who_leaves_while_waiting_finds_the_clip_in_the_list(server, client):
    def find() -> list[dict]:
        return http.get(f"{server.url}/v1/videos", params={"q": "left"}, headers=server.headers).json()["data"]

    asked = httpx2.Request("POST", f"{server.url}/v1/videos/sync", data={**LONG, "title": "left"},
                           files={"input_reference": HARBOUR.read_bytes()}, headers=server.headers)  # fmt: skip
    head = "".join(f"{name}: {value}\r\n" for name, value in asked.headers.items())
    with socket.create_connection(("127.0.0.1", server.port), timeout=240) as line:
        line.sendall(f"POST /v1/videos/sync HTTP/1.1\r\n{head}\r\n".encode() + asked.read())
        [left] = wait_until(find, "the clip")
    wait_for(server, left["id"], "running")
    assert client.videos.delete(left["id"]).id == left["id"]


def test_waiting_for_a_clip_that_cannot_be_made_says_why(server):
    answer = http.post(
        f"{server.url}/v1/videos/sync", headers=server.headers, data={"motion": "999"}, files={"picture": b"none"}
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "bad_request")
