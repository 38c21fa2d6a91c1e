"""All fusion methods behind one contract: ``forward(rgb, depth) -> Output``.

A method is one file in this folder. It declares itself with ``@method(...)`` and is then found by the
training loop, the tables, the figures, the tests and the notebooks; nothing else has to know it.
"""

from rgbd_lib.methods.registry import MethodInfo, Output, Target, build, get, method, names

__all__ = ["MethodInfo", "Output", "Target", "build", "get", "method", "names"]
