"""The server: an HTTP API in the shape that clients of `/v1/videos` speak, on jobs that survive.

    app       every route, and what all answers have in common   guard      who may come in, how much, and for how long
    videos    clips: asked for, fetched, cancelled, deleted      shapes     a job as clients see it
    events    what happens, as it happens                        orders     fields of a request become a job
    health    what an operator looks at                          pictures   uploads, decoded in a process of their own
    service   what the routes work on                            workers    one process for each device, replaced when it dies

It does not import torch, and does not know how clips are made.
"""
