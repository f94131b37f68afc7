"""`unstill batch` on this machine: clips once each, failures alone, going on after anything."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from forker import start_by_fork
from unstill.batch.crew import Processes
from unstill.batch.items import Wish
from unstill.batch.ledger import Ledger, read_lines
from unstill.batch.on_ray import Actors
from unstill.batch.places import open_place
from unstill.batch.run import run_batch
from unstill.batch.schedule import News
from unstill.batch.survey import Batch
from unstill.cli import main
from unstill.cluster import Cluster
from unstill.errors import Cancelled
from unstill.formats.frames import read_frames
from unstill.jobs.files import hash_file

SMALL = ["--size", "64x64", "--frames", "3", "--steps", "2", "--no-look", "--no-measure"]
MOST_S = 300.0

PATIENT = """
import sys, tomllib
from pathlib import Path
from unstill.batch.crew import Processes
from unstill.batch.items import Wish
from unstill.batch.ledger import Ledger
from unstill.batch.run import run_batch
from unstill.batch.survey import Batch

clips = Path(sys.argv[2])
clips.mkdir()
model = tomllib.loads(Path(sys.argv[3]).read_text())["animate"]["model"]
knobs = {"model": model, "size": "64x64", "frames": 3, "steps": 10, "takes": 4, "look": False, "measure": False}
batch = Batch([sys.argv[1]], Wish(knobs), clips)
with Ledger(clips / "results.jsonl", clips) as ledger, Processes(str(clips), ["cpu"], silent_s=4.0) as crew:
    run_batch(batch, batch.look(), crew, ledger)
"""


@pytest.fixture
def photos(tmp_path, photo):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, name in enumerate(("one", "two", "three")):
        Image.open(photo).rotate(number * 90).save(folder / f"{name}.png")
    return folder


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path, miniature):
    """One thread for each worker, and a model whose steps cost next to nothing."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    (tmp_path / "config.toml").write_text(f"[animate]\nmodel = {json.dumps(str(miniature))}\n")
    monkeypatch.setenv("UNSTILL_CONFIG", str(tmp_path / "config.toml"))


@pytest.fixture
def forked(forks, monkeypatch):
    """Start workers of this process as forks of one that has imported what they need; those of other processes are whole."""
    monkeypatch.setattr(subprocess, "Popen", start_by_fork(forks.address))
    return forks


def read(folder):
    return list(read_lines(folder / "results.jsonl"))


def check(folder, lines):
    """Every line that tells of a clip tells of one that is there, whole, and of no other's."""
    made = [line for line in lines if line["error"] is None]
    for line in made:
        assert hash_file(folder / line["output"]) == line["sha256"]
        assert len(read_frames(folder / line["output"])[0]) == 3
    assert len({line["output"] for line in made}) == len(made)
    assert not list((folder / ".unstill/aside").iterdir())


def start(*words):
    return subprocess.Popen([sys.executable, "-m", "unstill", "batch", *map(str, words), *SMALL], start_new_session=True,
                            stderr=subprocess.PIPE, text=True)  # fmt: skip


def wait_for(condition, what, process=None):
    end = time.monotonic() + MOST_S
    while not condition():
        assert time.monotonic() < end, f"{what} did not happen within {MOST_S:g} s"
        assert process is None or process.poll() is None, f"the batch ended before {what}: {process.stderr.read()}"
        time.sleep(0.02)


