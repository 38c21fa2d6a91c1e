"""Fruit and tableware: from a class to solids with materials.

Two generators go in. `form` decides shape, size and pose and is used in the same way for every class of a kind;
`skin` decides colours and is the only one that may look at the class. That, and not good luck, is why depth cannot
tell a bad fruit from a good one. A fake is built exactly like the real thing: only its depth is replaced, later.
"""

from collections.abc import Callable

from rgbd_lib.datasets.synthetic import fruit, tableware
from rgbd_lib.datasets.synthetic.classes import KIND_OF
from rgbd_lib.datasets.synthetic.shapes import Pose
from rgbd_lib.datasets.synthetic.thing import Rng, Thing

REACH: dict[str, float] = {
    **{"lemon": 0.034, "mandarin": 0.032, "apple": 0.038, "pear": 0.038, "onion": 0.036, "carrot": 0.055},
    **{"grapes": 0.046, "cup": 0.042, "bowl": 0.074, "kettle": 0.080},
    **{"lemon half": 0.030, "mandarin half": 0.033, "mandarin peel": 0.036},
}
"""Radius of the room that each kind needs on the table, in metres."""


def build(class_id: int, base: Pose, form: Rng, skin: Rng) -> Thing:
    """Return an object of this class standing at base (its centre on the table)."""
    return _BUILDERS[KIND_OF[class_id]](class_id, base, form, skin)


_BUILDERS: dict[str, Callable[[int, Pose, Rng, Rng], Thing]] = {
    **{"lemon": fruit.lemon, "mandarin": fruit.mandarin, "apple": fruit.apple, "pear": fruit.pear},
    **{"onion": fruit.onion, "carrot": fruit.carrot, "grapes": fruit.grapes, "mandarin peel": fruit.peel},
    **{"lemon half": fruit.half, "mandarin half": fruit.half},
    **{"cup": tableware.cup, "bowl": tableware.bowl, "kettle": tableware.kettle},
}
