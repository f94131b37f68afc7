"""The server: an HTTP API in the shape that clients of `/v1/videos` speak, on jobs that survive.

    app       every route, and what all answers have in common   guard      who may come in, how much, and for how long
    videos    clips: asked for, fetched, cancelled, deleted      shapes     a job as clients see it
    drafts    pictures kept, plans, knobs, models                knobs      what can be set, in words and as schemas
    reading   bodies become fields and a picture                 orders     fields become a job
    events    what happens, as it happens                        pictures   uploads, decoded in forks with limits
    session   browsers that know the key                         convert    a finished clip in another format
    page      the page's own files                               planner    plans, from a process that has imported torch
    health    what an operator looks at                          pace       about how long a clip will take
    service   what the routes work on                            workers    one process for each device, replaced when it dies
    openapi   what /openapi.json says of all this

It does not import torch, and does not know how clips are made.
"""
