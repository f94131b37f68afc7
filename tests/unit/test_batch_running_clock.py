"""batch/running_clock.py: the time that a process itself stood still does not count."""

from unstill.batch.running_clock import RunningClock


def make_clock(longest_s: float, *moments: float) -> RunningClock:
    """Return a clock that reads these moments, the first when it is made."""
    return RunningClock(longest_s, iter(moments).__next__)


def test_it_counts_the_seconds_between_ticks():
    clock = make_clock(2.0, 100.0, 101.0, 102.5)
    assert (clock.tick(), clock.tick(), clock.now_s) == (1.0, 2.5, 2.5)


def test_an_hour_between_two_ticks_counts_as_the_longest_pause():
    clock = make_clock(2.0, 0.0, 1.0, 3601.0, 3602.0)
    assert (clock.tick(), clock.tick(), clock.tick()) == (1.0, 3.0, 4.0)


def test_it_counts_on_where_every_tick_is_late():
    """A driver that is always busy must still notice a worker that hangs."""
    clock = make_clock(2.0, *range(0, 300, 3))
    for _ in range(50):
        clock.tick()
    assert clock.now_s == 100.0
