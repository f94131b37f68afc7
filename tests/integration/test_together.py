"""together.py: clips of shared passes are those that are made alone, and what befalls one is no other's trouble."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from unstill import generate as verbs
from unstill.batch.items import Expander, Wish
from unstill.batch.maker import Maker
from unstill.batch.places import open_place
from unstill.batch.sources import PictureRow
from unstill.errors import Cancelled
from unstill.generate import Making, generate
from unstill.models import Keep
from unstill.request import Request
from unstill.runs import Runs
from unstill.together import gather, share

KNOBS = {"size": "64x64", "frames": 3, "steps": 3, "device": "cpu", "look": False, "measure": False}


@pytest.fixture
def pictures(tmp_path, photo):
    """Two pictures of one shape."""
    places = [tmp_path / "one.png", tmp_path / "two.png"]
    Image.open(photo).resize((96, 96)).save(places[0])
    Image.open(photo).resize((96, 96)).rotate(180).save(places[1])
    return [str(place) for place in places]


@pytest.fixture(autouse=True)
def roomy(monkeypatch):
    """Plans of this machine, which has no GPU, let four clips share a pass."""
    plain = verbs.make_plan
    monkeypatch.setattr(verbs, "make_plan", lambda *told: replace(plain(*told), together=4))


DEAR = pytest.mark.thorough(
    "a step of pocket takes half a second; the first test here runs it, the others are of the same code"
)


@pytest.fixture(params=[pytest.param("pocket", marks=DEAR), "svd"])
def ask(request, miniature):
    """Make requests for the bundled model, and for SVD's networks in small."""
    told = {"model": "pocket", "guidance": "1:1"} if request.param == "pocket" else {"model": str(miniature), "guidance": "1:3"}
    return lambda seed, **knobs: Request.from_mapping({**KNOBS, **told, "seed": seed, **knobs})


