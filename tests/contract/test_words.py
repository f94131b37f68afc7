"""One word means one thing: a type has one home in the package."""

import ast
import re
from collections import defaultdict
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "unstill"
OF_DIFFUSERS = {"Config", "UNet", "VAE"}  # what stands in the drop-in for these has their names


def list_types(tree: ast.Module):
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            yield from (name for name in names if re.match(r"[A-Z][a-z]", name))  # not a constant


def test_no_two_modules_define_types_of_one_name():
    homes = defaultdict(set)
    for path in SOURCE.rglob("*.py"):
        for name in list_types(ast.parse(path.read_text())):
            if not (path.parent.name == "compat" and name in OF_DIFFUSERS):
                homes[name].add(path.relative_to(SOURCE).as_posix())
    assert {"Source", "Watch", "UNet"} <= homes.keys()
    assert {name: sorted(paths) for name, paths in homes.items() if len(paths) > 1} == {}
