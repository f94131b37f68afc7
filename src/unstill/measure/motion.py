"""What moves in a clip and how much, and how the camera goes.

It works on flow, and looks at light where flow leaves doubt. It does not know requests or verdicts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from unstill.measure.flow import GREY, Flow, Shrunk, blur, look_up, measure_length

STILL_PX = 0.25  # a frame: flow of resampled pictures is noisy by 0.05 to 0.15 px
SEEN = 0.1  # trust above which a place counts with its own motion
STRIDE = 6  # every sixth answer in both directions: 1,032 points fit a camera as well as all of them
SCALES_PX = (32.0, 16.0, 8.0, 4.0, 2.0, 1.0, 0.5, 0.5, 0.5)  # what counts as an outlier, narrowed step by step
LOOSE = 0.1  # of the motion is added to the scale, since no scene is a plane
OPPOSED = 0.25  # of what goes one way must go the other way, for an orbit
EVEN = 0.25  # of the growth may differ from place to place for a zoom; a push over ground has 0.5 and more
GROWS = 0.25  # of the motion both ways must a scene grow by, for an arc
ASIDE = 0.25  # of radial motion is what goes across the radius, for a camera that goes sideways
SWINGS = 0.15  # of the pan must a scene grow by, for an arc; a walk past a ground grows by nothing
LEANS = 0.3  # is how far growth and height in the picture go together where growth follows the ground
TURNS, ASTRAY = 2, 0.5  # how often a shaken camera turns back at least, and how much of its way leads somewhere at most
TELLING = 2 * GREY  # a place counts as changed from here on, however much it changes
DOUBT = 0.5  # of what the fitted camera leaves changed; a push past a plain sky leaves 0.6 and more, a disc 0.3
UNSURE = 1.5  # a word that explains less than this many times the next one's motion is told with it


@dataclass(frozen=True, eq=False)
class Camera:
    """What a plane that fills the picture does from frame to frame, fitted to most of what is seen, and what remains."""

    pan_x_px_P: Tensor  # of the picture's centre, to the right: a camera that goes right gives less than 0
    pan_y_px_P: Tensor  # downward: a camera that goes down gives less than 0
    zoom_percent_P: Tensor  # growth; a camera that pushes in gives more than 0
    roll_degrees_P: Tensor  # clockwise turn of the picture
    objects_px_P: Tensor  # mean over the frame of what a homography leaves over: objects, and depth
    plane_PCHW: Tensor  # how the pan, zoom, roll and shear of the picture move each place, px
    residual_PCHW: Tensor  # what a homography leaves over at each place, px


@dataclass(frozen=True)
class CameraWord:
    """The word for a camera's way; `other` is the next best one where the two are close."""

    word: str
    other: str | None
    motion_px: float  # a frame, of what the word explains


@dataclass(frozen=True)
class Growth:
    """How the picture changes its size."""

    spread: float  # how much it differs from place to place, as a share of the mean
    lean: float  # correlation of the change with height: 1 where the bottom changes most, -1 where the top does
    grows_px: float  # radial motion outward, a frame, on average over what is seen
    shrinks_px: float
    aside_px: float  # motion across the radius, beyond a roll

    @property
    def is_radial(self) -> bool:
        """Whether all goes to or from the middle, as no camera that goes sideways shows it."""
        return self.aside_px < ASIDE * (self.grows_px + self.shrinks_px)

    @property
    def breath_px(self) -> float:
        """The radial motion where parts go opposite ways, or the bottom goes least; else 0."""
        less, more = sorted((self.grows_px, self.shrinks_px))
        return less + more if less > OPPOSED * more or (self.is_uneven and self.lean < -LEANS) else 0.0

    @property
    def is_uneven(self) -> bool:
        """Whether depth shows in it."""
        return self.spread > EVEN


def measure_motion_px(flow: Flow, camera: Camera) -> Tensor:
    """Average the length of the flow over the whole frame, [P].

    Places whose own motion cannot be seen, flat skies and what leaves the frame, count with the camera's motion.
    """
    return measure_length(fill(flow, camera)).mean((1, 2))


def measure_static_share(flow: Flow, camera: Camera) -> Tensor:
    """Say which share of the frame moves less than STILL_PX, 0 to 1, [P]; what cannot be seen counts with the camera."""
    return (measure_length(fill(flow, camera)) < STILL_PX).float().mean((1, 2))


