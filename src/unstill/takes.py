"""More clips than one, to give the one that was wanted: drafts until it moves as wanted, takes that are ranked, stills woken.

It decides what is tried next. It does not know how a clip is made.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from unstill.artifacts import Clip, Measures, Plan, Report, Try, Verdict
from unstill.calibration import Curve, find_curve
from unstill.errors import RequestError
from unstill.measure.motion import STILL_PX
from unstill.measure.verdicts import is_still
from unstill.request import BUNDLED, DEFAULTS, Request
from unstill.values import Size

Make = Callable[[Request, str], Clip]  # what to make, and what it is called meanwhile

CLOSE = 0.05  # of what is wanted: a draft that comes so near needs no other
STEEPEST = 3.0  # how motion may grow with the knob, as a power; two drafts that say otherwise were noise
TRIED = "another picture, or another model"  # what is left for a still that was not woken
PLAIN_GREYS = 1.0  # of 255: less contrast is one colour
LEAST_PX = 0.05  # below this motion is noise, and no ratio of it tells anything
STRONGEST = 255
SEEDS = 2**63
LEAST_AREA = 0.75  # of what a draft should have, and as much more: within it the shape decides
WAYS_TO_WAKE = ((180, 0.1), (200, 0.1), (255, 0.1))  # motion and noise, as common advice says; each with another seed
WANTED = "wanted_px"  # in a recipe: the motion that was looked for
SEARCHES = ("want_motion", "takes", "fix_still")
SPOILING = {"still", "black", "frozen", "strange"}  # a clip with another fault is still a clip


@dataclass(frozen=True)
class Draft:
    """How a clip is looked at before it is made: cheaply, but so that it moves as the clip will."""

    area: Size
    multiple: int  # of pixels, for each side
    most_steps: int | None  # None: as many as the clip has
    most: int  # drafts, so that all of them cost less than two clips


DRAFTS = {
    # Full steps at a seventh of the area take 0.57 of a clip's time and move within 4 % of it; half the steps within 45 %.
    BUNDLED: Draft(Size(384, 216), 8, None, 3),
    # Ten of 25 steps on a quarter of the area are a tenth of a clip's work.
    "svd": Draft(Size(512, 288), 64, 10, 8),
}


def is_asked(request: Request) -> bool:
    """Say whether more than one clip may have to be made."""
    return any(getattr(request, name) != DEFAULTS[name] for name in SEARCHES)


def choose(request: Request, plan: Plan, make: Make) -> Clip:
    """Make what is asked for, and give the best; what else was made comes with it."""
    search = Search(request, plan, make)
    single = request.replace(**{name: DEFAULTS[name] for name in SEARCHES}, seed=plan.seed, measure=True)
    if request.want_motion is not None:
        single = search.aim(single, request.want_motion)
    clips = [search.take(reseed(single, number), number, request.takes) for number in range(request.takes)]
    if request.fix_still and all(is_still(measures_of(clip)) and shows_something(clip) for clip in clips):
        clips += search.wake(single)
    goal_px = find_goal(request, plan)
    clips.sort(key=lambda clip: rank(clip, goal_px))
    report = clips[0].report
    if wants_still(request.want_motion):
        report = change_still(report, None)
    elif request.fix_still:
        report = change_still(report, TRIED)
    others_s = sum(one.took_s for one in search.tried) - sum(report.stages_s.values())
    stages_s = {"search": round(max(0.0, others_s), 3), **report.stages_s} if len(search.tried) > 1 else report.stages_s
    said = (*report.warnings, *search.explain(clips[0]))
    report = replace(report, tried=tuple(search.tried), stages_s=stages_s, warnings=said)
    recipe = clips[0].recipe if request.want_motion is None else {**clips[0].recipe, WANTED: request.want_motion}
    return replace(clips[0], report=report, recipe=recipe, others=tuple(clips[1:]) if request.takes > 1 else ())


def refuse_confusion(request: Request) -> None:
    """Refuse searches that contradict each other, or go without what they need."""
    problems = []
    if wants_still(request.want_motion) and request.fix_still:
        problems.append("fix_still wakes what want_motion wants still: leave one of them out")
    if is_asked(request) and not request.measure:
        names = ", ".join(name for name in SEARCHES if getattr(request, name) != DEFAULTS[name])
        problems.append(f"measure cannot be off with {names}: clips are chosen by what is measured")
    if problems:
        raise RequestError(problems)


def describe_search(request: Request, plan: Plan) -> str:
    """Say which clips will be made before one is given."""
    parts = []
    if request.want_motion is not None:
        draft = DRAFTS.get(plan.model.family, DRAFTS["svd"])
        drafts = f"up to {draft.most} drafts of {shrink(plan.size, draft)}"
        parts.append(f"{drafts}, until one moves {request.want_motion:g} px/frame; motion is what they find")
    if request.takes > 1:
        parts.append(f"{request.takes} clips, seeds {plan.seed} to {(plan.seed + request.takes - 1) % SEEDS}, the best first")
    if request.fix_still:
        ways = ", ".join(str(motion) for motion, _ in WAYS_TO_WAKE)
        parts.append(f"if it stands still, again with motion {ways} and noise {WAYS_TO_WAKE[0][1]} until it moves")
    return "; ".join(parts)


def begin(request: Request, plan: Plan) -> int:
    """Say where a search for motion begins: at the setting that is asked for, else where the model's curve says."""
    assert request.want_motion is not None
    return find_curve(plan.model).find_motion(request.want_motion) if request.motion is None else request.motion


