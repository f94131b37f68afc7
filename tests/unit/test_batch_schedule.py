"""batch/schedule.py: every item comes to its end exactly once, whatever workers do."""

import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unstill.batch.items import Item
from unstill.batch.schedule import MOST_ALIKE, MOST_ATTEMPTS, Dispatcher, News, drive


def make_items(count, together=1, kinds=1):
    for number in range(1, count + 1):
        knobs = {"motion": number * kinds // (count + 1)}
        yield Item(number, f"{number}.png", f"{number}.mp4", knobs, number, "", together=together)


class Fakes:
    """Workers that do what dice say: make, fail, die and come back, hold on to what they have."""

    def __init__(self, count, depth=1, dice=None, deaths=0.0, failures=0.0):
        self.depth, self.dice, self.deaths, self.failures = depth, dice or random.Random(0), deaths, failures
        self.has = {f"w{number}": [] for number in range(count)}  # orders, as lists of items
        self.born = [News("ready", name) for name in self.has]
        self.most, self.made, self.leaving, self.orders = 0, Counter(), False, []

    def submit(self, worker, items):
        assert len(self.has[worker]) < self.depth
        self.has[worker].append(list(items))
        self.orders.append([item.number for item in items])
        self.most = max(self.most, sum(map(len, self.has.values())))

    def take(self, worker):
        item = self.has[worker][0].pop(0)
        if not self.has[worker][0]:
            self.has[worker].pop(0)
        return item

    def wait(self, most_s):
        if self.born:
            born, self.born = self.born, []
            return born
        worker = self.dice.choice([name for name, orders in self.has.items() if orders])
        if self.leaving:
            return [News("released", worker, self.take(worker).number)]
        if self.dice.random() < self.deaths:
            self.has.pop(worker)
            name = f"w{self.dice.random()}"
            self.has[name] = []
            return [News("lost", worker, reason="killed"), News("ready", name)]
        item = self.take(worker)
        if self.dice.random() < self.failures:
            return [News("done", worker, item.number, {"error": {"code": "bad_result", "message": "x", "retryable": True}})]
        self.made[item.number] += 1
        return [News("done", worker, item.number, {"error": None})]

    def leave(self):
        self.leaving = True


def run(count, crew, wants_stop=lambda: False, together=1, kinds=1):
    ended, scheduler = {}, Dispatcher(make_items(count, together, kinds), crew.depth)

    def record(item, outcome):
        assert item.number not in ended
        ended[item.number] = outcome

    drive(scheduler, crew, record, wants_stop)
    return ended, scheduler


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_all_are_made_once_with_a_bounded_number_under_way(depth):
    crew = Fakes(4, depth)
    ended, _ = run(100, crew)
    assert sorted(ended) == list(range(1, 101))
    assert set(crew.made.values()) == {1}
    assert crew.most == 4 * depth


def test_no_items_are_soon_done():
    assert run(0, Fakes(2))[0] == {}


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**32), st.integers(1, 5), st.integers(1, 3), st.floats(0, 0.4), st.floats(0, 0.4), st.integers(1, 5)
)  # fmt: skip
def test_whatever_workers_do_each_item_comes_to_one_end(seed, count, depth, deaths, failures, together):
    ended, scheduler = run(40, Fakes(count, depth, random.Random(seed), deaths, failures), together=together, kinds=3)
    left = 0 if not scheduler.trouble else 40 - len(ended)
    assert len(ended) + left == 40
    assert scheduler.under_way == 0
    for outcome in ended.values():
        assert outcome["error"] is None or outcome["attempts"] == MOST_ATTEMPTS


