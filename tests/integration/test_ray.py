"""batch/on_ray.py: actors make what processes make, clusters without a token are refused, and kills lose nothing."""

import importlib.util
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from unstill.batch.items import Expander, Wish
from unstill.batch.ledger import read_lines
from unstill.batch.maker import Maker
from unstill.batch.on_ray import Actor
from unstill.batch.places import open_place
from unstill.batch.sources import PictureRow
from unstill.cli import main
from unstill.cluster import HERE, MODE, Cluster, connect, look_at_cluster
from unstill.errors import MachineError, RequestError

HAS_RAY = importlib.util.find_spec("ray") is not None
needs_ray = pytest.mark.skipif(not HAS_RAY, reason="ray is not installed")
TESTS = Path(__file__).parents[1]
KNOBS = {"size": "64x64", "frames": 2, "steps": 1, "look": False, "measure": False}
SMALL = ["--size", "64x64", "--frames", "2", "--steps", "1", "--no-look", "--no-measure"]
MOST_S = 600.0

OPEN_CLUSTER = """
import json, os, subprocess, sys
os.environ.update(RAY_AUTH_MODE="disabled", OMP_NUM_THREADS="1")
from ray.cluster_utils import Cluster
from ray_cluster import HEAD
cluster = Cluster(initialize_head=True, head_node_args={**HEAD, "num_cpus": 1})
try:
    words = [sys.executable, "-m", "unstill", "batch", *sys.argv[1:], "--cores", "1", "--ray", cluster.address]
    plain = {name: value for name, value in os.environ.items() if name != "RAY_AUTH_MODE"}
    refused = subprocess.run(words, env={**plain, "RAY_AUTH_TOKEN": "0" * 32}, capture_output=True, text=True)
    taken = subprocess.run([*words, "--insecure-cluster"], env=plain, capture_output=True, text=True)
    words = [sys.executable, "-m", "unstill", "serve", "--port", "0", "--data", "served", "--ray", cluster.address]
    served = subprocess.run(words, env={**plain, "RAY_AUTH_TOKEN": "0" * 32}, capture_output=True, text=True)
    print(json.dumps([(ran.returncode, ran.stderr) for ran in (refused, taken, served)]))
finally:
    cluster.shutdown()
"""


HANGING = """
import json, os, secrets, signal, sys
from pathlib import Path
from ray_cluster import IMPATIENT, list_actors
os.environ.update(IMPATIENT, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32), OMP_NUM_THREADS="1")
from unstill.batch.items import Wish
from unstill.batch.ledger import Ledger, read_lines
from unstill.batch.on_ray import Actors
from unstill.batch.run import run_batch
from unstill.batch.survey import Batch
from unstill.cluster import HERE, Cluster

class Hanging(Actors):
    silent_s, stopped = 5.0, None

    def submit(self, worker, items):
        super().submit(worker, items)
        if self.stopped is None and (actors := list_actors("Actor")):
            Hanging.stopped = actors[0]
            os.kill(actors[0], signal.SIGSTOP)

clips = Path(sys.argv[2])
clips.mkdir()
batch = Batch([sys.argv[1]], Wish({**json.loads(sys.argv[3]), "takes": 3}), clips)
with Ledger(clips / "results.jsonl", clips) as ledger, Hanging(Cluster(HERE, cores=os.cpu_count()), str(clips)) as crew:
    summary = run_batch(batch, batch.look(), crew, ledger)
print(json.dumps([crew.stopped, summary.made, [line["attempts"] for line in read_lines(clips / "results.jsonl")]]))
"""


