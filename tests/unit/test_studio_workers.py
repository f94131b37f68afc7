"""studio/workers.py: what was kept long enough is forgotten, and nothing else."""

from unstill.jobs.files import Folder
from unstill.jobs.records import Order, Output
from unstill.jobs.store import Store
from unstill.studio.workers import Workers


def test_ended_jobs_are_forgotten_after_their_days_and_others_kept(tmp_path):
    folder = Folder(tmp_path / "data").make()
    store = Store(folder.store)
    ended, waiting = (store.submit(Order({}, folder.keep_picture(b"pixels"))).id for _ in range(2))
    store.complete(store.claim("w"), Output("clip.mp4", "", 1, {}))
    Workers(folder, store, [], keep_s=1000.0).sweep()
    assert {job.id for job in store.list_jobs()} == {ended, waiting}
    Workers(folder, store, [], keep_s=-1.0).sweep()
    assert {job.id for job in store.list_jobs()} == {waiting}
    assert (folder.pictures / store.get(waiting).picture).exists()
    store.close()
