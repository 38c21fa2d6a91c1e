"""A method file that lies elsewhere, for trying an idea out before it moves into ``rgbd_lib/methods``.

It is imported as if it lay there: registered by ``@method``, known to runs, figures and tables of this process, and
part of the identity of its runs. Other processes do not know it; for ``rgbd study`` put the file into the folder.
"""

import importlib.util
import sys
from pathlib import Path

from rgbd_lib import identity, methods
from rgbd_lib.errors import UserError


def load(path: Path) -> tuple[str, ...]:
    """Import a method file and return the names of the methods in it; one that was edited is imported anew."""
    path = Path(path)
    if not path.is_file() or path.suffix != ".py":
        raise UserError(f"{path} is no Python file; a method is a file like rgbd_lib/methods/rgb.py")
    if (identity.PACKAGE / "methods" / path.name).exists():
        raise UserError(f"{path}: rgbd_lib/methods has a {path.name} already; give the new file another name")
    methods.names()  # the project's own come first, so that a name that is taken is found out here
    name = f"{methods.__name__}.{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    identity._file.cache_clear()
    identity._tree.cache_clear()  # what was read before may have been edited
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    found = tuple(n for n in methods.names() if methods.get(n).module == name)
    if not found:
        raise UserError(
            f"{path} registers no method; declare its class with @method(...) of rgbd_lib.methods"
        )
    return found
