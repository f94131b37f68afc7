"""Kill a batch on a Ray cluster at random moments, and say what was found: kill_batch.py FOLDER ITEMS KILLS [SEED].

A cluster of three raylets on this machine, its head without work. Killed with SIGKILL are actors, raylets of nodes, which another
node then takes the place of, and the driver, which is started again. In the end every clip must be there, whole, told of
once, and none that was there when the driver was killed may have been made again.
"""

from __future__ import annotations

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

from ray_cluster import list_actors
from unstill.batch.ledger import read_lines
from unstill.errors import BatchError
from unstill.formats.frames import read_frames
from unstill.jobs.files import hash_file

SMALL = ["--model", "pocket", "--size", "64x64", "--frames", "2", "--steps", "1", "--no-look", "--no-measure"]
STORE_BYTES = 80 * 2**20
MOST_S = 3600.0


class Kills:
    """The cluster, the driver, and what was done to them."""

    def __init__(self, folder: Path, items: int, seed: int) -> None:
        self.folder, self.items, self.dice = folder, items, random.Random(seed)
        self.clips, self.killed = folder / "clips", Counter[str]()
        self.cluster = Cluster(initialize_head=True, head_node_args=self.node(0))
        self.nodes = [self.cluster.add_node(**self.node(1)) for _ in range(2)]
        self.driver: subprocess.Popen[bytes] | None = None
        self.kinds: list[str] = []  # that come next
        self.there: dict[str, int] = {}  # clips and when they were made, as last seen while no driver ran

    def node(self, cpus: int) -> dict[str, object]:
        return {"num_cpus": cpus, "object_store_memory": STORE_BYTES, "include_dashboard": False}

    def start(self) -> None:
        words = ["batch", self.folder / "shots.csv", "-o", self.clips, *SMALL, "--ray", self.cluster.address, "--cores", "1"]
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
            self.nodes.append(self.cluster.add_node(**self.node(1)))
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
    folder, items, kills = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.toml").touch()
    os.environ["UNSTILL_CONFIG"] = str(folder / "config.toml")
    picture = Path(__file__).parents[1] / "examples" / "harbour.jpg"
    Image.open(picture).resize((96, 64)).save(folder / "one.png")
    rows = "".join(f"one.png,{seed},{seed}\n" for seed in range(items))
    (folder / "shots.csv").write_text("picture,seed,name\n" + rows)
    run = Kills(folder, items, int(sys.argv[4]) if len(sys.argv) > 4 else 7)
    try:
        print(json.dumps(run.run(kills)))
    finally:
        run.close()


if __name__ == "__main__":
    main()
