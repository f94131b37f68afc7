"""What CLIP is fed, and what holds of its tower whatever the weights."""

import numpy as np
import pytest
import torch

from model_files import describe_miniature
from unstill.model.clip import ImageTower, clip_pixels, shrink_by_whole
from unstill.model.config import CLIPConfig
from unstill.model.weights import load_image_tower

PLAIN = ([0.0] * 3, [1.0] * 3)
MEAN, STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]


@pytest.fixture(scope="module")
def miniature_files(miniature):
    return describe_miniature(miniature)


def make_picture(rows, columns, seed=0):
    return np.random.RandomState(seed).randint(0, 256, (rows, columns, 3), np.uint8)


def test_the_published_config_makes_632_076_800_parameters():
    with torch.device("meta"):
        tower = ImageTower(CLIPConfig())
    assert sum(parameter.numel() for parameter in tower.parameters()) == 632_076_800


@torch.no_grad()
@pytest.mark.slow
def test_a_picture_becomes_one_vector(miniature_files):
    tower = load_image_tower(miniature_files, torch.float32, "cpu")
    one, other = (clip_pixels(make_picture(50, 70, seed), MEAN, STD, 224) for seed in (0, 1))
    together = tower(torch.cat([one, other]))
    assert together.shape == (2, 32)
    torch.testing.assert_close(together[1:], tower(other), rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_every_tensor_of_the_miniature_matters(miniature_files):
    """Else a test on it would not notice a tensor that is loaded wrongly."""
    tower = load_image_tower(miniature_files, torch.float32, "cpu").requires_grad_(True)
    tower(clip_pixels(make_picture(224, 224), MEAN, STD, 224)).square().sum().backward()
    unused = [name for name, p in tower.named_parameters() if p.grad is None or not p.grad.abs().max() > 1e-7]
    # A bias on all keys shifts every score of a softmax alike.
    assert [name for name in unused if not name.endswith("k_proj.bias")] == []


@pytest.mark.parametrize("size", [(224, 224), (1, 1), (1, 300), (300, 1), (2, 2), (1000, 30), (640, 640)])
def test_a_plain_picture_stays_plain_at_any_size(size):
    pixels = clip_pixels(np.full((*size, 3), 51, np.uint8), MEAN, STD, 224)
    assert (pixels.shape, pixels.dtype) == ((1, 3, 224, 224), torch.float32)
    wanted = (torch.full((3,), 0.2) - torch.tensor(MEAN)) / torch.tensor(STD)
    torch.testing.assert_close(pixels, wanted[None, :, None, None].expand_as(pixels), rtol=0, atol=1e-5)


def test_the_whole_picture_is_seen():
    """It is stretched, never cropped: white edges of a wide picture stay at the edges."""
    picture = np.zeros((100, 400, 3), np.uint8)
    picture[:, :40] = picture[:, -40:] = 255
    row = clip_pixels(picture, *PLAIN, 224)[0, 0, 112]
    assert row[:15].min() > 0.9 and row[-15:].min() > 0.9 and row[60:160].max() < 0.1


def test_fine_stripes_blur_instead_of_aliasing():
    picture = np.zeros((896, 896, 3), np.uint8)
    picture[:, ::2] = 255
    inside = clip_pixels(picture, *PLAIN, 224)[0, 0, 20:-20, 20:-20]
    assert (inside - 0.5).abs().max() < 0.05


def test_the_picture_itself_is_left_as_it_was():
    picture = make_picture(40, 60)
    copy = picture.copy()
    clip_pixels(picture, MEAN, STD, 224)
    assert (picture == copy).all()


def test_averaging_over_squares():
    picture = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    assert (shrink_by_whole(picture, 24) == picture).all()
    halved = shrink_by_whole(picture, 23)
    assert halved.shape == (2, 3, 3)
    assert (halved[1, 2] == picture[2:, 4:].reshape(4, 3).mean(axis=0)).all()
    assert shrink_by_whole(make_picture(1, 5000), 100).shape == (1, 625, 3)
    assert shrink_by_whole(make_picture(7, 7), 12).shape == (2, 2, 3)


@pytest.mark.slow
def test_a_huge_picture_is_seen_nearly_as_a_smaller_one():
    """Above 16 megapixels squares are averaged first; smooth content does not notice."""
    at = np.arange(4200, dtype=np.float32)
    wave = (127 + 100 * np.outer(np.sin(at / 300), np.cos(at / 500))).astype(np.uint8)
    picture = np.broadcast_to(wave[..., None], (4200, 4200, 3))
    small = np.ascontiguousarray(picture[::2, ::2])
    assert (clip_pixels(picture, *PLAIN, 224) - clip_pixels(small, *PLAIN, 224)).abs().max() < 0.01
