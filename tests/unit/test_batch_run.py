"""batch/run.py: how many clips a worker is ordered to make together."""

import pytest

from unstill.batch.run import limit


@pytest.mark.parametrize(
    ("told", "items", "workers", "most", "together"),
    [(4, 100, 2, None, 4), (4, 4, 2, None, 2), (4, 3, 2, None, 2), (4, 1, 2, None, 1), (4, 100, 2, 3, 3), (4, 100, 2, 1, 1),
     (1, 100, 2, 8, 1), (4, 0, 2, None, 1), (4, 8, 0, None, 4)],
)  # fmt: skip
def test_clips_go_together_unless_a_worker_would_have_none(told, items, workers, most, together):
    assert limit({"name": "svd", "together": told}, items, workers, most) == {"name": "svd", "together": together}


def test_what_a_worker_says_nothing_of_is_made_alone():
    assert limit({"error": {"code": "model_missing"}}, 100, 2, None)["together"] == 1
