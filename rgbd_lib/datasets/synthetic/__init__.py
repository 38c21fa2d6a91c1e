"""A synthetic stand-in for MM5: rendered scenes under eight lightings, with depth, labels and known answers.

Which modality can tell which classes apart is decided by construction (`CEILINGS`), so that fusion can be judged
against what is knowable. `write` makes the data set on disk, `SyntheticScenes` an endless stream, `render_scene` and
`photograph` any scene under any mixture of lamps.
"""

from rgbd_lib.datasets.synthetic.capture import Capture, SyntheticScenes, capture, photograph, render_scene
from rgbd_lib.datasets.synthetic.classes import CEILINGS, CLASSES, COLOURS, GROUPS, KINDS, ceiling
from rgbd_lib.datasets.synthetic.design import Plan, design
from rgbd_lib.datasets.synthetic.lights import FIXTURES, LIGHTINGS, PUBLISHED, Lighting
from rgbd_lib.datasets.synthetic.sensor import clean_depth
from rgbd_lib.datasets.synthetic.writer import VERSION, write

__all__ = [
    "CEILINGS",
    "CLASSES",
    "COLOURS",
    "FIXTURES",
    "GROUPS",
    "KINDS",
    "LIGHTINGS",
    "PUBLISHED",
    "VERSION",
    "Capture",
    "Lighting",
    "Plan",
    "SyntheticScenes",
    "capture",
    "ceiling",
    "clean_depth",
    "design",
    "photograph",
    "render_scene",
    "write",
]
