"""jobs/on_ray.py: what a worker does with a clip that its actor has made. Actors that die are in test_serve_on_ray.py."""

import errno
import io
import os
import threading
from types import SimpleNamespace

import numpy as np
from PIL import Image

from served import wait_until
from unstill.jobs.on_ray import ActorWorker
from unstill.jobs.records import Order


class Ray:
    """Stands in for Ray: what is asked for is there at once."""

    exceptions = SimpleNamespace(RayError=OSError, RayTaskError=OSError, RayActorError=OSError)

    def wait(self, refs, timeout):
        return refs, []

    def get(self, ref):
        return ref


class Method:
    """A method of an actor."""

    def __init__(self, made):
        self.made, self.calls = made, 0

    def remote(self, *told):
        self.calls += 1
        return self.made


def draw_clip() -> bytes:
    data = io.BytesIO()
    frames = [Image.effect_noise((64, 64), spread).convert("RGB") for spread in (40, 60, 80)]
    frames[0].save(data, "GIF", save_all=True, append_images=frames[1:])
    return data.getvalue()


def test_a_clip_for_which_the_disk_has_no_room_is_kept_until_it_has(folder, store, monkeypatch):
    """Its actor has let go of its steps by then: given back, all of it would be made again and again."""
    id = store.submit(Order({}, folder.keep_picture(b"a picture"), "one.png")).id
    told = {"kind": "made", "clip": draw_clip(), "suffix": ".gif", "last": np.zeros((64, 64, 3), np.uint8), "report": {}}
    actor = SimpleNamespace(make=Method(told))
    worker = ActorWorker(Ray(), actor, "actor-1", folder, 60.0, None, store)
    flush, tries, refused, has_room = os.fsync, [], [], threading.Event()

    def refuse(handle):
        tries.append(handle)
        if not has_room.is_set() and len(tries) != 2:  # once there is room for the clip, and none for its stills
            refused.append(handle)
            raise OSError(errno.ENOSPC, "No space left on device")
        flush(handle)

    monkeypatch.setattr(os, "fsync", refuse)
    monkeypatch.setattr("unstill.jobs.worker.PAUSE_S", 0.1)
    monkeypatch.setattr("unstill.jobs.worker.IDLE_S", 0.02)
    worker.thread.start()
    wait_until(lambda: len(refused) > 2, "some tries")
    assert store.get(id).state == "running"
    has_room.set()
    wait_until(lambda: store.get(id).state == "completed", "its clip")
    worker.leaves = True
    worker.thread.join()
    assert (actor.make.calls, store.get(id).attempts) == (1, 1)
    assert {place.name.partition(".")[0] for place in folder.outputs.iterdir()} == {store.get(id).output.partition(".")[0]}
