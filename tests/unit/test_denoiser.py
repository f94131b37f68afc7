"""model/denoiser.py: noise levels, preconditioning, guidance."""

import math

import pytest
import torch

from unstill.errors import WeightsError
from unstill.model.denoiser import Conditions, Denoiser, Schedule, guidance_over_frames


def conditions() -> Conditions:
    return Conditions(torch.ones(1, 1, 4), torch.full((1, 4, 2, 2), 3.0), torch.tensor([[6.0, 127.0, 0.02]]))


def test_noise_falls_from_700_to_zero():
    sigmas = Schedule().sigmas(25)
    assert sigmas.dtype == torch.float32
    assert len(sigmas) == 26
    assert math.isclose(float(sigmas[0]), 700.0, rel_tol=1e-6)
    assert math.isclose(float(sigmas[-2]), 0.002, rel_tol=1e-6)
    assert float(sigmas[-1]) == 0
    assert bool((sigmas[1:] < sigmas[:-1]).all())


def test_one_step_is_enough_for_a_schedule():
    assert Schedule().sigmas(1).tolist() == [700.0, 0.0]


def test_the_levels_of_ays_are_the_published_ones():
    """Table 3 of Align Your Steps, with zero at the end; other numbers of steps lie on its line of logarithms."""
    ten = [700, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034, 0]
    assert Schedule().sigmas(10, "ays").tolist() == pytest.approx(ten, rel=1e-6)
    twenty = Schedule().sigmas(20, "ays").tolist()
    assert twenty[::2] == pytest.approx(ten, rel=1e-6)
    assert twenty[1] == pytest.approx(math.sqrt(700 * 54.5), rel=1e-6)


def test_ays_is_for_the_noise_of_svd():
    with pytest.raises(WeightsError, match=r"not from 0\.002 to 80"):
        Schedule(0.002, 80.0).sigmas(10, "ays")


@pytest.mark.parametrize("key", ["prediction_type", "timestep_type", "use_karras_sigmas"])
def test_another_models_scheduler_is_refused_by_name(key):
    with pytest.raises(WeightsError, match=key):
        Schedule.from_config({key: "other"})


def test_guidance_shapes():
    assert guidance_over_frames(1, 3, "linear", 5).tolist() == [1, 1.5, 2, 2.5, 3]
    assert guidance_over_frames(1, 3, "triangle", 5).tolist() == [1, 2, 3, 2, 1]
    assert guidance_over_frames(1, 3, "flat", 3).tolist() == [3, 3, 3]


def test_guidance_may_fall_over_the_clip():
    assert guidance_over_frames(3, 1, "linear", 3).tolist() == [3, 2, 1]


def test_guidance_of_one_runs_the_network_once():
    seen = []

    def network(x, time, context, ids):
        seen.append(x.shape[0])
        return x[:, :, :4]

    denoise = Denoiser(network, conditions(), torch.ones(3))
    denoise(torch.randn(1, 3, 4, 2, 2), torch.tensor(2.0))
    assert seen == [1]


def test_guidance_amplifies_what_the_picture_changes():
    """The network here answers 1 with the picture and 0 without: guidance g must give g, frame by frame."""

    def network(x, time, context, ids):
        return context.mean(dim=(1, 2))[:, None, None, None, None].expand(-1, 3, 4, 2, 2)

    guidance = torch.tensor([1.0, 2.0, 3.0])
    velocity = Denoiser(network, conditions(), guidance).velocity(torch.randn(1, 3, 4, 2, 2), torch.tensor(0.1))
    assert velocity[0, :, 0, 0, 0].tolist() == [1, 2, 3]


def test_the_branch_without_a_picture_sees_zeros_and_comes_first():
    seen = {}

    def network(x, time, context, ids):
        seen.update(picture=x[:, 0, 4:].amax(dim=(1, 2, 3)).tolist(), clip=context.amax(dim=(1, 2)).tolist(), ids=ids)
        return x[:, :, :4]

    Denoiser(network, conditions(), torch.tensor([1.0, 2.0]))(torch.randn(1, 2, 4, 2, 2), torch.tensor(1.0))
    assert seen["picture"] == [0, 3]
    assert seen["clip"] == [0, 1]
    assert torch.equal(seen["ids"][0], seen["ids"][1])


def test_a_perfect_network_is_denoised_perfectly():
    """With v = (sigma·x0 − noise)·(−1)/sqrt(sigma²+1) the preconditioning must return x0 exactly (EDM, v-prediction)."""
    clean, noise, sigma = torch.randn(1, 2, 4, 2, 2).double(), torch.randn(1, 2, 4, 2, 2).double(), torch.tensor(5.0).double()

    def network(x, time, context, ids):
        return ((noise - sigma * clean) / (sigma**2 + 1) ** 0.5)[: x.shape[0]]

    told = Conditions(torch.ones(1, 1, 4).double(), torch.zeros(1, 4, 2, 2).double(), torch.zeros(1, 3))
    denoised = Denoiser(network, told, torch.ones(2))(clean + sigma * noise, sigma)
    assert torch.allclose(denoised, clean, atol=1e-12)
