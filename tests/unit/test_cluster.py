"""cluster.py: addresses, the words that processes are told a cluster in, and how many actors it has room for."""

import argparse
import json
import subprocess
import sys

import pytest

from unstill.cluster import (
    Cluster,
    Room,
    add_options,
    asks_for_token,
    count_room,
    look_at_cluster,
    read_address,
    read_options,
    refuse_none,
    refuse_silence,
)
from unstill.errors import MachineError, RequestError


class Resources:
    """What Ray says that a cluster has."""

    def __init__(self, **has: float) -> None:
        self.has = has

    def cluster_resources(self) -> dict[str, float]:
        return self.has


@pytest.mark.parametrize("address", ["here", "auto", "10.0.0.1:6379", "head.local:6379", "[::1]:6379"])
def test_addresses_of_clusters(address):
    assert read_address(address) == address


@pytest.mark.parametrize("cluster", [Cluster("auto"), Cluster("10.0.0.1:6379", 2, 4, is_insecure=True)])
def test_another_process_is_told_all_of_it(cluster):
    parser = argparse.ArgumentParser()
    add_options(parser)
    assert read_options(parser.parse_args(cluster.to_words())) == cluster


def test_there_is_room_for_actors_on_gpus_else_on_cores():
    assert count_room(Resources(GPU=4.0, CPU=8.0), Cluster("auto", 2)) == Room(8, "cuda", {"num_gpus": 0.5, "num_cpus": 1})
    assert count_room(Resources(CPU=7.0), Cluster("auto", cores=2)) == Room(3, "cpu", {"num_cpus": 2})
    none = count_room(Resources(memory=1.0), Cluster("auto"))
    assert none.count == 0
    with pytest.raises(MachineError, match="fewer than 2 cores"):
        refuse_none(none, Cluster("auto"))


def test_what_another_process_finds_wrong_is_an_error_here(monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with pytest.raises(RequestError, match="anybody") as caught:
        look_at_cluster(Cluster("10.0.0.1:6379"))
    assert "--insecure-cluster" in caught.value.hint


@pytest.mark.parametrize(("code", "words"), [("", "no reason is given"), ("raise SystemExit('out of luck')", "out of luck")])
def test_a_process_that_says_nothing_is_an_error_too(code, words, monkeypatch):
    real = subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda told, **how: real([sys.executable, "-c", code], **how))
    with pytest.raises(MachineError, match=words):
        look_at_cluster(Cluster("auto"))


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [("import os, signal; os.kill(os.getpid(), signal.SIGALRM)", MachineError, "no answer"),
     ("import sys; sys.exit('Unauthenticated: InvalidAuthToken: it is another')", RequestError, "refuses the token")],
)  # fmt: skip
def test_a_cluster_that_does_not_let_one_in_is_named_as_that(code, kind, words, monkeypatch):
    real = subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda told, **how: real([sys.executable, "-c", code], **how))
    with pytest.raises(kind, match=words):
        look_at_cluster(Cluster("10.0.0.1:6379"))


def test_what_there_is_room_for_is_told_in_json(monkeypatch):
    told = json.dumps({"count": 2, "device": "cpu", "needs": {"num_cpus": 2}})
    real = subprocess.run
    code = f"print('said before'); print({told!r})"
    monkeypatch.setattr(subprocess, "run", lambda words, **how: real([sys.executable, "-c", code], **how))
    assert look_at_cluster(Cluster("auto")) == Room(2, "cpu", {"num_cpus": 2})


@pytest.mark.parametrize("address", ["127.0.0.1:1", "[::1]:1", "127.0.0.1:99999", "a..b:1"])
def test_an_address_where_nobody_listens_is_refused_at_once(address):
    with pytest.raises(MachineError, match="no cluster at"):
        refuse_silence(address)


def test_a_cluster_that_does_not_answer_one_without_a_token_is_not_taken_to_ask_for_one(monkeypatch):
    real = subprocess.run
    code = "import time; print('asks for a to', flush=True); time.sleep(600)"
    monkeypatch.setattr("unstill.cluster.LONGEST_JOIN_S", 0.5)
    monkeypatch.setattr(subprocess, "run", lambda words, **how: real([sys.executable, "-c", code], **how))
    assert not asks_for_token("10.0.0.1:6379")
