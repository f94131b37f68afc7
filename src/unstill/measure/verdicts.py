"""What is wrong with a clip, if anything, and what helps: numbers become words.

    still     hardly anything moves            frozen    frames repeat the one before
    flicker   light steps without order        seams     light steps at equal distances, as chunks make it
    flash     one step of light                fade      light goes one way
    cut       it jumps to another scene
    black     frames show nothing              bands     a border is black, mirrored or smeared
    soft      sharpness is lost                colour    saturation or contrast drift
    torn      edges that the picture has not   filled    detail is gone where all around there is some
    smeared   surfaces stretched threefold     bent      straight lines that do not stay straight
    ghost     a thing that is there twice      camera    it did not go as asked; move: nor did the thing
    jerky     motion comes and goes            strange   the first frame is not the picture

It does not look at pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from unstill.artifacts import Measures, Scar, Verdict
from unstill.measure.motion import STILL_PX

FLICKER_GREYS = 1.0  # clips of moved pixels have 0.2, and 0.6 at most; two levels show on plain skies
FLASH_GREYS = 4.0
FLASH_TIMES = 6.0  # the mean step
SEAM_GREYS = 0.4
FADE_GREYS = 8.0  # over the whole clip
SOFT, DRIFT = 0.5, 0.2  # of the first frame's sharpness; by so much of its saturation or contrast
BAND_PERCENT = 2.0
JERKY = 0.75  # of the mean motion is its spread
LEAST_DB = 18.0  # of the first frame; what SVD's own decoder makes of a picture has 25 to 35
USUAL_FPS = 7.0  # what thresholds a frame are for
SHOWN = 5  # places that are named
ALTERNATES = -0.5
STILL_SHARE = 0.97  # of the frame; a thing that moves alone may fill little of it
SLOW_PX, FAST_PX = 1.5, 4.0  # words for motion, a frame that a model makes

LESS = "less motion, or another camera"
SCARS = {  # from which size on each kind is a fault, what is said, and what helps; sizes are those of measure/scars.py
    "torn": (1.5, "edges that the picture does not have, torn or uncovered as something passes,", LESS),
    "filled": (0.25, "detail is gone", LESS),
    "smeared": (1.0, "it is smeared, stretched more than threefold", "less motion, or --camera zoom, which stretches nothing"),
    "bent": (15.0, "straight lines bend", "less motion, or --camera zoom, which bends nothing"),
    "ghost": (3.5, "a thing is there twice", "another seed, or less motion; a shorter arrow where one moved it"),
}
LOOKED_FOR = (
    "tears, fills, smears, bent lines, doubles, flicker, seams, cuts, repeated and black frames, "
    "loss of sharpness and colour, bands at the borders"
)
# Words that flow alone may take for each other.
ALIKE = {"push": {"zoom", "arc"}, "zoom": {"push"}, "orbit": {"arc"}, "arc": {"orbit"}}
MOVED, LEAST_MOVE = 0.3, 0.02  # of an arrow must be gone; shorter arrows than this share of the frame are not judged

WAYS = {
    "push": "a push in",
    "pull": "a pull back",
    "left": "a pan to the left",
    "right": "a pan to the right",
    "up": "a tilt upward",
    "down": "a tilt downward",
    "orbit": "a walk around the scene",
    "arc": "an arc about the subject",
    "roll": "a roll of the camera",
    "zoom": "a zoom in",
    "dolly-zoom": "a dolly zoom",
    "handheld": "a camera held by hand",
}


def judge(found: Measures, play_fps: float | None = None) -> tuple[Verdict, ...]:
    """Say what is wrong, the worst first; where frames come faster than the model makes them, each may move less."""
    scars, drift = found.scars, tuple(_judge_drift(found))
    if found.black_frames:
        scars = ()  # a black frame shows nothing that the first one explains
    elif any(verdict.name == "colour" for verdict in drift):
        scars = tuple(scar for scar in scars if scar.kind != "bent")  # edges that fade leave their lines
    parts = (_judge_frames(found), judge_scars(scars), _judge_motion(found, play_fps or USUAL_FPS))
    return tuple(verdict for part in (*parts, _judge_light(found), drift) for verdict in part)


def judge_asked(found: Measures, camera: str, arrows: Sequence[tuple[float, float]] = ()) -> tuple[Verdict, ...]:
    """Say whether the clip did not do what was asked: the camera's word or words, and how far each arrow goes."""
    said = []
    words = {part.split()[0] for part in camera.split(",") if part.split()} - {"auto"}
    alike = words.union(*(ALIKE.get(word, set()) for word in words))
    is_done = found.camera in alike or (found.camera_or in alike and found.camera != "still")
    is_told_still = is_still(found) and words != {"still"}  # has a verdict of its own
    if words and not (is_done or is_told_still or arrows or found.cuts):
        what = f"the camera was asked for {_name_way(camera)}, and the clip shows {_name_way(found.camera)}"
        said.append(Verdict("camera", what, "another seed, more motion, or another picture: this one shows little depth"))
    for (x, y), (gone_x, gone_y) in zip(arrows, found.moved, strict=False):
        if max(abs(x), abs(y)) > LEAST_MOVE and x * gone_x + y * gone_y < MOVED * (x * x + y * y):
            what = f"an arrow asked for {x:g},{y:g}, and what is there went {gone_x:.2f},{gone_y:.2f}"
            said.append(Verdict("move", what, "let the arrow start in the middle of the thing, or ask for less"))
    return tuple(said)


