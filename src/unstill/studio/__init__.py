"""The server: an HTTP API in the shape that clients of `/v1/videos` speak, on jobs that survive.

    app        routes, and what every answer has in common      guard      who may come in, how much, and for how long
    orders     fields of a request become a job                 pictures   uploads, decoded in a process of their own
    videos     a job as clients see it                          workers    one process for each device, replaced when it dies

It does not import torch, and does not know how clips are made.
"""