def fill(flow: Flow, camera: Camera) -> Tensor:
    """Give the flow, and where it cannot be trusted the camera's, in px, [P, 2, H, W]."""
    return torch.where(flow.confidence_PHW[:, None] > SEEN, flow.flow_PCHW, camera.plane_PCHW)


def lay_points(flow: Flow) -> Tensor:
    """Give the places of the flow in px from the picture's centre, [2, H, W]."""
    _, _, rows, columns = flow.flow_PCHW.shape
    step_x, step_y = (2 * side for side in flow.pixel_px)
    x = (torch.arange(columns, device=flow.flow_PCHW.device) - (columns - 1) / 2) * step_x
    y = (torch.arange(rows, device=flow.flow_PCHW.device) - (rows - 1) / 2) * step_y
    return torch.stack(torch.meshgrid(x, y, indexing="xy"))


def fit_camera(flow: Flow) -> Camera:
    """Fit each pair's camera robustly, and take it apart."""
    place_CHW = lay_points(flow)
    reach = place_CHW.norm(dim=0).max().double()
    start_CN = (place_CHW[:, ::STRIDE, ::STRIDE].flatten(1) / reach).double()
    moved_PCN = (flow.flow_PCHW[:, :, ::STRIDE, ::STRIDE].flatten(2) / reach).double()
    trust_PN = flow.confidence_PHW[:, ::STRIDE, ::STRIDE].flatten(1).double()
    plain_PK = _fit(_design(start_CN, moved_PCN)[..., :6], moved_PCN, trust_PN, reach)
    full_PK = _fit(_design(start_CN, moved_PCN), moved_PCN, trust_PN, reach)
    xx, xy, pan_x, yx, yy, pan_y = plain_PK.unbind(1)
    # Growth stretches both ways by as much, and a turn shears both ways; what does only one of them is a ground seen walking.
    grown, turn = 1 + _agree(xx, yy), _agree(-xy, yx)
    residual_PCHW = flow.flow_PCHW - move_plane(full_PK, place_CHW, float(reach))
    return Camera(
        pan_x_px_P=(pan_x * reach).float(),
        pan_y_px_P=(pan_y * reach).float(),
        zoom_percent_P=100 * (torch.hypot(grown, turn) - 1).float(),
        roll_degrees_P=torch.rad2deg(torch.atan2(turn, grown)).float(),
        objects_px_P=_measure_objects(residual_PCHW, flow),
        plane_PCHW=move_plane(F.pad(plain_PK, (0, 2)), place_CHW, float(reach)),
        residual_PCHW=residual_PCHW,
    )


def doubt_camera(camera: Camera, clip: Shrunk, flow: Flow) -> Camera:
    """Take the camera for still where that leaves far more of the picture as it was than the fitted one does.

    A thing of rich texture before plain sky has more that can be followed than all the rest.
    """
    pixel = torch.tensor(flow.pixel_px, device=flow.flow_PCHW.device)[:, None, None]
    light_FHW = F.avg_pool2d(clip.light_FHW[:, None], 2)[:, 0]
    moved_PHW, _ = look_up(light_FHW[1:], camera.plane_PCHW / pixel / 2)

    def differ(later_PHW: Tensor) -> float:
        return float((later_PHW - light_FHW[:-1]).abs().clamp(max=TELLING).mean())

    if differ(light_FHW[1:]) >= DOUBT * differ(moved_PHW):
        return camera
    nothing_P = torch.zeros_like(camera.pan_x_px_P)
    return Camera(nothing_P, nothing_P, nothing_P, nothing_P, _measure_objects(flow.flow_PCHW, flow),
                  torch.zeros_like(camera.plane_PCHW), flow.flow_PCHW)  # fmt: skip


def settle(flow: Flow, camera: Camera, clip: Shrunk) -> tuple[Flow, Camera]:
    """Let places that the camera's movement explains as well as their own flow move with the camera.

    What lies around a thing that moves is taken along by its flow, some 12 px; its light says that it stays behind.
    """
    own_PHW, plane_PHW = (_differ(clip, way_PCHW, flow) for way_PCHW in (flow.flow_PCHW, camera.plane_PCHW))
    stays = (plane_PHW <= own_PHW)[:, None]
    settled = replace(flow, flow_PCHW=torch.where(stays, camera.plane_PCHW, flow.flow_PCHW))
    residual_PCHW = camera.residual_PCHW.masked_fill(stays, 0.0)
    objects_px_P = _measure_objects(residual_PCHW, settled)
    return settled, replace(camera, residual_PCHW=residual_PCHW, objects_px_P=objects_px_P)


