"""What holds of the VAE whatever its weights; that it is the published one is shown in integration/test_model_parity."""

import re

import pytest
import torch

from model_files import describe_miniature
from unstill.model.config import VAEConfig
from unstill.model.vae import VAE
from unstill.model.weights import load_vae


@pytest.fixture(scope="module")
def miniature_files(miniature):
    return describe_miniature(miniature)


@pytest.fixture(scope="module")
def vae(miniature_files):
    return load_vae(miniature_files, torch.float32, "cpu")


def make(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_published_config_makes_97_742_847_parameters():
    with torch.device("meta"):
        vae = VAE(VAEConfig())
    assert sum(parameter.numel() for parameter in vae.parameters()) == 97_742_847


def test_it_says_what_others_need_to_know(vae):
    assert (vae.scaling_factor, vae.force_upcast, vae.downscale, vae.latent_channels) == (0.18215, True, 8, 4)


@torch.no_grad()
@pytest.mark.parametrize(("rows", "columns"), [(64, 64), (72, 120), (8, 16)])
def test_eight_pixels_of_a_side_are_one_cell(vae, rows, columns):
    latents = vae.encode(make(2, 3, rows, columns))
    assert latents.shape == (2, 4, rows // 8, columns // 8)
    assert vae.decode(latents, 2).shape == (2, 3, rows, columns)


@torch.no_grad()
def test_pictures_are_encoded_each_by_itself(vae):
    pixels = make(2, 3, 32, 32)
    torch.testing.assert_close(vae.encode(pixels)[1:], vae.encode(pixels[1:]), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_frames_decoded_at_once_see_each_other_and_clips_do_not(vae):
    latents = make(6, 4, 4, 4)
    as_two_clips = vae.decode(latents, 3)
    torch.testing.assert_close(as_two_clips[:3], vae.decode(latents[:3], 3), rtol=1e-5, atol=1e-5)
    assert (vae.decode(latents, 6)[2] - as_two_clips[2]).abs().max() > 1e-3


@pytest.mark.slow
def test_every_tensor_of_the_miniature_matters(miniature_files):
    """Else a test on it would not notice a tensor that is loaded wrongly."""
    vae = load_vae(miniature_files, torch.float32, "cpu").requires_grad_(True)
    (vae.encode(make(1, 3, 32, 32)).square().sum() + vae.decode(make(3, 4, 4, 4), 3).square().sum()).backward()
    unused = [name for name, p in vae.named_parameters() if p.grad is None or not p.grad.abs().max() > 1e-6]
    # A bias on all keys shifts every score of a softmax alike; a norm of one channel a group takes shifts away.
    shifts = re.compile(r".+\.to_k\.bias|.+\.(down_blocks\.[01]|up_blocks\.[23])\.resnets\..+\.conv1\.bias")
    assert [name for name in unused if not shifts.fullmatch(name)] == []


@torch.no_grad()
def test_it_can_be_upcast_for_encoding_and_cast_back(miniature_files):
    vae = load_vae(miniature_files, torch.bfloat16, "cpu")
    before = {name: tensor.clone() for name, tensor in vae.state_dict().items()}
    assert vae.to(torch.float32).encode(make(1, 3, 16, 16)).dtype == torch.float32
    vae.to(torch.bfloat16)
    assert all(torch.equal(tensor, before[name]) for name, tensor in vae.state_dict().items())
    assert vae.decode(make(2, 4, 2, 2).bfloat16(), 2).isfinite().all()
