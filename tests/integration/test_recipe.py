"""recipe/: the way from painted worlds to a shipped file, at tiny size."""

import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from recipe import checkpoint
from recipe.evaluate import compare, correlate, overlap, sample
from recipe.export import export
from recipe.labelled import FLOWING, NONE, RIGID, SWAYING, Labelled, balance, label
from recipe.lesson import answer, ask, hold, lay_weights, refill, weigh
from recipe.photographs import Photographs
from recipe.pool import Batch, Pool, mirror_field
from recipe.sheet import draw
from recipe.textures import Bank
from recipe.train import SMALL, transplant

from unstill.models.pocket.field import CHANNELS, FLOWS, NEARNESS, SWAYS, read_field
from unstill.models.pocket.network import SIGMA_MAX, PocketNetwork, load_pocket_network

ROOT = Path(__file__).parents[2]
TINY = ["--batch", "2", "--paint", "1", "--pool", "16", "--fill", "3", "--bank", "12", "48", "--report-s", "0", "--small"]


def train(out, *more):
    """Train for no time, which is a step."""
    command = [sys.executable, "-m", "recipe.train", "--minutes", "1e-9", "--out", str(out), *TINY, *more]
    environment = {"OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin", "PYTHONPATH": f"{ROOT}:{ROOT}/src"}
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment, cwd=ROOT).stdout


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    return out, train(out)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """Two labelled photographs: a lake below unlabelled sky, and a meadow behind a wall."""
    folder = tmp_path_factory.mktemp("labelled")
    lake = [("flows", "0,50 100,50 100,100 0,100")]
    meadow = [("sways", "0,0 100,0 100,100 0,100"), ("rigid", "0,75 100,75 100,100 0,100")]
    for name, rows in (("lake", lake), ("meadow", meadow)):
        image = Image.effect_noise((96, 64), 40).convert("RGB")
        labels = label(image, [{"class": one, "polygon": polygon, "where": ""} for one, polygon in rows])
        for part in ("learnt", "apart"):
            (folder / part).mkdir(exist_ok=True)
            image.save(folder / part / f"{name}.webp")
            labels.save(folder / part / f"{name}.png")
    return folder


@pytest.fixture
def batch():
    return Batch(torch.rand(4, 3, 64, 64) * 2 - 1, torch.randn(4, CHANNELS, 16, 16))


def test_a_run_logs_numbers_and_leaves_a_state(run):
    out, said = run
    rows = list(csv.DictReader((out / "log.csv").open()))
    assert "gap" in said
    assert all(float(value) == float(value) for row in rows for value in row.values())
    assert json.loads((out / "state.json").read_text())["step"] == int(rows[-1]["step"]) == 1


@pytest.mark.thorough("a second training run; its parts are checked one by one below")
def test_a_run_learns_from_labelled_photographs(labelled, tmp_path):
    train(tmp_path, "--labelled", str(labelled), "--labelled-share", "0.5")
    assert all(float(row["labelled_flows"]) > 0 for row in csv.DictReader((tmp_path / "log.csv").open()))


@pytest.mark.thorough("a second training run; resuming is also what export and load check")
def test_a_run_goes_on_from_another(run, tmp_path):
    out, _ = run
    train(tmp_path, "--resume", str(out))
    first, second = (json.loads((folder / "state.json").read_text())["step"] for folder in (out, tmp_path))
    assert second > first == 1


def test_what_is_exported_is_what_was_learnt_and_loads(run, tmp_path):
    out, _ = run
    assert len(export(out, tmp_path, SMALL)) == 64
    network, kept = load_pocket_network(tmp_path), checkpoint.read(out)
    assert all(torch.equal(value, kept[name].float()) for name, value in network.state_dict().items())
    assert export(out, tmp_path / "mixed", SMALL, out, 0.5) == export(out, tmp_path, SMALL)  # of a run with itself
    other = PocketNetwork(SMALL)
    transplant(other, tmp_path / "model.safetensors")
    assert all(torch.equal(value, kept[name].float()) for name, value in other.state_dict().items())


def test_squares_are_kept_to_within_five_percent():
    squares = torch.rand(7, 3).square() * 1e-6
    back = checkpoint.from_bytes(checkpoint.to_bytes(squares))
    assert back.shape == squares.shape
    assert float((back / squares - 1).abs().max()) < 0.05


def test_a_network_learns_what_it_is_shown():
    """Thirty steps on four scenes halve the error."""
    torch.manual_seed(0)
    pool = Pool((4, 4), 4, 4, 0, torch.device("cpu"))
    pool.add(Bank(12, 48, seed=0), Photographs(None))
    network, generator = PocketNetwork(SMALL), torch.Generator().manual_seed(0)
    asked, weights = ask(pool.draw(4), generator), lay_weights()
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(30):
        loss = weigh(answer(network, asked), asked.direct_B, weights).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]


def test_a_direct_question_holds_no_noise(batch):
    """Its answer does not depend on the noise that was drawn; a sampled one does."""
    network, generator = PocketNetwork(SMALL), torch.Generator().manual_seed(0)
    one, other = ask(batch, generator), ask(batch, generator)
    for sigma, same in ((None, True), (3.0, False)):
        held = hold(one, sigma)
        noisy = replace(held, noise_BCHW=other.noise_BCHW)
        assert torch.equal(answer(network, held), answer(network, noisy)) is same