def _differ(clip: Shrunk, way_PCHW: Tensor, flow: Flow) -> Tensor:
    """Say by how much light around each place differs from where a way leads."""
    pixel = torch.tensor(flow.pixel_px, device=way_PCHW.device)[:, None, None]
    way_PCHW = F.interpolate(way_PCHW / pixel, scale_factor=2, mode="bilinear", align_corners=False)
    error_PHW = (look_up(clip.light_FHW[1:], way_PCHW)[0] - clip.light_FHW[:-1]).abs()
    return blur(F.avg_pool2d(error_PHW[:, None], 2)[:, 0], 1)


def _measure_objects(residual_PCHW: Tensor, flow: Flow) -> Tensor:
    return (measure_length(residual_PCHW) * (flow.confidence_PHW > SEEN)).mean((1, 2))


def _agree(one_P: Tensor, two_P: Tensor) -> Tensor:
    """Give the smaller of two numbers of one sign, else 0."""
    return torch.where(one_P * two_P > 0, one_P.sign() * torch.minimum(one_P.abs(), two_P.abs()), torch.zeros_like(one_P))


def _design(start_CN: Tensor, moved_PCN: Tensor) -> Tensor:
    """Write a homography as equations that are linear in its 8 numbers, [P, 2, N, 8]; the first 6 are its affine part."""
    x, y = (one.expand(len(moved_PCN), -1) for one in start_CN)
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    end_x, end_y = (start_CN + moved_PCN).unbind(1)
    across = torch.stack([x, y, one, zero, zero, zero, -x * end_x, -y * end_x], -1)
    along = torch.stack([zero, zero, zero, x, y, one, -x * end_y, -y * end_y], -1)
    return torch.stack([across, along], 1)


def _fit(design_PCNK: Tensor, moved_PCN: Tensor, trust_PN: Tensor, reach: Tensor) -> Tensor:
    """Solve least squares again and again; what lies far from the answer counts ever less (Geman and McClure)."""
    weight_PN = trust_PN
    motion_P = (measure_length(moved_PCN) * trust_PN).sum(1) / trust_PN.sum(1).clamp(min=1e-9)
    little = 1e-9 * torch.eye(design_PCNK.shape[-1], dtype=torch.float64, device=trust_PN.device)
    for scale_px in SCALES_PX:
        square = torch.einsum("pcnk,pcnl,pn->pkl", design_PCNK, design_PCNK, weight_PN) + little
        right = torch.einsum("pcnk,pcn,pn->pk", design_PCNK, moved_PCN, weight_PN)
        answer_PK: Tensor = torch.linalg.solve(square, right)
        miss_PN = (torch.einsum("pcnk,pk->pcn", design_PCNK, answer_PK) - moved_PCN).square().sum(1)
        scale_P = (scale_px / reach + LOOSE * motion_P) ** 2
        weight_PN = trust_PN * (scale_P[:, None] / (scale_P[:, None] + miss_PN)) ** 2
    return answer_PK


def move_plane(answer_PK: Tensor, place_CHW: Tensor, reach: float) -> Tensor:
    """Give the flow of homographies in px, [P, 2, H, W]."""
    x, y = place_CHW / reach
    a, b, c, d, e, f, g, h = (number[:, None, None] for number in answer_PK.float().unbind(1))
    far = 1 + g * x + h * y
    end_PCHW: Tensor = torch.stack([(x + a * x + b * y + c) / far - x, (y + d * x + e * y + f) / far - y], 1)
    return end_PCHW * reach


