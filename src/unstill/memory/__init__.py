"""What this machine has, what each stage of a clip needs, and the rungs of one ladder from fastest to smallest.

Bytes follow from shapes by arithmetic that can be read; nothing is fitted to measurements. It does not know how a
network is run.
"""