@pytest.mark.slow
def test_pictures_become_clips_once_and_a_broken_one_fails_alone(forked, tmp_path, photos, capsys):
    (photos / "broken.png").write_text("<svg/>")
    clips = tmp_path / "clips"
    assert main(["batch", str(photos), "-o", str(clips), *SMALL]) == 14
    said = capsys.readouterr().err
    assert said.startswith(f"4 clips into {clips}, 1 worker on this machine\n0 of 3 clips made, 1 failed\n"), said
    assert "3 made, 0 there already, 1 failed" in said
    assert "broken.png" in said and "SVG" in said
    lines = read(clips)
    assert {line["output"]: line["error"] and line["error"]["code"] for line in lines} == {
        "broken.mp4": "bad_picture", "one.mp4": None, "two.mp4": None, "three.mp4": None
    }  # fmt: skip
    check(clips, lines)
    before = {path.name: path.stat().st_mtime_ns for path in clips.glob("*.mp4")}

    (photos / "broken.png").unlink()
    assert main(["batch", str(photos), "-o", str(clips), *SMALL]) == 0
    assert capsys.readouterr().out.strip() == str(clips)
    assert len(read(clips)) == 4, "what was there is not told again"

    # Without the file of results, and with pictures that look new, the records beside the clips are enough.
    (clips / "results.jsonl").unlink()
    for picture in photos.iterdir():
        os.utime(picture, (0, 0))
    assert main(["batch", str(photos), "-o", str(clips), *SMALL, "--json"]) == 0
    said = capsys.readouterr()
    told = json.loads(said.out)
    assert (told["made"], told["there"]) == (0, 3)
    assert said.err.startswith("3 clips into")
    assert all(line["found"] for line in read(clips))
    assert {path.name: path.stat().st_mtime_ns for path in clips.glob("*.mp4")} == before

    assert main(["batch", str(photos / "one.png"), "-o", str(clips), *SMALL, "--again", "-q"]) == 0
    assert capsys.readouterr() == (f"{clips}\n", "")
    assert (clips / "one.mp4").stat().st_mtime_ns != before["one.mp4"]
    check(clips, [line for line in read(clips) if line["number"] != 1 or not line["found"]])


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_ctrl_c_and_sigterm_end_after_the_step_and_the_same_command_goes_on(forked, tmp_path, photos, number):
    manifest = tmp_path / "shots.csv"
    manifest.write_text("picture,seed,name\n" + "".join(f"{photos}/one.png,{seed},{seed}\n" for seed in range(4)))
    clips = tmp_path / "clips"
    batch = start(manifest, "-o", clips)
    wait_for(lambda: len(read(clips)) >= 1, "the first clip", batch)
    # As a terminal does, to the workers too; or as whoever started it.
    (os.killpg if number == signal.SIGINT else os.kill)(batch.pid, number)
    said = batch.communicate(timeout=MOST_S)[1]
    assert batch.returncode == 130
    assert "of 4 clips are left" in said and "the same command goes on" in said
    before = read(clips)
    assert len(before) < 4
    check(clips, before)
    assert main(["batch", str(manifest), "-o", str(clips), *SMALL, "-q"]) == 0
    check(clips, read(clips))
    assert sorted(line["number"] for line in read(clips)) == [1, 2, 3, 4], "none is lost, none is made twice"


@pytest.mark.slow
def test_a_batch_whose_processes_are_killed_loses_and_repeats_nothing(forked, tmp_path, photos):
    """A worker is killed: its item is tried again. The batch itself is killed: the next goes on, and makes what is missing."""
    manifest = tmp_path / "shots.jsonl"
    rows = [{"picture": str(photos / "one.png"), "seed": seed, "name": str(seed)} for seed in range(6)]
    manifest.write_text("\n".join(map(json.dumps, rows)))
    clips = tmp_path / "clips"
    batch = start(manifest, "-o", clips)
    wait_for(lambda: len(read(clips)) >= 1, "the first clip", batch)
    [worker] = list_children(batch.pid)
    os.kill(worker, signal.SIGKILL)
    wait_for(lambda: len(read(clips)) >= 3, "a clip of the next worker", batch)
    batch.kill()
    batch.communicate()
    wait_for(lambda: not list_workers(clips), "the end of its worker")
    there = len(list(clips.glob("*.mp4")))
    assert main(["batch", str(manifest), "-o", str(clips), *SMALL, "-q"]) == 0
    lines = read(clips)
    check(clips, lines)
    assert sorted(line["number"] for line in lines) == [1, 2, 3, 4, 5, 6]
    assert sum(not line["found"] for line in lines) <= 6
    assert there >= 3


