"""Operations that a library has only in pieces, one a file: the formula, its plain version, and the fast one in Triton.

All take tensors whose last axis is the channels. On a device that Triton does not know the plain version runs, with the same
result; so on a CPU the whole fast path can be held against the reference. They know nothing of models.
"""