def test_the_mean_answer_is_what_a_direct_question_is_asked_for(batch):
    """Sampling reads the same number off the network as training compares with the truth."""
    torch.manual_seed(0)
    network, generator = PocketNetwork(SMALL).eval(), torch.Generator().manual_seed(0)
    mean, _ = sample(network, batch.picture_BCHW, 2, generator)
    asked = hold(ask(batch, generator), None)
    asked.batch.picture_BCHW.copy_(batch.picture_BCHW)
    wanted = answer(network, asked).detach()
    scale = SIGMA_MAX / (SIGMA_MAX**2 + 1) ** 0.5
    found = (-mean / scale + batch.field_BCHW * scale).square().mean((2, 3))
    assert torch.allclose(found, wanted, rtol=1e-3)


def test_refilling_copies_all_of_a_question(batch):
    generator = torch.Generator().manual_seed(0)
    one, other = ask(batch, generator), ask(batch.shuffled(), generator)
    refill(one, other)
    network = PocketNetwork(SMALL)
    assert torch.equal(answer(network, one), answer(network, other))


def test_later_labels_lie_over_earlier_ones_where_their_condition_holds():
    image = Image.new("RGB", (40, 40), "white")
    image.paste("black", (0, 0, 20, 40))
    whole = "0,0 100,0 100,100 0,100"
    rows = [("rigid", whole, ""), ("sways", whole, "light<0.5"), ("flows", "0,50 100,50 100,100 0,100", "")]
    labels = label(image, [dict(zip(("class", "polygon", "where"), row, strict=True)) for row in rows])
    assert [labels.getpixel(at) for at in ((5, 5), (35, 5), (5, 35), (35, 35))] == [SWAYING, RIGID, FLOWING, FLOWING]


def test_photographs_have_weight_where_they_are_labelled_and_only_on_shares(labelled):
    batch = Labelled(labelled / "learnt").whole()
    lake, meadow = batch.field_BCHW
    assert batch.weight_BCHW[:, [k for k in range(CHANNELS) if k not in (FLOWS, SWAYS)]].abs().sum() == 0
    assert batch.weight_BCHW[0, FLOWS, 0].max() == 0 < batch.weight_BCHW[0, FLOWS, -1].min()
    assert (lake[[FLOWS, SWAYS], -1] == torch.tensor([[1.0], [-1.0]])).all()
    assert (meadow[[FLOWS, SWAYS], 0] == torch.tensor([[-1.0], [1.0]])).all()
    assert (meadow[[FLOWS, SWAYS], -1] == -1).all()


def test_rarer_classes_weigh_more_by_the_root_of_their_rarity():
    labels = torch.tensor([[NONE] * 5 + [RIGID] * 4 + [SWAYING] + [FLOWING]])
    weights, counts = balance(labels), torch.bincount(labels.flatten())
    assert weights[NONE] == 0
    assert torch.allclose(weights[[FLOWING, SWAYING]], 2 * weights[RIGID])
    assert torch.allclose((weights * counts).sum(), counts[RIGID:].sum().float())


def test_unlabelled_cells_do_not_change_the_error(batch, labelled):
    """Crops are asked about directly; what they do not say is not held against the network."""
    network, generator = PocketNetwork(SMALL), torch.Generator().manual_seed(0)
    both = batch.joined(Labelled(labelled / "learnt").draw(2, (8, 8), generator))
    asked = ask(both, generator)
    assert (asked.direct_B[len(batch.picture_BCHW) :] == 1).all()
    known = both.weight_BCHW > 0
    other = replace(asked, batch=replace(asked.batch, field_BCHW=torch.where(known, both.field_BCHW, 9.0)))
    assert not known[-2:, NEARNESS].any()
    assert torch.allclose(answer(network, asked), answer(network, other))


def test_a_mirror_turns_what_goes_right():
    field = torch.randn(2, CHANNELS, 4, 6)
    mirrored = mirror_field(field)
    assert torch.equal(mirror_field(mirrored), field)
    signs = [1, 1, 1, -1, 1, -1, 1]
    assert torch.equal(mirrored, field.flip(-1) * torch.tensor(signs)[:, None, None])


def test_scores_are_perfect_for_the_truth_and_not_for_another():
    field = torch.randn(3, 2, 8, 8)
    share = (torch.rand(3, 8, 8) > 0.5).float()
    assert float(correlate(field[:, 0], field[:, 0]).min()) == pytest.approx(1)
    assert overlap(share, share) == pytest.approx((1, 1))
    assert overlap(1 - share, share) == pytest.approx((0, 0))
    assert compare(-field, field, share) == pytest.approx((1, 0))
    assert compare(field.roll(1, 0), field, share)[1] > 0.5


def test_a_sheet_shows_a_row_of_tiles():
    mean, sampled = torch.randn(CHANNELS, 12, 16), torch.randn(CHANNELS, 12, 16)
    row = draw(torch.rand(3, 48, 64), [read_field(mean, sampled)] * 2)
    assert row.shape == (3, 144, 5 * 256)
    assert Image.fromarray((row * 255).byte().permute(1, 2, 0).numpy()).size == (1280, 144)
