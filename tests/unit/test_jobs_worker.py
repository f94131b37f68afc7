"""jobs/worker.py: names of workers, and what is known of those who had them."""

import os
import subprocess
import sys

from unstill.jobs.worker import is_gone, name_worker, read_pid


def test_a_name_begins_with_the_process_and_several_may_share_one():
    names = [name_worker("ray/actor-1"), name_worker("ray/actor-2"), name_worker("cuda:0")]
    assert len(set(names)) == 3
    assert {read_pid(name) for name in names} == {os.getpid()}
    assert not any(is_gone(name) for name in names)


def test_a_process_that_has_ended_is_gone_under_each_of_its_names():
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert is_gone(name_worker("ray/actor-1", ended.pid))
    assert is_gone(name_worker("cpu", ended.pid))


def test_of_a_name_without_a_process_nothing_is_known():
    assert read_pid("w") is None
    assert not is_gone("w")
