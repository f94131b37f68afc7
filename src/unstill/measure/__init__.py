"""Numbers with units about clips: what moved, how the camera went, and whether the picture stayed steady.

It does not know models, requests or verdicts: pixels in, numbers out.

Legend of shape suffixes: F frames, P pairs of consecutive frames, C channels, H rows, W columns, N points.
Pixels are float32 from 0 to 1. Motion is told in pixels of a frame of 1024x576; a clip of another size or shape is told as
if it were scaled to as many pixels as that. x grows to the right, y downward.
"""
