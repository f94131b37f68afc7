"""cli/serve.py: who is to work, and what is refused before anything listens."""

import pytest

from unstill import cluster
from unstill.cli import main, serve
from unstill.cli.serve import choose_duties
from unstill.cluster import Room
from unstill.errors import RequestError

NONE = {"ray": None, "workers": 1, "cores": 2, "insecure_cluster": False}


def test_a_worker_for_each_device_else_for_all_gpus(monkeypatch):
    monkeypatch.setattr(serve, "find_devices", lambda: ["cuda:0", "cuda:1"])
    duties, told = choose_duties((), NONE)
    assert (list(duties), told) == (["cuda:0", "cuda:1"], "cuda:0, cuda:1")
    duties, _ = choose_duties(("cpu",), NONE)
    assert duties["cpu"].words == ("unstill.jobs.worker", "--device", "cpu") and duties["cpu"].computes


def test_one_process_feeds_a_cluster(monkeypatch):
    asked = {**NONE, "ray": "10.0.0.1:6379", "workers": 2, "insecure_cluster": True}
    monkeypatch.setattr(cluster, "look_at_cluster", lambda asked: Room(4, "cuda", {}))
    duties, told = choose_duties((), asked)
    [duty] = duties.values()
    assert duty.words[:3] == ("unstill.jobs.on_ray", "--ray", "10.0.0.1:6379")
    assert {"--workers", "2", "--insecure-cluster"} < set(duty.words)
    assert not duty.computes
    assert "4 clips at a time, on cuda" in told


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--ray=auto", "--device", "cpu"], "--device"),
        (["--workers", "2"], "--ray"),
        (["--ray=photos"], "no address"),
        (["--ray=127.0.0.1:1"], "no cluster at"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_listens(words, said, tmp_path, capsys):
    code = main(["serve", "--data", str(tmp_path / "data"), *words])
    told = capsys.readouterr()
    assert code == (6 if "127" in words[0] else 2)
    assert said in told.err and "hint:" in told.err
    assert not (tmp_path / "data").exists()


def test_workers_of_a_cluster_need_one():
    with pytest.raises(RequestError, match="--ray names none"):
        choose_duties((), {**NONE, "workers": 2})
