"""How torn a clip is: hard edges and flat patches in a late frame that the first frame, read along optical flow, does not have.

Needs OpenCV, which only the faces extra brings; a test that uses this skips without it.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

EDGE, NO_EDGE = 14.0, 5.0  # gradients, in grey levels a pixel
FLAT, TEXTURE = 1.5, 2.5  # standard deviations, in grey levels
SMOOTH_PX, LEAST_BAND_PX = 6.0, 16

Frame = NDArray[np.uint8]
Plane = NDArray[np.float32]


def measure_torn(first_HWC: Frame, late_HWC: Frame) -> float:
    """Return the per mille of pixels of a late frame that are torn."""
    torn, looked_at = find_torn(first_HWC, late_HWC)
    return 1000 * float(torn.sum()) / max(int(looked_at.sum()), 1)


def find_torn(first_HWC: Frame, late_HWC: Frame) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which pixels of a late frame are torn, and which were looked at."""
    first, late = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (first_HWC, late_HWC))
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(late, first, None)
    flow = cv2.GaussianBlur(flow, (0, 0), SMOOTH_PX)
    rows, columns = late.shape
    y, x = np.mgrid[:rows, :columns].astype(np.float32)
    from_x, from_y = x + flow[..., 0], y + flow[..., 1]

    def fetch(plane: Plane) -> Plane:
        return cv2.remap(plane, from_x, from_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    edge_nearby = fetch(cv2.dilate(measure_gradient(first_HWC), np.ones((13, 13))))
    texture_around = fetch(cv2.erode(measure_deviation(first), np.ones((21, 21))))
    cut = (measure_gradient(late_HWC) > EDGE) & (edge_nearby < NO_EDGE)
    flat = (measure_deviation(late) < FLAT) & (texture_around > TEXTURE)
    inside = (from_x >= 0) & (from_x <= columns - 1) & (from_y >= 0) & (from_y <= rows - 1)
    looked_at = inside & ~mark_bands(flow, rows, columns)
    return (cut | flat) & looked_at, looked_at


def mark_bands(flow: Plane, rows: int, columns: int) -> NDArray[np.bool_]:
    """Mark the band at each side as wide as what may have entered there."""
    band = np.zeros((rows, columns), dtype=bool)
    wide = max(LEAST_BAND_PX, int(np.percentile(np.abs(flow[..., 0]), 95)))
    high = max(LEAST_BAND_PX, int(np.percentile(np.abs(flow[..., 1]), 95)))
    band[:high], band[-high:], band[:, :wide], band[:, -wide:] = True, True, True, True
    return band


def measure_gradient(frame_HWC: Frame) -> Plane:
    """Return the largest Sobel magnitude of the colours by pixel, over 4."""
    soft = cv2.GaussianBlur(frame_HWC.astype(np.float32), (3, 3), 0)
    across, down = cv2.Sobel(soft, cv2.CV_32F, 1, 0), cv2.Sobel(soft, cv2.CV_32F, 0, 1)
    return np.sqrt(across**2 + down**2).max(axis=2) / 4


def measure_deviation(grey_HW: NDArray[np.uint8]) -> Plane:
    """Return the standard deviation of grey in the 7×7 square around each pixel."""
    grey = grey_HW.astype(np.float64)
    mean, square = cv2.blur(grey, (7, 7)), cv2.blur(grey**2, (7, 7))
    return np.sqrt(np.maximum(square - mean**2, 0)).astype(np.float32)
