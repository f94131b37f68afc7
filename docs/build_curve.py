"""Draw docs/pictures/calibration.svg: what the motion knob of the bundled model means, from the curve that comes with it.

python docs/build_curve.py
"""

from __future__ import annotations

from pathlib import Path

from unstill.artifacts import ModelFiles
from unstill.calibration import Curve, find_curve

PLACE = Path(__file__).parent / "pictures" / "calibration.svg"
WIDE, HIGH, LEFT, BOTTOM, TOP_PX = 720, 360, 60, 50, 7.0  # the last in pixels a frame
STYLE = "font-family: system-ui, sans-serif; font-size: 14px"


def main() -> None:
    """Draw it."""
    curve = find_curve(ModelFiles("pocket", "pocket", "bundled", {}, {}, frames=25, weights_bytes=0))
    PLACE.write_text(draw(curve))
    print(PLACE)


def draw(curve: Curve) -> str:
    """Give the picture as SVG."""

    def at(motion: float, px: float) -> str:
        return f"{LEFT + motion / 255 * (WIDE - LEFT - 20):.1f},{HIGH - BOTTOM - px / TOP_PX * (HIGH - BOTTOM - 20):.1f}"

    band = [at(p.motion, p.high_px) for p in curve.points] + [at(p.motion, p.low_px) for p in reversed(curve.points)]
    line = [at(p.motion, p.median_px) for p in curve.points]
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE} {HIGH}" style="{STYLE}">',
             '<rect width="100%" height="100%" fill="#ffffff"/>']  # fmt: skip
    for px in range(int(TOP_PX) + 1):
        (x, y), (end, _) = at(0, px).split(","), at(255, px).split(",")
        parts.append(f'<line x1="{x}" y1="{y}" x2="{end}" y2="{y}" stroke="#d9dee3"/>')
        parts.append(f'<text x="{LEFT - 10}" y="{float(y) + 5:.1f}" text-anchor="end" fill="#57606a">{px}</text>')
    parts.append(f'<polygon points="{" ".join(band)}" fill="#2563eb" fill-opacity="0.18"/>')
    parts.append(f'<polyline points="{" ".join(line)}" fill="none" stroke="#2563eb" stroke-width="3"/>')
    for p in curve.points:
        x, y = at(p.motion, p.median_px).split(",")
        parts.append(f'<circle cx="{x}" cy="{y}" r="4" fill="#2563eb"/>')
        parts.append(f'<text x="{x}" y="{HIGH - BOTTOM + 20}" text-anchor="middle" fill="#57606a">{p.motion}</text>')
    middle = LEFT + (WIDE - LEFT - 20) / 2
    parts.append(f'<text x="{middle}" y="{HIGH - 8}" text-anchor="middle" fill="#24292f">--motion</text>')
    parts.append(f'<text x="{LEFT + 8}" y="34" fill="#24292f">px a frame at 1024x576: the median of {curve.clips} clips, '
                 "and the middle eight tenths</text></svg>\n")  # fmt: skip
    return "\n".join(parts)


if __name__ == "__main__":
    main()
