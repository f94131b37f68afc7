"""models/pocket: the network and the field that it generates."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from unstill.errors import WeightsError
from unstill.model.unet import UNet
from unstill.models.pocket.field import (
    CHANNELS,
    FLOW,
    FLOWS,
    NEARNESS,
    SWAY,
    SWAYS,
    choose_patches,
    normalise,
    pack,
    read_field,
    unpack,
)
from unstill.models.pocket.network import IDS, WEIGHTS, PocketConfig, PocketNetwork, load_pocket_network, shrink
from unstill.models.pocket.speeds import motion_of, speed_of

TINY = PocketConfig(eye_widths=(32, 32, 32), seen=8, context_width=32, widths=(32, 32), attention=(False, True), told_width=32)


def test_skipping_time_changes_nothing():
    """The network over one frame is the UNet over one frame, in double precision."""
    torch.manual_seed(0)
    network = PocketNetwork(TINY).double()
    plain = UNet(TINY.unet).double()
    plain.load_state_dict(network.unet.state_dict())
    x, whole = torch.randn(2, 1, TINY.unet.in_channels, 4, 6).double(), torch.randn(2, 1, 32).double()
    told = (torch.rand(2).double(), whole, torch.zeros(2, IDS).double())
    found, wanted = network.unet(x, *told), plain(x, *told)
    assert torch.allclose(found, wanted, rtol=0, atol=1e-12)
    assert float(wanted.detach().std()) > 0.01


def test_the_answer_has_the_shape_of_the_field():
    network = PocketNetwork(TINY).eval()
    picture = shrink(torch.rand(1, 3, 90, 160)) * 2 - 1
    seen, whole = network.eye(picture)
    rows, columns = choose_patches(90, 160)
    answer = network(torch.zeros(1, 1, TINY.latent_channels, rows, columns), torch.zeros(1), seen, whole)
    assert unpack(answer).shape == (1, 1, CHANNELS, 36, 64)


def test_packing_is_undone():
    field = torch.randn(2, CHANNELS, 8, 12)
    assert torch.equal(unpack(pack(field)), field)


def test_nearness_and_shares_are_read_off_the_mean_and_motion_off_the_sample():
    mean, sampled = torch.randn(CHANNELS, 8, 12), torch.randn(CHANNELS, 8, 12)
    mean[FLOWS], mean[SWAYS] = 0.6, -3
    field = read_field(mean, sampled)
    assert torch.equal(field.nearness_HW, mean[NEARNESS])
    assert torch.allclose(field.flows_HW, torch.full((8, 12), 0.8))
    assert float(field.sways_HW.max()) == 0
    assert torch.allclose(field.flow_CHW, normalise(sampled[FLOW], field.flows_HW))
    assert float(field.sway_CHW.abs().max()) == 0  # nothing sways


def test_what_moves_has_unit_mean_length():
    share = torch.rand(8, 12)
    moved = normalise(7 * torch.randn(CHANNELS, 8, 12)[SWAY], share)
    assert float((moved.norm(dim=0) * share).sum() / share.sum()) == pytest.approx(1, rel=1e-5)


def test_motion_and_speed_are_each_others_inverse():
    assert [motion_of(speed_of(motion)) for motion in (0, 40, 80, 255)] == pytest.approx([0, 40, 80, 255])


def test_the_bundled_model_loads_and_is_small():
    network = load_pocket_network()
    assert sum(path.stat().st_size for path in WEIGHTS.iterdir()) < 40e6
    assert not network.training


def test_other_weights_are_refused(tmp_path):
    (tmp_path / "config.json").write_text((WEIGHTS / "config.json").read_text())
    tensors = load_file(WEIGHTS / "model.safetensors")
    del tensors["eye.seen.bias"]
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match=r"eye\.seen\.bias"):
        load_pocket_network(tmp_path)
    configs = json.loads((WEIGHTS / "config.json").read_text())
    configs["field"]["keys"] = 12
    (tmp_path / "config.json").write_text(json.dumps(configs))
    with pytest.raises(WeightsError, match="keys"):
        load_pocket_network(tmp_path)
