"""What a network is given and puts out, watched and changed by torch's own hooks."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

Given = tuple[Any, ...]


@contextmanager
def changed(network: nn.Module, change: Callable[[int, Given, Tensor], Tensor]) -> Iterator[None]:
    """Give out what `change` makes of a call's number, from 1, its arguments and its result."""
    calls = 0

    def look(_: nn.Module, given: Given, made: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return change(calls, given, made)

    hook = network.register_forward_hook(look)
    try:
        yield
    finally:
        hook.remove()
