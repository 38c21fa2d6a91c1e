"""RGB-D fusion for semantic segmentation: one backbone, many ways to fuse, one protocol."""

from importlib import import_module

__version__ = "0.1.0"

# Public names and where they live; each is imported when it is first used, so that
# ``import rgbd_lib`` and ``rgbd --help`` stay instant.
_PUBLIC = {
    "build": "rgbd_lib.methods",
    "names": "rgbd_lib.methods",
    "open_dataset": "rgbd_lib.datasets.open",
    "Run": "rgbd_lib.runs",
    "train": "rgbd_lib.training",
    "evaluate": "rgbd_lib.evaluation",
    "UserError": "rgbd_lib.errors",
}
__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> object:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'rgbd_lib' has no attribute '{name}'")
