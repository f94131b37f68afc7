"""What a picture makes hard, said before anything runs, with what was measured.

It does not look at pixels.
"""

from __future__ import annotations

from unstill.measure.picture import Looks

SMALL_FACE_PX = 90  # a face of 90 pixels has 11 cells of latents; what is smaller has too few to be kept
SMALL_LETTER_PX = 40
BUSY = 0.6  # of the area; a wood by a stream has 0.86, a pagoda among trees 0.53
SOFT = 0.24  # of detail: below what any picture has that was enlarged twice
ENLARGED = 1.5  # times: from here on it shows
CROPPED = 0.6  # of the picture's area that is left


def list_risks(found: Looks, kept: float, enlarged: float, *, invents: bool) -> list[str]:
    """Say what to expect, one line each; `invents` is a model that paints its frames and does not move pixels."""
    said = []
    if invents and found.smallest_face_px is not None and found.smallest_face_px < SMALL_FACE_PX:
        many = "a face" if found.faces == 1 else f"{found.faces} faces"
        what = f"{many}, the smallest {found.smallest_face_px} px high at 1024x576: small faces melt"
        said.append(f"{what}; crop closer with --focus and --size, or less motion")
    if invents and found.smallest_letter_px is not None and found.smallest_letter_px < SMALL_LETTER_PX:
        many = "a line" if found.text_lines == 1 else f"{found.text_lines} lines"
        what = f"{many} of text, letters of {found.smallest_letter_px} px at 1024x576: small letters melt"
        said.append(f"{what}; less motion holds them longer")
    if invents and found.busyness > BUSY:
        what = f"fine detail fills {found.busyness:.0%} of the picture: such pictures tend to stand still"
        said.append(f"{what}; --fix-still tries again if so")
    if enlarged > ENLARGED:
        said.append(f"the picture is enlarged {enlarged:.1f} times: expect soft frames; a smaller --size shows as much")
    elif found.detail < SOFT:
        what = f"the picture is soft (detail {found.detail:.2f}, sharp ones have 0.5)"
        said.append(f"{what}: it was enlarged before, or is blurred")
    if kept < CROPPED:
        said.append(f"the crop keeps {kept:.0%} of the picture: --focus moves it, --fit pad or blur keeps all")
    return said
