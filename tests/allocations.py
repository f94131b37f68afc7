"""How much memory tensors take while something runs: every storage is counted from when it is made until it is let go.

Exact on a CPU, and the same as on a GPU but for what a single operation takes for itself and gives back.
"""

import weakref

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Allocations(TorchDispatchMode):
    """Count the bytes that are held and the most that ever were, beyond those that were there before."""

    def __init__(self):
        super().__init__()
        self.held = self.peak = 0
        self._known = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        before = {self._key(leaf) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        made = function(*args, **(kwargs or {}))
        for leaf in tree_leaves(made):
            if isinstance(leaf, Tensor):
                self._note(leaf, before)
        return made

    @staticmethod
    def _key(tensor):
        return tensor.untyped_storage()._cdata

    def _note(self, tensor, before):
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in before or key in self._known:
            return
        size = storage.nbytes()
        self._known.add(key)
        self.held += size
        self.peak = max(self.peak, self.held)
        weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key, size):
        self._known.discard(key)
        self.held -= size