def surround(folder, miniature):
    """Put a picture into a folder, and return the environment in which a model's steps cost next to nothing."""
    (folder / "config.toml").write_text(f"[animate]\nmodel = {json.dumps(str(miniature))}\n")
    Image.open(TESTS.parent / "examples" / "harbour.jpg").resize((96, 64)).save(folder / "one.png")
    found = {"UNSTILL_CONFIG": str(folder / "config.toml"), "OMP_NUM_THREADS": "1"}
    return {**os.environ, **found, "PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])}


@pytest.fixture
def surroundings(tmp_path, miniature):
    return surround(tmp_path, miniature)


@pytest.fixture(scope="module")
def side_by_side(tmp_path_factory, miniature):
    """Start what waits for clusters more than it computes; give each its folder, and a process to hear from."""
    opened, killed = tmp_path_factory.mktemp("opened"), tmp_path_factory.mktemp("killed")
    scripts = {
        opened: ["-c", OPEN_CLUSTER, "one.png", "-o", "clips", *SMALL],
        killed: [str(TESTS / "kill_batch.py"), ".", "8", "3", "--nodes", "1", "--model", str(miniature)],
    }
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    running = {
        folder: subprocess.Popen([sys.executable, *words], cwd=folder, env=surround(folder, miniature), **pipes)
        for folder, words in scripts.items()
    }
    yield {"opened": (opened, running[opened]), "killed": (killed, running[killed])}
    for process in running.values():
        process.kill()
        process.communicate()


def order(tmp_path, place, model):
    """Return an order as the driver makes it."""
    knobs = {**KNOBS, "model": str(model)}
    expander, row = Expander(Wish(knobs)), PictureRow(str(tmp_path / "one.png"), "one")
    list(expander.expand(row, 1))
    model = Maker(open_place(place), "cpu").describe(knobs)
    [item] = expander.expand(row, 1, dict.fromkeys(expander.choices, model))
    return item.to_order()


@pytest.mark.slow
def test_an_actor_makes_what_is_ordered_and_gives_back_what_it_has_no_time_for(tmp_path, surroundings, miniature):
    place = str(tmp_path / "clips")
    actor, told = Actor(place, "cpu"), order(tmp_path, place, miniature)
    assert actor.is_ready() is True
    made = actor.make([told])[1]
    assert (made["error"], made["found"]) == (None, False)
    assert (tmp_path / "clips/one.mp4").stat().st_size == made["bytes"]
    assert actor.make([told])[1]["found"] is True
    assert actor.make([{**told, "picture": str(tmp_path / "nothing.png")}])[1]["error"]["code"] == "bad_picture"
    actor.leave()
    assert actor.make([told]) == {}


@pytest.mark.slow
def test_a_machine_with_other_weights_makes_nothing(tmp_path, surroundings, miniature):
    place = str(tmp_path / "clips")
    told = {**order(tmp_path, place, miniature), "model": "0" * 32}
    assert Actor(place, "cpu").make([told])[1]["error"]["code"] == "model_error"
    assert not (tmp_path / "clips/one.mp4").exists()


@pytest.mark.parametrize("address", ["photos", "one.jpg", "http://10.0.0.1", "", "10.0.0.1:x"])
def test_what_is_no_address_is_refused(tmp_path, address, monkeypatch, surroundings, capsys):
    monkeypatch.setenv("UNSTILL_CONFIG", surroundings["UNSTILL_CONFIG"])
    words = ["batch", str(tmp_path / "one.png"), "-o", str(tmp_path / "clips"), f"--ray={address}"]
    assert main(words) == 2
    assert "address" in capsys.readouterr().err


def test_a_cluster_that_anybody_may_use_is_not_joined(monkeypatch):
    monkeypatch.setenv(MODE, "disabled")
    with pytest.raises(RequestError, match="anybody"):
        connect(Cluster("10.0.0.1:6379"))


def test_without_ray_it_is_said_how_to_get_it(monkeypatch):
    monkeypatch.setenv(MODE, "token")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(RequestError, match="needs Ray") as caught:
        connect(Cluster(HERE))
    assert "unstill[ray]" in caught.value.hint


@needs_ray
@pytest.mark.slow
def test_a_port_where_something_else_listens_is_no_cluster_and_is_not_waited_for(monkeypatch):
    """Ray itself waits there for ever and hears no Ctrl-C."""
    monkeypatch.setenv(MODE, "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0" * 32)
    with socket.create_server(("127.0.0.1", 0)) as line, pytest.raises(MachineError, match="no answer"):
        look_at_cluster(Cluster(f"127.0.0.1:{line.getsockname()[1]}"), most_s=2)


@needs_ray
@pytest.mark.slow
def test_a_cluster_without_a_token_is_refused_unless_it_is_wanted(side_by_side):
    folder, process = side_by_side["opened"]
    out, err = process.communicate(timeout=MOST_S)
    assert process.returncode == 0, err[-3000:]
    (refused, said), (taken, more), (served, why) = json.loads(out.splitlines()[-1])
    assert (refused, served) == (2, 2)
    assert "asks for no token" in said and "asks for no token" in why
    assert taken == 0, more
    assert not (folder / "served").exists(), "nothing is promised"
    [line] = read_lines(folder / "clips/results.jsonl")
    assert line["error"] is None


@needs_ray
@pytest.mark.slow
def test_actors_raylets_and_the_driver_are_killed_and_nothing_is_lost_or_made_twice(side_by_side):
    """Eight clips, one kill of each kind; `python tests/kill_batch.py FOLDER 200 30` is the long way."""
    out, err = side_by_side["killed"][1].communicate(timeout=MOST_S)
    assert_killed(out, err)


@needs_ray
@pytest.mark.thorough("two nodes of the same cluster, and the bundled model")
def test_nor_where_another_node_is_left(tmp_path, surroundings):
    words = [sys.executable, str(TESTS / "kill_batch.py"), str(tmp_path), "8", "3"]
    ran = subprocess.run(words, capture_output=True, text=True, env=surroundings, timeout=MOST_S, check=False)
    assert_killed(ran.stdout, ran.stderr)


def assert_killed(out, err):
    assert out, err[-3000:]
    told = json.loads(out.splitlines()[-1])
    assert told["killed"] == {"actor": 1, "raylet": 1, "driver": 1}
    assert told["made"] + told["found"] == 8


@needs_ray
@pytest.mark.slow
def test_an_actor_that_hangs_is_replaced_and_its_clip_is_made_all_the_same(tmp_path, surroundings, miniature):
    knobs = json.dumps({**KNOBS, "model": str(miniature)})
    words = [sys.executable, "-c", HANGING, str(tmp_path / "one.png"), str(tmp_path / "clips"), knobs]
    ran = subprocess.run(words, capture_output=True, text=True, env=surroundings, timeout=MOST_S, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    stopped, made, attempts = json.loads(ran.stdout.splitlines()[-1])
    assert stopped is not None
    assert made == 3
    assert sorted(attempts) == [1, 1, 2]