def find_goal(request: Request, plan: Plan) -> float | None:
    """Say how much takes should move: as is wanted, else as the model usually does at this setting, where that was measured."""
    curve = find_curve(plan.model)
    if request.want_motion is not None or not curve.clips or plan.request.motion is None:
        return request.want_motion
    usual_px = curve.find_px(plan.request.motion)
    return None if usual_px < STILL_PX else usual_px  # nobody who wants a still says so by a small setting


def shows_something(clip: Clip) -> bool:
    """Say whether there is anything in a clip that could be seen to move."""
    return float(clip.frames[0].std((0, 1)).max()) > PLAIN_GREYS


def wants_still(wanted_px: float | None) -> bool:
    """Say whether the clip is meant to stand still."""
    return wanted_px is not None and wanted_px < STILL_PX


def change_still(report: Report, cure: str | None) -> Report:
    """Let a clip that is meant to stand still do so without a word; to one that nothing woke, give the advice that is left."""
    kept, said = list[Verdict](), list(report.warnings)
    for verdict in report.verdicts:
        text = f"{verdict.text}: {verdict.cure}"
        if verdict.name != "still":
            kept.append(verdict)
            continue
        said = [one for one in said if one != text]
        if cure is not None:
            kept.append(replace(verdict, cure=cure))
            said.append(f"{verdict.text}: {cure}")
    return replace(report, verdicts=tuple(kept), warnings=tuple(said))


def reseed(request: Request, number: int) -> Request:
    """Take the seed that comes so many after."""
    return request.replace(seed=((request.seed or 0) + number) % SEEDS)


class Search:
    """What was tried, and what is tried next."""

    def __init__(self, request: Request, plan: Plan, make: Make) -> None:
        self.request, self.plan, self._make = request, plan, make
        self.tried: list[Try] = []

    def aim(self, single: Request, wanted_px: float) -> Request:
        """Find the motion that gives so many pixels a frame, by drafts."""
        draft, curve = DRAFTS.get(self.plan.model.family, DRAFTS["svd"]), find_curve(self.plan.model)
        close_px = STILL_PX if wants_still(wanted_px) else CLOSE * wanted_px
        motion, known, nearest = begin(self.request, self.plan), dict[int, float](), (math.inf, single)
        for number in range(1, draft.most + 1):
            looked_at = single.replace(motion=motion)
            known[motion] = self._draft(looked_at, draft, f"draft {number}")
            nearest = min(nearest, (abs(known[motion] - wanted_px), looked_at), key=lambda one: one[0])
            if nearest[0] <= close_px:
                return nearest[1]
            motion = correct(known, wanted_px, curve)
            goes_on = self.request.seed is not None  # else another seed may move more, and costs no more than another setting
            if motion in known and goes_on and known[motion] < wanted_px:
                motion = STRONGEST
            if motion not in known and (goes_on or motion < STRONGEST or len(known) < 2):
                continue
            if goes_on or number == draft.most:
                return nearest[1]
            single, known = reseed(single, 1), {}  # this seed goes no further: another may
        # What the last draft taught is better than any of them, if its seed came nearest, or went far enough.
        is_better = nearest[1].seed == single.seed or max(known.values()) >= wanted_px
        return single.replace(motion=motion) if is_better else nearest[1]

    def _draft(self, request: Request, draft: Draft, name: str) -> float:
        steps = min(self.plan.steps, draft.most_steps or self.plan.steps)
        small = request.replace(size=shrink(self.plan.size, draft), steps=steps)
        return measures_of(self._try(small, "draft", name)).motion_px

    def take(self, request: Request, number: int, takes: int) -> Clip:
        """Make one clip for keeps."""
        return self._try(request, "take", f"take {number + 1} of {takes}" if takes > 1 else "")

    def wake(self, single: Request) -> list[Clip]:
        """Make it again with more motion and noise until it moves."""
        made = []
        for number, (motion, noise) in enumerate(WAYS_TO_WAKE, 1):
            most = max(motion, self.plan.request.motion or 0)
            stronger = reseed(single, number).replace(motion=most, noise=max(noise, self.plan.request.noise or 0))
            made.append(self._try(stronger, "waking", f"waking {number} of {len(WAYS_TO_WAKE)}"))
            if not is_still(measures_of(made[-1])):
                break
        return made

    def _try(self, request: Request, kind: str, name: str) -> Clip:
        start = time.perf_counter()
        clip = self._make(request, name)
        found, r = measures_of(clip), clip.request
        faults = tuple(verdict.name for verdict in clip.report.verdicts)
        assert r.motion is not None and r.noise is not None and r.seed is not None
        took_s = round(time.perf_counter() - start, 3)
        self.tried.append(Try(kind, r.motion, r.noise, r.seed, found.motion_px, faults, took_s))
        return clip

    def explain(self, best: Clip) -> Iterator[str]:
        """Say what a search could not reach, and what waking a still changed."""
        found, wanted = measures_of(best), self.request.want_motion
        if wanted is not None and abs(found.motion_px - wanted) > 0.15 * max(wanted, 1.0):
            nearest = f"{found.motion_px:.1f} is what came nearest"
            yield f"{wanted:g} px/frame was wanted, and {nearest}: another seed moves otherwise"
        if any(one.kind == "waking" for one in self.tried):
            yield self._explain_waking(best)
        elif self.request.fix_still and is_still(found):
            yield "it was not made again: the picture is of one colour, and nothing in it could be seen to move"

    def _explain_waking(self, best: Clip) -> str:
        """Say what waking a still changed, if anything."""
        before, now_px = next(one for one in self.tried if one.kind == "take"), measures_of(best).motion_px
        if is_still(measures_of(best)):
            ways = f"motion up to {max(one.motion for one in self.tried)}, noise {max(one.noise for one in self.tried):g}"
            return f"nothing woke the clip: {now_px:.2f} px/frame at most, with {ways}. Another picture, or another model"
        change = f"{before.motion_px:.2f} px/frame with motion {before.motion}, now {now_px:.2f}"
        return f"the clip stood still: {change} with motion {best.request.motion}, noise {best.request.noise:g}"


