"""Which code a result depends on: a hash that sees statements, not comments."""

import ast
import hashlib
import inspect
import json
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

import rgbd_lib
from rgbd_lib import methods

PACKAGE = Path(rgbd_lib.__file__).parent
# Parts through which every run passes. The registry only finds methods, so that adding one changes no other.
TRAINING = (
    "rgbd_lib.training",
    "rgbd_lib.losses",
    "rgbd_lib.material",
    "rgbd_lib.datasets.augment",
    "rgbd_lib.datasets.batches",
    "rgbd_lib.datasets.resize",
    "rgbd_lib.datasets.lighting",
    "rgbd_lib.methods.initialise",
)
# Parts that cannot change a number; editing a progress bar repeats no training.
NEUTRAL = {
    "rgbd_lib",
    "rgbd_lib.methods",
    "rgbd_lib.methods.registry",
    "rgbd_lib.errors",
    "rgbd_lib.paths",
    "rgbd_lib.progress",
    "rgbd_lib.checkpoint",
    "rgbd_lib.machine",
    "rgbd_lib.datasets.cache",  # what it holds is in the data's identity
    "rgbd_lib.datasets.fingerprint",
    "rgbd_lib.profiles",  # its values are hashed instead
}


@cache
def _file(module: str) -> Path | None:
    """Return the file of a module of this package, None for a name inside one or another package."""
    path = PACKAGE.joinpath(*module.split(".")[1:])
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    elsewhere = sys.modules.get(module)  # a method that was loaded from another folder
    return Path(elsewhere.__file__) if getattr(elsewhere, "__file__", None) else None


@cache
def _tree(module: str) -> tuple[str, frozenset[str]]:
    """Return a module's statements without docstrings, and the modules of this package it imports."""
    tree = ast.parse(_file(module).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(
            node, clean=False
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return statements(tree), imports(tree) - NEUTRAL


def statements(tree: ast.AST) -> str:
    """Return a tree as text, the same in every version of Python: later ones have more fields, and leave empty ones out."""
    text = ast.dump(tree, show_empty=True) if sys.version_info >= (3, 13) else ast.dump(tree)
    return text.replace(", type_params=[]", "")


def imports(tree: ast.AST) -> frozenset[str]:
    """Return the modules of this package that some code imports."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rgbd_lib"):
            found |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names if name.name.startswith("rgbd_lib")}
    return frozenset(m for m in found if _file(m))


def closure(modules: Iterable[str]) -> list[str]:
    """Return the modules and everything of this package that they import, directly or not."""
    found, todo = set(), [m for m in modules if m not in NEUTRAL]
    while todo:
        module = todo.pop()
        if module not in found:
            found.add(module)
            todo += _tree(module)[1] - found
    return sorted(found)


def code(modules: Iterable[str]) -> str:
    """Return the hash of the code of these modules and of all they import."""
    return digest([_tree(m)[0] for m in closure(modules)])


def method_code(name: str, options: Mapping[str, object]) -> str:
    """Return the hash of a method's own code, with that of methods it builds by name (a student, say)."""
    info = methods.get(name)
    defaults = {p.name: p.default for p in inspect.signature(info.factory).parameters.values()}
    built = {v for v in ({**defaults, **options}).values() if isinstance(v, str) and v in methods.names()}
    return code([info.module, *(methods.get(other).module for other in built)])


def digest(thing: object, length: int = 12) -> str:
    """Return a short stable hash of anything JSON can hold."""
    text = json.dumps(thing, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:length]
