"""The bundled model: a network that finds depth and what flows and sways, and a renderer that moves the picture.

Suffixes: C channels, H rows, W columns. Places are in widths of the picture from its centre, x to the right, y down.
"""