def count_calls(engine, monkeypatch, hook=lambda calls: None):
    """Note how many clips each pass of an engine's network has."""
    name, branches = ("_run", 1) if hasattr(engine, "_run") else ("_run_unet", 2)
    run, calls = getattr(engine, name), []

    def note(x, *told):
        calls.append(len(x) // branches)
        hook(calls)
        return run(x, *told)

    monkeypatch.setattr(engine, name, note)
    return calls


@pytest.mark.parametrize("ask", ["pocket", "svd"], indirect=True)
def test_clips_that_share_passes_are_those_made_alone(ask, pictures, monkeypatch):
    load = Keep()
    scenes = [(ask(7), pictures[0]), (ask(8), pictures[1]), (ask(9), pictures[0])]
    alone = [generate(request, picture, load=load) for request, picture in scenes]
    makings = [Making(request, picture) for request, picture in scenes]
    calls = count_calls(load(makings[0].plan), monkeypatch)
    [group] = gather(makings)
    share(group, load)
    assert calls == [3, 3, 3]
    made = [making.make(load) for making in makings]
    assert calls == [3, 3, 3], "nothing is sampled twice"
    for one, two in zip(alone, made, strict=True):
        off = np.abs(one.frames.astype(int) - two.frames)
        assert off.max() <= 1 and (off > 0).mean() < 0.02  # a value that lies between two levels may fall to either side
        assert two.report.together == 3 and two.recipe["knobs"] == one.recipe["knobs"]
        assert two.report.stages_s["sample"] > 0
    assert not np.array_equal(made[0].frames, made[2].frames)


def test_only_clips_of_one_kind_share(ask, pictures, tmp_path):
    Image.new("RGB", (96, 48)).save(tmp_path / "wide.png")
    same = [Making(ask(seed), picture) for seed, picture in [(1, pictures[0]), (2, pictures[1]), (3, pictures[0])]]
    other = [Making(ask(1, motion=30), pictures[0]), Making(ask(1, steps=2), pictures[0])]
    wide = Making(ask(1, size="128x64"), str(tmp_path / "wide.png"))
    assert gather([same[0], other[0], same[1], wide, other[1], same[2]]) == [same, [other[0]], [wide], [other[1]]]
    assert [len(group) for group in gather([Making(ask(seed), pictures[0]) for seed in range(6)])] == [4, 2]


def test_where_memory_runs_out_clips_go_on_alone(ask, pictures, monkeypatch):
    load = Keep()
    makings = [Making(ask(seed), picture) for seed, picture in zip((7, 8), pictures, strict=True)]

    def refuse(calls):
        if calls == [2, 2]:
            raise MemoryError("DefaultCPUAllocator: can't allocate memory")

    calls = count_calls(load(makings[0].plan), monkeypatch, refuse)
    share(makings, load)
    made = [making.make(load) for making in makings]
    assert calls == [2, 2, 1, 1, 1, 1], "the step that was done together is not done again"
    assert all("they went on one by one" in clip.report.warnings[-1] for clip in made)


def test_who_stops_a_shared_pass_finds_all_of_its_clips_where_they_were(ask, pictures, tmp_path, monkeypatch):
    load, runs = Keep(), Runs(tmp_path / "runs")

    def stop(progress):
        if progress.stage == "sample" and progress.done == 2:
            raise Cancelled("Stopped")

    makings = [Making(ask(seed), picture, watch=stop, runs=runs) for seed, picture in zip((7, 8), pictures, strict=True)]
    with pytest.raises(Cancelled):
        share(makings, load)
    for making in makings:
        making.leave()
    assert [kept.done for kept in runs] == [2, 2]
    makings = [Making(ask(seed), picture, runs=runs) for seed, picture in zip((7, 8), pictures, strict=True)]
    calls = count_calls(load(makings[0].plan), monkeypatch)
    [group] = gather(makings)
    share(group, load)
    assert calls == [2]
    for making in makings:
        making.make(load).save(tmp_path / f"{making.plan.seed}.gif")
    assert list(runs) == []


def test_of_clips_ordered_together_each_comes_to_its_own_end(ask, pictures, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"GIF89a")
    maker = Maker(open_place(str(tmp_path / "clips")), "cpu")
    given = {name: value for name, value in ask(1).to_dict().items() if name not in ("seed", "device")}
    expander = Expander(Wish(given))
    rows = [PictureRow(picture, f"{place}") for place, picture in enumerate([*pictures, str(tmp_path / "bad.png")])]
    rows.append(PictureRow(pictures[0], "3", {"seed": 9}))
    list(expander.expand(rows[0], 1))
    models = {choice: maker.describe(request.to_dict()) for choice, request in expander.choices.items()}
    assert {model["together"] for model in models.values()} == {4}
    orders = [item.to_order() for number, row in enumerate(rows, 1) for item in expander.expand(row, number, models)]
    made = dict(maker.make(orders))
    assert {number: outcome["error"] and outcome["error"]["code"] for number, outcome in made.items()} == {
        1: None, 2: None, 3: "bad_picture", 4: None
    }  # fmt: skip
    assert [made[number]["together"] for number in (1, 2, 4)] == [3, 3, 3]
    twins = [{**orders[0], "number": number, "output": f"{number}.mp4", "settings": "another"} for number in (5, 6)]
    both = dict(maker.make(twins))
    assert [both[number]["found"] for number in (5, 6)] == [False, True], "one clip under two names is made once"
    assert both[5]["sha256"] == both[6]["sha256"]
    again = dict(maker.make(orders))
    assert [again[number].get("found") for number in (1, 2, 3, 4)] == [True, True, None, True]
    assert again[1]["sha256"] == made[1]["sha256"]
    assert all(made[number]["seconds"] > 0 for number in made)


def test_a_clip_that_is_made_holds_nothing_that_others_may_have_taken_since(ask, pictures, tmp_path):
    """Its run is free as soon as it is published, while those that were ordered with it are still made."""
    place = open_place(str(tmp_path / "clips"))
    given = {name: value for name, value in ask(1).to_dict().items() if name not in ("seed", "device")}
    expander = Expander(Wish({**given, "seed": 7}))
    orders = [
        item.to_order()
        for number, picture in enumerate(pictures, 1)
        for item in expander.expand(PictureRow(picture, str(number)), number)
    ]
    made = Maker(place, "cpu").make(orders)
    assert next(made)[1]["error"] is None
    other = Making(ask(7), pictures[0], runs=Runs(place.runs))
    list(made)
    assert other.run.folder.exists()
    other.leave()