def _name_way(word: str) -> str:
    return "a still camera" if word == "still" else WAYS.get(word, word)


def judge_scars(scars: Sequence[Scar]) -> tuple[Verdict, ...]:
    """Return a verdict for each fault that is large enough, with its frame and its place."""
    found = []
    for scar in scars:
        least, what, cure = SCARS[scar.kind]
        if scar.size > least:
            found.append(Verdict(scar.kind, f"{what} {_place(scar)} of frame {scar.frame}", cure, scar.frame, scar.box))
    return tuple(found)


def _place(scar: Scar) -> str:
    """Name the ninth of the frame in which the middle of a box lies."""
    x, y = (scar.box[0] + scar.box[2]) / 2, (scar.box[1] + scar.box[3]) / 2
    across, down = (("left", "", "right")[min(2, int(3 * x))], ("top", "", "bottom")[min(2, int(3 * y))])
    return f"at the {' '.join(filter(None, (down, across))) or 'middle'}"


def _judge_frames(found: Measures) -> Iterator[Verdict]:
    if found.black_frames:
        what = "1 frame is black" if found.black_frames == 1 else f"{found.black_frames} frames are black"
        yield Verdict("black", what, "make it again with --dtype fp32 or bf16")
    if found.repeats:
        what = "1 frame repeats" if found.repeats == 1 else f"{found.repeats} frames repeat"
        yield Verdict("frozen", f"{what} the one before", "make it again; frames were lost on the way")
    if found.cuts:
        at = ", ".join(str(number) for number in found.cuts[:SHOWN]) + (", …" if len(found.cuts) > SHOWN else "")
        yield Verdict(
            "cut", f"it jumps to something else at frame {at}", "another seed; of a clip put together, report each part"
        )


def _judge_motion(found: Measures, play_fps: float) -> Iterator[Verdict]:
    if is_still(found, play_fps):
        yield Verdict("still", f"it stands still: {found.motion_px:.2f} px/frame", "--fix-still, or --want-motion natural")
    elif found.motion_spread_px > JERKY * found.motion_px and not found.repeats:
        what = f"motion comes and goes: {found.motion_px:.1f} ± {found.motion_spread_px:.1f} px/frame"
        yield Verdict("jerky", what, "another seed, or less motion")


def _judge_light(found: Measures) -> Iterator[Verdict]:
    if found.black_frames:
        return
    light = found.flicker_greys
    if found.seam_every and found.seam_greys > SEAM_GREYS:
        what = f"light or detail steps by {found.seam_greys:.1f} grey levels every {found.seam_every} frames"
        yield Verdict("seams", what, "it was decoded in chunks that do not know each other: unstill decodes without seams")
    elif found.flash_greys > max(FLASH_GREYS, FLASH_TIMES * light):
        yield Verdict("flash", f"light steps by {found.flash_greys:.1f} grey levels once", "another seed")
    elif light > FLICKER_GREYS or found.local_flicker_greys > 2 * FLICKER_GREYS:
        yield _explain_flicker(found)
    total = found.fade_greys * len(found.curves.get("motion_px", ()))
    whole = found.curves.get("light_greys", (0.0,))
    # What loses contrast fades where it is bright and grows where it is dark: the frame as a whole must go along.
    is_whole = abs(whole[-1] - whole[0]) > FADE_GREYS / 2 and (whole[-1] > whole[0]) == (total > 0)
    if abs(total) > FADE_GREYS and abs(found.fade_greys) > light and is_whole:
        what = f"it gets {'brighter' if total > 0 else 'darker'} by {abs(total):.0f} grey levels"
        yield Verdict("fade", what, "less noise or guidance, or fewer frames")


