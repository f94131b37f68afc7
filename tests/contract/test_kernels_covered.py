"""Every Triton kernel is run by tests/kernels, through the functions that launch it."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
KERNELS = ROOT / "src" / "unstill" / "kernels"


def read_functions(path: Path) -> dict[str, ast.FunctionDef]:
    return {node.name: node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}


def find_kernels(functions) -> set[str]:
    return {name for name, f in functions.items() if any("jit" in ast.unparse(one) for one in f.decorator_list)}


def reach(functions, start: str) -> set[str]:
    """Return the functions of the module that one of them uses, directly or not."""
    found, waiting = set(), [start]
    while waiting:
        name = waiting.pop()
        if name in functions and name not in found:
            found.add(name)
            waiting += [getattr(node, "id", getattr(node, "attr", "")) for node in ast.walk(functions[name])]
    return found


def find_untested(tests: str) -> set[str]:
    """Return the kernels that no function imported by these tests launches."""
    imported = {alias.name for node in ast.walk(ast.parse(tests)) if isinstance(node, ast.ImportFrom) for alias in node.names}
    used = {node.id for node in ast.walk(ast.parse(tests)) if isinstance(node, ast.Name)}
    missing = set()
    for path in sorted(KERNELS.glob("*.py")):
        functions = read_functions(path)
        reached = set().union(*(reach(functions, name) for name in imported & used & functions.keys()))
        missing |= {f"{path.stem}.{name}" for name in find_kernels(functions) - reached}
    return missing


def test_every_kernel_is_run():
    assert find_untested((ROOT / "tests/kernels/test_kernels.py").read_text()) == set()


def test_a_kernel_that_nothing_runs_is_found():
    tests = (ROOT / "tests/kernels/test_kernels.py").read_text()
    assert find_untested(tests.replace("mix(", "mix_plain(")) == {"mix._mix_kernel"}