def name_camera(flow: Flow, camera: Camera) -> CameraWord:
    """Name the camera's way over the clip.

    still, left, right, up, down, roll: each counts by the mean motion that it explains; a camera that goes right moves the
    scene to the left. What depth tells apart, without knowing depth:

    handheld    pans that turn back again and again, and end up where they began
    zoom        growth that is the same everywhere; push: growth that is not
    dolly-zoom  one part grows while another shrinks, or the bottom, which is mostly near, changes its size least
    orbit       sideways motion whose near and far parts go opposite ways
    arc         sideways motion that also grows
    """
    shaken_px = _measure_shake_px(camera)
    if shaken_px > STILL_PX:
        return CameraWord("handheld", None, shaken_px)
    place_CHW = lay_points(flow)
    radius_px = float(place_CHW.norm(dim=0).mean())
    pan_x, pan_y = float(camera.pan_x_px_P.mean()), float(camera.pan_y_px_P.mean())
    zoom = float(camera.zoom_percent_P.mean()) / 100 * radius_px
    roll = float(torch.deg2rad(camera.roll_degrees_P).mean()) * radius_px
    growth = _measure_growth(flow, camera, place_CHW)
    orbit_px = 0.0 if growth.is_radial else _opposed_px(flow, camera, place_CHW)
    sizes = {
        "orbit": orbit_px,
        "left" if pan_x > 0 else "right": abs(pan_x),
        "up" if pan_y > 0 else "down": abs(pan_y),
        "push" if zoom > 0 else "pull": abs(zoom),
        "roll": abs(roll),
        "dolly-zoom": growth.breath_px,
    }
    (word, size), (other, next_size) = sorted(sizes.items(), key=lambda item: -item[1])[:2]
    if size < STILL_PX:
        return CameraWord("still", word if size > STILL_PX / UNSURE else None, size)
    close = next_size * UNSURE > size and next_size >= STILL_PX
    if word == "push" and not growth.is_uneven:
        return CameraWord("zoom", other if close else "push", size)  # a push before a wall looks like this, too
    if word in ("push", "pull") and growth.is_uneven and growth.lean < LEANS:
        return CameraWord(*(("dolly-zoom", word) if growth.lean < -LEANS else (word, "dolly-zoom")), size)
    if word == "orbit" and orbit_px > STILL_PX and zoom > max(GROWS * orbit_px, STILL_PX / 2):
        return CameraWord("arc", word, size)
    if word in ("left", "right") and zoom > max(SWINGS * size, STILL_PX / 4):
        return CameraWord("arc", word, size)
    return CameraWord(word, other if close else None, size)


def _measure_shake_px(camera: Camera) -> float:
    """Measure pans that turn back at least twice and lead nowhere, px a frame; 0 for all others."""
    pan_P2 = torch.stack([camera.pan_x_px_P, camera.pan_y_px_P], 1)
    path, net = float(pan_P2.norm(dim=1).mean()), float(pan_P2.mean(0).norm())
    most = pan_P2[:, int(pan_P2.abs().sum(0).argmax())]
    way = most[most.abs() > 0.2 * most.abs().max()].sign()
    turns = int((way[1:] != way[:-1]).sum())
    return path if turns >= TURNS and net < ASTRAY * path else 0.0


def _measure_growth(flow: Flow, camera: Camera, place_CHW: Tensor) -> Growth:
    """Measure growth at each place, once the pan is taken away; what is far from the middle tells more."""
    pan = torch.stack([camera.pan_x_px_P.mean(), camera.pan_y_px_P.mean()])[:, None, None]
    trust, square = flow.confidence_PHW.mean(0), place_CHW.square().sum(0)
    (x, y), (right, down) = place_CHW, flow.flow_PCHW.mean(0) - pan
    grown = (right * x + down * y) / square.clamp(min=1.0)
    turned = (down * x - right * y) / square.clamp(min=1.0) - torch.deg2rad(camera.roll_degrees_P).mean()
    weight = trust * square.sqrt()
    share, total = weight / weight.sum().clamp(min=1e-6), trust.sum().clamp(min=1e-6)
    mean, middle = (grown * share).sum(), (place_CHW[1] * share).sum()
    apart, low = grown - mean, y - middle
    spread, height = ((one.square() * share).sum().sqrt().clamp(min=1e-9) for one in (apart, low))
    lean = (apart * low * share).sum() / (spread * height) * mean.sign()
    sums = ((one * weight).sum() / total for one in (grown.clamp(min=0), (-grown).clamp(min=0), turned.abs()))
    return Growth(float(spread / mean.abs().clamp(min=1e-6)), float(lean), *(float(one) for one in sums))


def _opposed_px(flow: Flow, camera: Camera, place_CHW: Tensor) -> float:
    """Measure sideways motion that goes both ways once zoom and roll are taken away, px a frame; 0 where it goes one way."""
    grown = camera.zoom_percent_P.mean() / 100
    turned = torch.deg2rad(camera.roll_degrees_P).mean()
    sideways = flow.flow_PCHW[:, 0].mean(0) - grown * place_CHW[0] + turned * place_CHW[1]
    trust = flow.confidence_PHW.mean(0)
    right, left = (float((one.clamp(min=0) * trust).sum() / trust.sum().clamp(min=1e-6)) for one in (sideways, -sideways))
    return right + left if min(right, left) > OPPOSED * max(right, left) else 0.0