def _explain_flicker(found: Measures) -> Verdict:
    """Say which flicker it is: light that alternates, light that jumps, or places that do."""
    if found.flicker_greys <= FLICKER_GREYS:
        what = f"places flicker by {found.local_flicker_greys:.1f} grey levels a frame"
        return Verdict("flicker", what, "less motion, less noise (0.02), or more steps (25 and more)")
    if found.alternates < ALTERNATES:
        what = f"light goes up and down by {found.flicker_greys:.1f} grey levels with every frame"
        return Verdict("flicker", what, "another seed, or --dtype fp32 to rule out arithmetic")
    what = f"light flickers by {found.flicker_greys:.1f} grey levels a frame"
    return Verdict("flicker", what, "more steps (25 and more), less noise (0.02), or another seed")


def _judge_drift(found: Measures) -> Iterator[Verdict]:
    if found.cuts:
        return  # the last frame is of another scene than the first
    has_bands = found.band_percent > BAND_PERCENT and not found.black_frames
    if has_bands:
        yield Verdict("bands", f"a band of {found.band_percent:.0f} % grows at a border", "less motion, or another size")
    # What loses contrast has its edges still, and what is pushed in on shows each of them over more pixels.
    grown = max(1.0, 1 + found.zoom_percent / 100) ** len(found.curves.get("motion_px", ()))
    sharpness = found.sharpness / max(found.contrast, 0.1) ** 2 * grown**4
    if sharpness < SOFT and not found.black_frames:
        what = f"it gets soft: the last frame has {sharpness:.0%} of the first one's sharpness"
        yield Verdict("soft", what, "less motion, less noise, more guidance at the last frame")
    drifts = {"colour": found.saturation, "contrast": found.contrast}
    said = [f"{name} {'grows' if share > 1 else 'falls'} to {share:.0%}" for name, share in drifts.items() if _drifts(share)]
    if said and not (found.black_frames or has_bands):  # these change both
        yield Verdict("colour", " and ".join(said), "less guidance at the last frame where it grows, more where it falls")
    if found.fidelity_db is not None and found.fidelity_db < LEAST_DB:
        what = f"the first frame is not the picture: {found.fidelity_db:.0f} dB"
        yield Verdict("strange", what, "less noise (0.02), or more steps")


def _drifts(share: float) -> bool:
    return abs(share - 1) > DRIFT


def is_still(found: Measures, play_fps: float | None = None) -> bool:
    """Say that nothing moves: little on the whole, and no part of the frame more than that."""
    return found.motion_px * count_times(play_fps) < STILL_PX and found.static_share > STILL_SHARE


def count_times(play_fps: float | None) -> float:
    """Say how many frames there are to one that a model makes; each of them moves less by so much."""
    return max(1.0, (play_fps or USUAL_FPS) / USUAL_FPS)


def describe_motion(found: Measures, asked: str = "", play_fps: float | None = None) -> str:
    """Say in one sentence how the clip moves; `asked` is what was asked for."""
    times = count_times(play_fps)
    beside = f" ({asked})" if asked else ""
    amount = f"{found.motion_px:.1f} px/frame{beside}"
    if is_still(found, play_fps):
        return f"stands still: {found.motion_px:.2f} px/frame{beside}"
    if found.camera == "still" and found.camera_px > max(found.objects_px, STILL_PX / times):
        return f"drifts a little, no one way: {amount}"
    if found.camera == "still" or found.objects_px > found.camera_px:
        before = "a still camera" if found.camera == "still" else WAYS[found.camera]
        return f"things move before {before}, in {1 - found.static_share:.0%} of the frame: {amount}"
    pace_px = found.motion_px * times
    pace = "slow " if pace_px < SLOW_PX else "fast " if pace_px > FAST_PX else ""
    way = WAYS[found.camera].replace("a ", f"a {pace}", 1)
    other = f", or {WAYS[found.camera_or]}" if found.camera_or in WAYS else ""
    return f"moves like {way}{other}: {amount}"
