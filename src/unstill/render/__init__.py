"""Make the frames of a clip from one picture and a coarse field that says how its points move.

    motion    where a point is at a given frame      guide    the field at the picture's own pixels and edges
    splat     from where each pixel of a frame comes reframe  the part of the picture that every frame can show
    film      the frames

Pixels are taken from the picture once, so they stay sharp. It does not know how a field is made.
"""