def list_children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def list_workers(clips):
    """Find the worker processes of this folder."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"unstill.batch.worker" in words and str(clips).encode() in words:
            found.append(folder.name)
    return found


@pytest.mark.slow
def test_a_worker_that_cannot_work_here_says_why(forked, tmp_path, photos, capsys):
    assert main(["batch", str(photos), "-o", str(tmp_path / "clips"), *SMALL, "--devices", "cuda:7"]) == 6
    assert "cuda:7" in capsys.readouterr().err


@pytest.mark.slow
def test_a_worker_asked_for_a_missing_model_answers(forked, tmp_path):
    with Processes(str(tmp_path), ["cpu"]) as crew:
        assert crew.describe({"model": "nothing-like-it"})["error"]["code"] == "model_missing"
        told = crew.describe({"model": "pocket"})
        assert (told["name"], told["frames"]) == ("pocket", 25)
        assert crew.wait(0) == [News("ready", "cpu/0/1")]


@pytest.mark.parametrize("crew", [Processes("clips", ["cpu"]), Actors(Cluster("here"), "clips")], ids=["processes", "actors"])
def test_who_wants_to_stop_waits_for_no_worker(crew):
    """All places of a cluster may be others' for hours."""
    with pytest.raises(Cancelled, match="before a worker was ready"):
        crew.describe({"model": "pocket"}, lambda: True)


@pytest.mark.slow
def test_a_worker_that_hangs_is_replaced_and_its_clip_is_made_all_the_same(forked, tmp_path, photos, miniature):
    """Stopped as by SIGSTOP it neither answers nor dies; a batch that waited for it would wait for ever."""
    clips, stopped = tmp_path / "clips", []
    clips.mkdir()

    class Hanging(Processes):
        def submit(self, worker, items):
            super().submit(worker, items)
            if not stopped:
                stopped.append(items[0].number)
                [process] = forked.find("unstill.batch.worker", str(clips))
                os.kill(process, signal.SIGSTOP)

    knobs = {"model": str(miniature), "size": "64x64", "frames": 3, "steps": 2, "look": False, "measure": False}
    batch = Batch([str(photos)], Wish(knobs), clips)
    with Ledger(clips / "results.jsonl", clips) as ledger, Hanging(str(clips), ["cpu"], silent_s=4.0) as crew:
        summary = run_batch(batch, batch.look(), crew, ledger)
    assert (summary.made, summary.failed) == (3, 0)
    assert {line["number"]: line["attempts"] for line in read(clips)} == {
        stopped[0]: 2,
        **dict.fromkeys({1, 2, 3} - {*stopped}, 1),
    }
    check(clips, read(clips))


@pytest.mark.thorough("waits for eight seconds; the clock behind it has unit tests")
def test_a_batch_that_is_stopped_for_long_and_continued_does_not_take_its_workers_for_hung(tmp_path, photos):
    """As Ctrl-Z and `fg` do: everything stands still and goes on."""
    clips = tmp_path / "clips"
    driver = subprocess.Popen([sys.executable, "-c", PATIENT, str(photos), str(clips), os.environ["UNSTILL_CONFIG"]], start_new_session=True,
                              stderr=subprocess.PIPE, text=True)  # fmt: skip
    wait_for(lambda: len(read(clips)) >= 1, "the first clip", driver)
    os.killpg(driver.pid, signal.SIGSTOP)
    begun = time.monotonic()
    wait_for(lambda: time.monotonic() - begun > 8, "twice the silence that a worker is allowed")
    os.killpg(driver.pid, signal.SIGCONT)
    said = driver.communicate(timeout=MOST_S)[1]
    assert driver.returncode == 0, said
    assert [line["attempts"] for line in read(clips)] == [1] * 12


