"""Kill a batch on a Ray cluster at random moments, and print what was found: kill_batch.py FOLDER ITEMS KILLS

A cluster of raylets on this machine, its head without work. Killed with SIGKILL are actors, raylets of nodes, which another
node then takes the place of, and the driver, which is started again. In the end every clip must be there, whole, told of
once, and none that was there when the driver was killed may have been made again.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import secrets
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32), OMP_NUM_THREADS="1")
os.environ.setdefault("RAY_raylet_heartbeat_period_milliseconds", "500")

from PIL import Image
from ray.cluster_utils import Cluster

from ray_cluster import HEAD, NODE, list_actors
from unstill.batch.ledger import read_lines
from unstill.errors import BatchError
from unstill.formats.frames import read_frames
from unstill.jobs.files import hash_file

SMALL = ["--size", "64x64", "--frames", "2", "--steps", "1", "--no-look", "--no-measure"]
MOST_S = 3600.0


class Kills:
    """The cluster, the driver, and what was done to them."""

    def __init__(self, asked: argparse.Namespace) -> None:
        self.folder, self.items, self.model, self.dice = asked.folder, asked.items, asked.model, random.Random(asked.seed)
        self.clips, self.killed = asked.folder / "clips", Counter[str]()
        self.cluster = Cluster(initialize_head=True, head_node_args={**HEAD, "num_cpus": 0})
        self.nodes = [self.cluster.add_node(**NODE, num_cpus=1) for _ in range(asked.nodes)]
        self.driver: subprocess.Popen[bytes] | None = None
        self.kinds: list[str] = []  # that come next
        self.there: dict[str, int] = {}  # clips and when they were made, as last seen while no driver ran

    def start(self) -> None:
        words = ["batch", self.folder / "shots.csv", "-o", self.clips, "--model", self.model, *SMALL]
        words += ["--ray", self.cluster.address, "--cores", "1"]
        said = (self.folder / "said.txt").open("ab")
        self.driver = subprocess.Popen([sys.executable, "-m", "unstill", *map(str, words)], stderr=said, stdout=said)

    def kill(self) -> None:
        self.kinds = self.kinds or self.dice.sample(["actor", "raylet", "driver"], 3)
        kind = self.kinds.pop()
        if kind == "actor" and (actors := list_actors("Actor")):
            os.kill(self.dice.choice(actors), signal.SIGKILL)
        elif kind == "raylet":
            node = self.nodes.pop(self.dice.randrange(len(self.nodes)))
            os.kill(node.all_processes["raylet"][0].process.pid, signal.SIGKILL)
            with contextlib.suppress(Exception):  # it is gone already
                self.cluster.remove_node(node, allow_graceful=False)
            self.nodes.append(self.cluster.add_node(**NODE, num_cpus=1))
        elif kind == "driver":
            self.driver.kill()
            self.driver.wait()
            self.compare()
            self.start()
        else:
            return
        self.killed[kind] += 1

    def compare(self) -> None:
        """Clips that were there at the last look must be the same files."""
        now = {path.name: path.stat().st_mtime_ns for path in self.clips.glob("*.mp4")}
        changed = [name for name, when in self.there.items() if now.get(name) != when]
        assert not changed, f"made again: {changed}"
        self.there = now

    def run(self, kills: int) -> dict[str, object]:
        begun = time.monotonic()
        self.start()
        done, made_before, exits = 0, -1, Counter[int]()
        while True:
            assert time.monotonic() - begun < MOST_S, "it does not come to an end"
            if self.driver.poll() is not None:
                exits[self.driver.returncode] += 1
                self.compare()
                if self.driver.returncode == 0:
                    break
                assert self.driver.returncode == BatchError.exit_code, (self.folder / "said.txt").read_text()[-3000:]
                self.start()  # an item whose workers were killed three times is told, and tried again
            made = len(list(self.clips.glob("*.mp4")))
            # Kills are spread over the whole batch, and each waits until something was made since the last one.
            if done < kills and made > made_before and made >= done * self.items // (kills + 1):
                time.sleep(self.dice.uniform(0, 1.0))
                self.kill()
                done, made_before = sum(self.killed.values()), made
            time.sleep(0.1)
        return self.check(time.monotonic() - begun)

    def check(self, took_s: float) -> dict[str, object]:
        lines = list(read_lines(self.clips / "results.jsonl"))
        ended = [line for line in lines if line["error"] is None]
        assert sorted(line["number"] for line in ended) == list(range(1, self.items + 1)), "one line for each, and no more"
        for line in ended:
            assert hash_file(self.clips / line["output"]) == line["sha256"]
            assert len(read_frames(self.clips / line["output"])[0]) == 2
        assert len(list(self.clips.glob("*.mp4"))) == self.items
        found = sum(line["found"] for line in ended)
        given_up = len(lines) - len(ended)
        tried_again = sum(line["attempts"] > 1 for line in ended)
        return {"items": self.items, "killed": dict(self.killed), "made": len(ended) - found, "found": found,
                "tried_again": tried_again, "given_up_once": given_up, "seconds": round(took_s)}  # fmt: skip

    def close(self) -> None:
        if self.driver is not None and self.driver.poll() is None:
            self.driver.kill()
        self.cluster.shutdown()


def main() -> None:
    """Kill, look, and go on."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("items", type=int)
    parser.add_argument("kills", type=int)
    parser.add_argument("--seed", type=int, default=7, help="of who is killed when")
    parser.add_argument("--nodes", type=int, default=2, help="beside the head")
    parser.add_argument("--model", default="pocket")
    asked = parser.parse_args()
    folder = asked.folder
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.toml").touch()
    os.environ["UNSTILL_CONFIG"] = str(folder / "config.toml")
    picture = Path(__file__).parents[1] / "examples" / "harbour.jpg"
    Image.open(picture).resize((96, 64)).save(folder / "one.png")
    rows = "".join(f"one.png,{seed},{seed}\n" for seed in range(asked.items))
    (folder / "shots.csv").write_text("picture,seed,name\n" + rows)
    run = Kills(asked)
    try:
        print(json.dumps(run.run(asked.kills)))
    finally:
        run.close()


if __name__ == "__main__":
    main()
