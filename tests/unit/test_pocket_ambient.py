"""Only what looks like it flows or sways: water does, rocks and walls do not."""

import torch

from unstill.models.pocket.ambient import settle_motion
from unstill.models.pocket.field import SceneField
from unstill.models.pocket.grids import smooth

ROWS, COLUMNS = 144, 256
CELLS = (36, 64)


def scatter(across: int = 1, down: int = 1) -> torch.Tensor:
    """A texture whose grains are so many pixels wide and high."""
    grains = torch.rand(3, ROWS // down, COLUMNS // across, generator=torch.Generator().manual_seed(1))
    return 0.5 + 0.5 * smooth(grains.repeat_interleave(across, 2).repeat_interleave(down, 1) - 0.5, 1)


def believe(flows: float, sways: float, below: int = 18) -> SceneField:
    """What a network would find in the lower half."""
    lower = torch.zeros(CELLS)
    lower[below:] = 1
    right = torch.stack([torch.ones(CELLS), torch.zeros(CELLS)])
    return SceneField(lower, flows * lower, sways * lower, right, right)


NEAR = torch.linspace(0.5, 1, ROWS // 4)[:, None].expand(-1, COLUMNS // 4).contiguous()


def test_waves_flow_and_rocks_do_not() -> None:
    waves, rocks = scatter(across=16, down=2), scatter(across=4, down=4)
    flows, stays = (settle_motion(believe(0.9, 0), one, NEAR).flows_HW for one in (waves, rocks))
    assert flows[25:33, 8:-8].mean() > 0.9
    assert float(stays.max()) == 0


def test_clouds_flow_whatever_their_texture() -> None:
    field = settle_motion(believe(0.9, 0), scatter(across=4, down=4), 0 * NEAR)
    assert field.flows_HW[25:33, 8:-8].mean() > 0.9


def test_grass_sways_and_walls_do_not() -> None:
    sways, stays = (
        settle_motion(believe(0, 0.9), one, NEAR).sways_HW for one in (scatter(2, 2), torch.full((3, 144, 256), 0.4))
    )
    assert sways[25:33, 8:-8].mean() > 0.9
    assert float(stays.max()) == 0


def test_what_is_doubtful_or_small_stays() -> None:
    waves = scatter(across=16, down=2)
    assert float(settle_motion(believe(0.45, 0), waves, NEAR).flows_HW.max()) == 0
    assert float(settle_motion(believe(0.9, 0, below=35), waves, NEAR).flows_HW.max()) == 0


def test_motion_eases_in_at_the_edge_and_nothing_else_moves() -> None:
    field = settle_motion(believe(0.9, 0), scatter(across=16, down=2), NEAR)
    assert float(field.flows_HW[:18].max()) == 0
    assert field.flows_HW.diff(dim=0).max() < 0.35
    speed = field.flow_CHW.norm(dim=0)
    assert torch.isclose((speed * field.flows_HW).sum(), field.flows_HW.sum(), rtol=1e-3)