@pytest.mark.slow
def test_what_will_be_done_is_said_and_nothing_is_done(forked, tmp_path, photos, miniature, capsys):
    (photos / "a-broken.png").write_text("<svg/>")
    clips = tmp_path / "clips"
    words = ["batch", str(photos), "-o", str(clips), *SMALL, "--takes", "2", "--grid", "motion=60,127", "--dry-run"]
    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["clips"], told["model"], told["workers"]) == (16, miniature.name, 1)
    assert told["seconds"] > told["start_seconds"] > 0
    assert told["together"] == 1, "a CPU gains nothing by more"
    assert (told["pictures_looked_at"], told["pictures_broken"]) == (4, 1)
    assert told["broken"][0]["picture"].endswith("a-broken.png")
    assert told["bytes"] > 0
    assert told["free_bytes"] > 0
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "12 to make of 16" in said
    assert "1 cannot be read and makes no clip, of all 4" in said
    assert not clips.exists()

    (photos / "a-broken.png").unlink()
    assert main(["batch", str(photos), "-o", str(clips), *SMALL, "-q"]) == 0
    Image.new("RGB", (64, 64)).save(photos / "four.png")
    capsys.readouterr()
    assert main(["batch", str(photos), "-o", str(clips), *SMALL, "--dry-run", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["clips"], told["there"], told["to_make"]) == (4, 3, 1)


@pytest.mark.parametrize(
    ("words", "message"),
    [(["--name", "{nothing}"], "no field"), (["--grid", "motion=1,999"], "motion"), (["--format", "png"], "one file"),
     (["--name", "same"], "would be of"), (["--devices", "gpu"], "--devices"), (["--name", "../{name}"], "leads elsewhere")],
)  # fmt: skip
def test_what_cannot_be_is_refused_before_anything_runs(tmp_path, photos, capsys, words, message):
    assert main(["batch", str(photos), "-o", str(tmp_path / "clips"), *words]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "clips").exists()


@pytest.mark.slow
def test_clips_go_to_an_address_that_fsspec_knows(forked, tmp_path, photos, monkeypatch):
    """`local://` is a file system of fsspec as any other, and needs no server."""
    monkeypatch.chdir(tmp_path)
    clips = tmp_path / "clips"
    words = ["batch", str(photos), "-o", f"local://{clips}", "--results", "told.jsonl", *SMALL, "-q"]
    assert main(words) == 0
    lines = list(read_lines(tmp_path / "told.jsonl"))
    check_whole = {line["output"]: hash_file(clips / line["output"]) == line["sha256"] for line in lines}
    assert check_whole == {"one.mp4": True, "two.mp4": True, "three.mp4": True}
    assert main(words) == 0
    assert len(list(read_lines(tmp_path / "told.jsonl"))) == 3
    assert open_place(f"local://{clips}").find(lines[0]["key"], lines[0]["output"]) is not None


@pytest.mark.slow
def test_motion_that_is_wanted_is_searched_for_each_picture(forked, tmp_path, photos):
    words = ["--model", "pocket", "--size", "64x64", "--frames", "3", "--steps", "1", "--no-look", "--want-motion", "subtle"]
    assert main(["batch", str(photos / "one.png"), "-o", str(tmp_path / "clips"), *words, "-q"]) == 0
    [line] = read(tmp_path / "clips")
    assert line["error"] is None
    assert line["moves"]


@pytest.mark.slow
def test_the_simulation_of_a_cluster_comes_to_its_end(tmp_path):
    root = Path(__file__).parents[2]
    words = [sys.executable, str(root / "bench/simulate_batch.py"), "--items", "2000", "--workers", "20", "--deaths", "0.01"]
    ran = subprocess.run([*words, "--out", str(tmp_path / "rows.csv")], capture_output=True, text=True, check=True)
    assert "2000 done" in ran.stdout
    assert " 0 of them died" not in ran.stdout
    assert "batch-simulated" in (tmp_path / "rows.csv").read_text()