@pytest.mark.parametrize("together", [1, 4])
def test_an_item_that_kills_its_workers_fails_alone(together):
    class Poisoned(Fakes):
        def wait(self, most_s):
            for worker, orders in self.has.items():
                if orders and 5 in [item.number for item in orders[0]]:
                    self.has.pop(worker)
                    self.has[worker + "+"] = []
                    return [News("lost", worker, reason="it was ended by SIGKILL"), News("ready", worker + "+")]
            return super().wait(most_s)

    crew = Poisoned(2, depth=2)
    ended, _ = run(30, crew, together=together)
    assert [number for number, outcome in ended.items() if outcome["error"]] == [5]
    assert ended[5]["error"]["code"] == "worker_lost"
    assert "SIGKILL" in ended[5]["error"]["message"]
    assert ended[5]["attempts"] == MOST_ATTEMPTS
    assert [order for order in crew.orders if 5 in order][1:] == [[5], [5]], "what killed a worker is tried alone"


def test_items_of_one_kind_are_ordered_together_and_others_apart():
    crew = Fakes(1)
    run(10, crew, together=4, kinds=2)
    assert crew.orders == [[1, 2, 3, 4], [5], [6, 7, 8, 9], [10]]


def test_items_of_a_grid_which_come_in_turns_are_ordered_together_too():
    crew, ended = Fakes(1), []
    items = (replace(item, knobs={"motion": item.number % 2}) for item in make_items(10, together=4))
    drive(Dispatcher(items, 1), crew, lambda item, outcome: ended.append(item.number))
    assert crew.orders == [[1, 3, 5, 7], [2, 4, 6, 8], [9], [10]]
    assert sorted(ended) == list(range(1, 11))


def test_what_comes_too_late_is_not_heard():
    scheduler = Dispatcher(make_items(1), 1)
    list(scheduler.hear(News("ready", "a")))
    [(_, [item])] = scheduler.hand_out()
    assert list(scheduler.hear(News("lost", "a", reason="silent"))) == []
    list(scheduler.hear(News("ready", "b")))
    [(worker, [again])] = scheduler.hand_out()
    assert (worker, again) == ("b", item)
    assert list(scheduler.hear(News("done", "a", item.number, {"error": None}))) == []
    assert len(list(scheduler.hear(News("done", "b", item.number, {"error": None})))) == 1
    assert list(scheduler.hand_out()) == []
    assert scheduler.is_over()


def test_workers_with_nothing_to_do_come_first():
    scheduler = Dispatcher(make_items(4), 2)
    list(scheduler.hear(News("ready", "a")))
    list(scheduler.hear(News("ready", "b")))
    assert [worker for worker, _ in scheduler.hand_out()] == ["a", "b", "a", "b"]


def test_a_worker_that_gives_back_an_item_is_not_the_end_of_it():
    scheduler = Dispatcher(make_items(1), 1)
    list(scheduler.hear(News("ready", "a")))
    [(_, [item])] = scheduler.hand_out()
    assert list(scheduler.hear(News("released", "a", item.number))) == []
    assert [one for _, one in scheduler.hand_out()] == [[item]]


def test_stopping_hands_out_no_more_and_waits_for_what_is_under_way():
    crew, heard = Fakes(3), []

    def wants_stop():
        heard.append(1)
        return len(heard) > 10

    ended, scheduler = run(100, crew, wants_stop)
    assert 0 < len(ended) < 100
    assert scheduler.is_over()
    assert not any(crew.has.values())


def test_items_are_drawn_as_they_are_needed():
    drawn = []

    def items():
        for item in make_items(1000):
            drawn.append(item.number)
            yield item

    scheduler = Dispatcher(items(), 2)
    list(scheduler.hear(News("ready", "a")))
    assert len(list(scheduler.hand_out())) == 2
    assert drawn == [1, 2]


@pytest.mark.parametrize(("code", "stops"), [("disk_full", True), ("internal", True), ("bad_picture", False)])
def test_a_trouble_that_all_have_ends_the_batch(code, stops):
    class Failing(Fakes):
        def wait(self, most_s):
            events = super().wait(most_s)
            return [News("done", event.worker, event.number, {"error": {"code": code, "message": "it is full"}})
                    if event.kind == "done" else event for event in events]  # fmt: skip

    ended, scheduler = run(100, Failing(1))
    assert (len(ended) == MOST_ALIKE) is stops
    assert ("it is full" in scheduler.trouble) is stops
    assert (len(ended) == 100) is not stops
