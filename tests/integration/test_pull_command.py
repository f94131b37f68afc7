"""`unstill pull` from a hub on loopback, and what is done with what it fetched."""

import json
import re
from pathlib import Path

import pytest

from command_line import SMALL
from hub import Faults, LoopbackHub
from terminal import Terminal

pytestmark = pytest.mark.usefixtures("place")
SVD = "stabilityai/stable-video-diffusion-img2vid"


@pytest.fixture
def hub(miniature, monkeypatch):
    """A hub on loopback that holds the miniature under a published name."""
    with LoopbackHub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url())
        hub.add(
            SVD, miniature, card={"license": "other", "license_name": "our-terms", "license_link": "https://example.com/terms"}
        )
        yield hub


def test_a_model_is_fetched_listed_and_used(hub, forks, place):
    done = forks.run(["pull", "svd"])
    assert done.returncode == 0, done.stderr
    assert (Path(done.stdout.strip()) / "model_index.json").is_file()
    for said in ("our-terms", "https://example.com/terms", "free at", "size", "every file checked"):
        assert said in done.stderr
    row = next(row for row in json.loads(forks.run(["models", "--json"]).stdout)["models"] if row["name"] == "svd")
    assert (row["state"], row["licence"], row["variants"]) == ("complete", "our-terms", ["fp32"])
    assert forks.run(["animate", "photo.png", "--model", "svd", *SMALL]).stdout == "photo.mp4\n"


def test_fetching_again_fetches_nothing_and_the_text_of_the_licence_is_pointed_at(hub, forks):
    hub.repositories[SVD].files["LICENSE.md"] = b"our terms"
    path = re.search(r"Its licence came with it: (.*LICENSE\.md)", forks.run(["pull", "svd"]).stderr)[1]
    assert Path(path).expanduser().read_text() == "our terms"
    answer = json.loads(forks.run(["pull", "svd", "--json"]).stdout)
    assert answer["fetched_bytes"] == 0
    assert answer["licence"]["name"] == "our-terms"
    assert Path(answer["licence_text"]).read_text() == "our terms"


def test_a_revision_can_be_fetched_and_is_named_so_that_it_is_the_one_used(hub, forks):
    assert forks.run(["pull", "svd", "-q"]).returncode == 0
    held = hub.repositories[SVD]
    held.files["model_index.json"] += b"\n"
    held.commit = "f" * 40
    done = forks.run(["pull", "svd", "--revision", held.commit])
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith(held.commit)
    assert f"Next: unstill animate PICTURE --model {done.stdout.strip()}" in done.stderr
    assert "Its licence" not in done.stderr


def test_a_revision_that_is_not_there_is_said(hub, forks):
    done = forks.run(["pull", "svd", "--revision", "v9"])
    assert done.returncode == 4
    assert "no such revision" in done.stderr


def test_a_terminal_is_asked_before_gigabytes_come(hub, forks, place):
    terminal = Terminal(forks, ["pull", "svd"])
    terminal.read_until(r"Fetch it\?")
    assert "our-terms" in terminal.seen
    terminal.type("n\n")
    assert terminal.end() == 130
    assert not list((place.parent / "cache").rglob("*.safetensors"))


def test_yes_is_not_asked(hub, forks):
    terminal = Terminal(forks, ["pull", "svd", "--yes"])
    assert terminal.end() == 0
    assert "Fetch it?" not in terminal.seen


def test_a_gated_model_says_where_to_go(hub, forks):
    hub.repositories[SVD].gated_for = frozenset({"hf_good"})
    done = forks.run(["pull", "svd"])
    assert done.returncode == 4
    assert SVD in done.stderr
    assert "HF_TOKEN" in done.stderr


@pytest.mark.thorough("asks a port where nobody listens four times, with pauses; the hub's own errors are told alike")
def test_a_hub_that_cannot_be_reached_is_a_download_error_that_may_pass(forks, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    done = forks.run(["pull", "svd", "--json"])
    assert done.returncode == 5
    assert json.loads(done.stdout)["error"]["retryable"] is True
    assert done.stderr == ""


def test_a_hub_that_fails_is_a_download_error(hub, forks):
    hub.faults = Faults(refusal=(418, None))
    done = forks.run(["pull", "svd", "--json"])
    assert done.returncode == 5
    assert "answered 418" in json.loads(done.stdout)["error"]["message"]
    assert done.stderr == ""
