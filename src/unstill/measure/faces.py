"""Faces in a picture, where OpenCV is installed. The only user of OpenCV; it does not know what faces are feared for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CASCADE = "haarcascade_frontalface_alt2.xml"  # of three, the one that finds most with no false alarm in 16 pictures
GROWTH, NEIGHBOURS, LEAST_PX = 1.1, 5, 20  # with 3 neighbours it finds 6 % more small faces, and one in a drawn street
INSTALL = "pip install 'opencv-python-headless<5'"


def find_faces(light_HW: NDArray[np.uint8]) -> list[tuple[int, int, int, int]] | None:
    """Find faces seen from the front: left, top, width, height; None where nothing can look for them."""
    cascade = _load()
    if cascade is None:
        return None
    found = cascade.detectMultiScale(light_HW, scaleFactor=GROWTH, minNeighbors=NEIGHBOURS, minSize=(LEAST_PX, LEAST_PX))
    return [tuple(int(number) for number in box) for box in found]  # type: ignore[misc]


def can_look() -> bool:
    """Say whether faces can be looked for."""
    return _load() is not None


def _load() -> Any:
    try:
        import cv2
    except ImportError:
        return None
    data = getattr(getattr(cv2, "data", None), "haarcascades", None)
    if data is None or not hasattr(cv2, "CascadeClassifier"):  # OpenCV 5 has neither
        return None
    path = Path(data) / CASCADE
    return cv2.CascadeClassifier(str(path)) if path.exists() else None
