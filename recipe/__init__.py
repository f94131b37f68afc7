"""How the bundled `pocket` model is made: worlds, network, training, evaluation, export.

A tensor's name ends in the letters of its axes: B scene or clip, T time, C channel, H rows and W columns of a
picture or of a field's cells. Lengths are in widths of the picture unless a name says otherwise, x to the right
and y downward, both zero in the middle.
"""
