"""What is next, what is under way, what is tried again, and when it is over. Workers, of whatever kind, are a `Crew`.

It does not know what an item is made into, nor what time it is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from unstill.batch.items import Item
from unstill.errors import Cancelled

MOST_ATTEMPTS = 3
MOST_ALIKE = 20  # failures in a row of one kind that is not the pictures': the rest would fail too
OF_ITS_OWN = {"bad_picture", "bad_request"}  # errors that tell nothing of the next item
MOST_AHEAD = 64  # items that are looked through for some that go together: a grid's come in turns
LOOK_S = 0.25  # how long is waited for workers before looking whether somebody wants to stop

Outcome = Mapping[str, Any]  # what a worker says of an item: a record, or `error` with a code


@dataclass(frozen=True, slots=True)
class News:
    """Something that a worker did."""

    kind: str  # ready | done | released | lost
    worker: str
    number: int = 0  # of the item
    outcome: Outcome = field(default_factory=dict)
    reason: str = ""


class Crew(Protocol):
    """Workers. Each carries out its orders one after the other."""

    depth: int  # orders that a worker may have at a time

    def submit(self, worker: str, items: Sequence[Item]) -> None:
        """Order a worker to make items, together if it can; never waits."""

    def wait(self, most_s: float) -> list[News]:
        """Wait until something happens, but no longer than this."""

    def leave(self) -> None:
        """Ask all workers to end what they do after its current step, and to give back the rest."""


@dataclass(slots=True)
class Task:
    """An item that is under way, or will be again."""

    item: Item
    attempts: int = 0  # that were begun and came to nothing
    reasons: list[str] = field(default_factory=list)


class Dispatcher:
    """The state of a batch: plain moves, no waiting."""

    def __init__(self, items: Iterator[Item], depth: int) -> None:
        self._items, self._depth = items, depth
        self._again: deque[Task] = deque()
        self._ahead: deque[Item] = deque()  # drawn, but not of the kind of those before
        self._flight: dict[str, deque[list[Task]]] = {}  # by worker, the one under way first
        self._idle: deque[str] = deque()  # workers with nothing to do
        self._spare: deque[str] = deque()  # workers that may have one more, once for each
        self._has_more, self._under_way = True, 0
        self._alike: tuple[str, int] = ("", 0)
        self.is_stopping, self.trouble = False, ""  # why the rest is not tried

    def is_over(self) -> bool:
        """Say whether nothing is under way and nothing is to come."""
        return not self._under_way and (self.is_stopping or not (self._has_more or self._ahead or self._again))

    @property
    def under_way(self) -> int:
        """Count items that workers have."""
        return self._under_way

    def stop(self) -> None:
        """Hand out no more."""
        self.is_stopping = True

    def hand_out(self) -> Iterator[tuple[str, list[Item]]]:
        """Give items to workers that can take some, those with nothing to do first."""
        while not self.is_stopping and (worker := self._find_free()) is not None:
            order = [self._again.popleft()] if self._again else self._draw()  # what came to nothing is tried alone
            if not order:
                self._idle.appendleft(worker) if not self._flight[worker] else self._spare.appendleft(worker)
                return
            orders = self._flight[worker]
            orders.append(order)
            self._under_way += len(order)
            if len(orders) < self._depth:
                self._spare.append(worker)
            yield worker, [task.item for task in order]

    def hear(self, event: News) -> Iterator[tuple[Item, Outcome]]:
        """Take in what a worker did; give what has come to its end."""
        if event.kind == "ready":
            self._flight[event.worker] = deque()
            self._idle.append(event.worker)
        elif event.kind == "lost":
            yield from self._lose(event)
        elif (task := self._take(event)) is None:
            return
        elif event.kind == "released":
            self._again.append(task)
        elif not self._retry(task, event.outcome):
            self._judge(event.outcome)
            yield task.item, {**event.outcome, "attempts": task.attempts + 1}

    def _find_free(self) -> str | None:
        for waiting in (self._idle, self._spare):
            while waiting:
                worker = waiting.popleft()
                orders = self._flight.get(worker)
                if orders is not None and len(orders) < self._depth and (waiting is self._spare or not orders):
                    return worker
        return None

    def _draw(self) -> list[Task]:
        """Draw the next item, with others that go with it: those that were passed over first."""
        first = self._ahead.popleft() if self._ahead else self._pull()
        if first is None:
            return []
        order = [first]
        for item in list(self._ahead):
            if len(order) < first.together and item.goes_with(first):
                self._ahead.remove(item)
                order.append(item)
        while len(order) < first.together and len(self._ahead) < MOST_AHEAD and (drawn := self._pull()) is not None:
            (order if drawn.goes_with(first) else self._ahead).append(drawn)
        return [Task(item) for item in order]

    def _pull(self) -> Item | None:
        item = next(self._items, None) if self._has_more else None
        self._has_more = item is not None
        return item

    def _take(self, event: News) -> Task | None:
        """Take an item off its worker; one that the worker has not any more comes too late."""
        orders = self._flight.get(event.worker, deque())
        for order in orders:
            task = next((task for task in order if task.item.number == event.number), None)
            if task is None:
                continue
            order.remove(task)
            self._under_way -= 1
            if not order:
                orders.remove(order)
                (self._spare if orders else self._idle).append(event.worker)
            return task
        return None

    def _lose(self, event: News) -> Iterator[tuple[Item, Outcome]]:
        """Take back what a worker had that is no more: those of the first order are what it died of, perhaps."""
        orders = self._flight.pop(event.worker, deque())
        self._under_way -= sum(map(len, orders))
        for place, task in ((place, task) for place, order in enumerate(orders) for task in order):
            if place == 0 and event.reason:
                task.attempts += 1
                task.reasons.append(event.reason)
            if task.attempts < MOST_ATTEMPTS:
                self._again.append(task)
                continue
            why = f"its worker was lost {task.attempts} times: {'; '.join(dict.fromkeys(task.reasons))}"
            outcome = {"error": {"code": "worker_lost", "message": why}, "attempts": task.attempts}
            self._judge(outcome)
            yield task.item, outcome

    def _retry(self, task: Task, outcome: Outcome) -> bool:
        error = outcome.get("error")
        if error is None or not error.get("retryable") or self.is_stopping or task.attempts + 1 >= MOST_ATTEMPTS:
            return False
        task.attempts += 1
        self._again.append(task)
        return True

    def _judge(self, outcome: Outcome) -> None:
        """Stop where one item after the other fails for a reason that is not its own."""
        error = outcome.get("error")
        code = "" if error is None else str(error.get("code"))
        if not code or code in OF_ITS_OWN:
            self._alike = ("", 0)
            return
        self._alike = (code, self._alike[1] + 1 if self._alike[0] == code else 1)
        if self._alike[1] >= MOST_ALIKE and error is not None:
            self.is_stopping, self.trouble = True, f"{MOST_ALIKE} pictures one after the other failed alike: {error['message']}"


Note = Callable[[Item, Outcome], None]
Wants = Callable[[], bool]


def never() -> bool:
    """Want no stop."""
    return False


def heed(wants_stop: Wants) -> None:
    """End the wait for workers, which may be long where others have the place, if somebody wants that."""
    if wants_stop():
        raise Cancelled("Stopped before a worker was ready", hint="the same command begins again")


def drive(scheduler: Dispatcher, crew: Crew, record: Note, wants_stop: Wants = never) -> None:
    """Hand out items until all have come to their end, or until somebody wants to stop."""
    is_leaving = False
    while not scheduler.is_over():
        if not is_leaving and (wants_stop() or scheduler.is_stopping):
            is_leaving = True
            scheduler.stop()
            crew.leave()
        for worker, items in scheduler.hand_out():
            crew.submit(worker, items)
        if scheduler.is_over():
            return
        for event in crew.wait(LOOK_S):
            for item, outcome in scheduler.hear(event):
                record(item, outcome)
