"""Figures, one function each, made from tables alone: the same tables give the same bytes.

``write_all(profile)`` makes every figure whose tables exist, each as PNG and, where it is small, SVG, with its
caption and alternative text in ``captions.json``.
"""

from rgbd_lib.plots.catalogue import FIGURES, write_all
from rgbd_lib.plots.style import Figure, use_style

__all__ = ["FIGURES", "Figure", "use_style", "write_all"]
