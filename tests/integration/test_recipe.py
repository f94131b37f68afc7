"""recipe/: the way from painted worlds to a shipped file, at tiny size."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from recipe import checkpoint
from recipe.evaluate import correlate, find_edges, fit_homography
from recipe.export import export
from recipe.lesson import answer, ask, draw_hints, weigh
from recipe.pool import Pool, mirrored_words, tell
from recipe.textures import Bank
from recipe.train import SMALL

from unstill.artifacts import ModelFiles
from unstill.model.field import WORDS, FieldNetwork, load_field_network, motion_of

ROOT = Path(__file__).parents[2]
TINY = ["--batch", "2", "--paint", "2", "--pool", "16", "--fill", "4", "--bank", "12", "48", "--report-s", "0", "--small"]


def train(out, *more):
    """Train for no time, which is a step."""
    command = [sys.executable, "-m", "recipe.train", "--minutes", "1e-9", "--out", str(out), *TINY, *more]
    environment = {"OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment, cwd=ROOT).stdout


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    return out, train(out)


def test_a_run_logs_numbers_and_leaves_a_state(run):
    out, said = run
    rows = list(csv.DictReader((out / "log.csv").open()))
    assert "gap" in said
    assert all(float(value) == float(value) for row in rows for value in row.values())
    assert json.loads((out / "state.json").read_text())["step"] == int(rows[-1]["step"]) == 1


@pytest.mark.thorough("trains a second time")
def test_a_run_goes_on_from_another(run, tmp_path):
    out, _ = run
    train(tmp_path, "--resume", str(out))
    first, second = (json.loads((folder / "state.json").read_text())["step"] for folder in (out, tmp_path))
    assert second > first == 1


def test_what_is_exported_is_what_was_learnt_and_loads(run, tmp_path):
    out, _ = run
    export(out, tmp_path / "model", SMALL)
    configs = json.loads((tmp_path / "model" / "config.json").read_text())
    path = tmp_path / "model" / "model.safetensors"
    files = ModelFiles("tiny", "pocket", "bundled", {"checkpoint": (path,)}, configs, 25, path.stat().st_size)
    network = load_field_network(files, "cpu")
    kept = checkpoint.read(out)
    assert all(torch.equal(value, kept[name].float()) for name, value in network.state_dict().items())


def test_squares_are_kept_to_within_five_percent():
    squares = torch.rand(7, 3).square() * 1e-6
    back = checkpoint.from_bytes(checkpoint.to_bytes(squares))
    assert back.shape == squares.shape
    assert float((back / squares - 1).abs().max()) < 0.05


def test_a_network_learns_what_it_is_shown():
    """Fifteen steps on four clips halve the error of where everything went."""
    torch.manual_seed(0)
    pool = Pool((8, 8), 4, 4, 0, torch.device("cpu"))
    pool.add(Bank(12, 48, seed=0))
    network, generator = FieldNetwork(SMALL), torch.Generator().manual_seed(0)
    asked = ask(pool.draw(4), generator)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(15):
        loss = weigh(answer(network, asked)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]


def test_hints_are_the_truth_where_they_are():
    velocity = torch.randn(3, 2, 16, 24)
    hints = draw_hints(velocity, torch.rand, always=True)
    mask = hints[:, :1]
    assert set(mask.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(hints[:, 1:], velocity * mask)


def test_a_mirror_swaps_left_and_right_only():
    swapped = mirrored_words(torch.device("cpu")).tolist()
    changed = {WORDS[i]: WORDS[j] for i, j in enumerate(swapped) if i != j}
    assert changed == {"left": "right", "right": "left"}


def test_a_clip_is_told_as_one_of_25_frames():
    """Half as many frames at half the rate, each going twice as far, is the same motion."""
    long = tell(torch.tensor(8.0), torch.tensor(1.0), torch.tensor(24.0))
    short = tell(torch.tensor(4.0), torch.tensor(2.0), torch.tensor(12.0))
    assert torch.allclose(long, short)
    assert float(long[1]) == pytest.approx(motion_of(1.0), rel=1e-5)


def test_a_homography_explains_a_camera_and_not_a_thing():
    rows, columns = 12, 20
    y, x = torch.meshgrid(torch.arange(rows) - rows / 2, torch.arange(columns) - columns / 2, indexing="ij")
    zoom = 0.1 * torch.stack([x, y])[None] / columns
    assert float((fit_homography(zoom) - zoom).abs().max()) < 1e-4
    thing = torch.zeros(1, 2, rows, columns)
    thing[:, 0, 4:8, 8:12] = 0.1
    assert float((fit_homography(thing) - thing).abs().mean()) > 0.2 * float(thing.abs().mean())


def test_edges_are_where_the_field_changes():
    field = torch.zeros(1, 2, 8, 8)
    field[..., 4:] = 1
    edges = find_edges(field)
    assert bool((edges[0, :, 3] > 0).all())
    assert float(edges.sum()) == pytest.approx(float(edges[0, :, 3].sum()))
    assert float(correlate(edges, edges)) == pytest.approx(1)