def correct(known: dict[int, float], wanted_px: float, curve: Curve) -> int:
    """Say which motion to try next, given what some have given."""
    near = sorted(known, key=lambda motion: abs(math.log(max(known[motion], LEAST_PX) / max(wanted_px, LEAST_PX))))
    first, first_px = near[0], max(known[near[0]], LEAST_PX)
    if len(near) > 1 and near[1] > 0 < first:
        grown = math.log(max(known[near[1]], LEAST_PX) / first_px)
        power = grown / math.log(near[1] / first)
        if 1 / STEEPEST <= power <= STEEPEST:
            return min(STRONGEST, max(0, round(float(first * (max(wanted_px, LEAST_PX) / first_px) ** (1 / power)))))
    # One draft tells how this picture and seed differ from the usual: by a factor, all along the curve.
    return curve.find_motion(wanted_px * curve.find_px(first) / first_px)


def shrink(size: Size, draft: Draft) -> Size:
    """Give a draft's size, of the clip's shape as nearly as may be: another shape is cut differently, and moves otherwise."""
    scale = (draft.area.area_px / size.area_px) ** 0.5
    if scale >= 1:
        return size
    found = {}
    for height in range(64, size.height + 1, draft.multiple):
        width = int(height * size.width / size.height / draft.multiple + 0.5) * draft.multiple
        area = width * height / draft.area.area_px
        if width >= 64 and LEAST_AREA <= area <= 1 / LEAST_AREA:
            found[Size(width, height)] = (round(abs(width / height * size.height / size.width - 1), 3), abs(area - 1))
    return min(found, key=lambda one: found[one]) if found else size


def rank(clip: Clip, wanted_px: float | None) -> tuple[int, int, float, float]:
    """Give what clips are ordered by, the best first: no fault that spoils, few others, near to what was wanted, steady."""
    found = measures_of(clip)
    far = 0.0 if wanted_px is None else abs(found.motion_px - wanted_px)
    unsteady = found.flicker_greys + found.local_flicker_greys + 5 * max(0.0, 1 - found.sharpness)
    forgiven = {"still"} if wants_still(wanted_px) else set()
    faults = [verdict.name for verdict in clip.report.verdicts if verdict.name not in forgiven]
    return len(SPOILING & set(faults)), len(faults), far, unsteady


def measures_of(clip: Clip) -> Measures:
    """Give what was measured; a search never goes without."""
    if clip.report.measures is None:
        raise RequestError("a search takes measures", hint="leave measure on")
    return clip.report.measures
