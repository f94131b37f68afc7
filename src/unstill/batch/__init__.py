"""Many pictures: rows become items, items are handed to workers, clips are published once, and a file says what came of each.

    sources    pictures of folders, globs and manifests      names      what clips are called, and what must not be
    items      rows become items: grids, takes, seeds        survey     all of them looked at before anything runs
    schedule   what is next, under way, tried again          ledger     results.jsonl
    places     where clips go, exactly once                  maker      one item: the picture, the clip, its record
    worker     a process that makes items                    crew       such processes on this machine
    on_ray     actors on a Ray cluster                       run        all of it put together

Nothing here but `maker` imports torch, and it runs in workers.
"""
