"""How long one prediction takes, and what encoding a depth image once for eight lightings saves.

    python benchmarks/inference_speed.py [--methods rgb,mid,se,attention,gemini,cen] [--width 1.0] [--threads 1]

p50, p95   milliseconds per prediction (forward and softmax of one pair), at 224x224 and at 480x640
ratio      p50 of this method / p50 of ``rgb`` at that size, measured in turn, so that other load touches both
shared     seconds for one scene under eight lightings with its depth encoded eight times / with it encoded once;
           1.00x where the architecture mixes both sensors before an encoder has ended
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

from rgbd_lib import machine, methods
from rgbd_lib.evaluation import shared_depth

SIZES = ((224, 224), (480, 640))
LIGHTINGS, CLASSES = 8, 32


class Bench:
    """One model that predicts, at any size."""

    def __init__(self, name: str, width: float, chosen: machine.Machine) -> None:
        teachers = {other: methods.build(other, CLASSES, width=width) for other in methods.get(name).requires}
        self.model = methods.build(name, CLASSES, width=width, teachers=teachers).eval().to(chosen.device)
        self.model.to(memory_format=torch.channels_last)
        self.machine = chosen

    @torch.inference_mode()
    def predict(self, size: tuple[int, int], copies: int = 1, share: bool = False) -> float:
        """Return the seconds of one forward pass over ``copies`` pictures with one depth image."""
        rgb = torch.rand(copies, 3, *size, device=self.machine.device)
        depth = torch.rand(1, 1, *size, device=self.machine.device).expand(copies, -1, -1, -1).contiguous()
        start = time.perf_counter()
        with self.machine.autocast(), shared_depth(self.model, copies if share else 1):
            self.model(rgb, depth).logits.float().softmax(1).argmax(1).cpu()
        return time.perf_counter() - start


def in_turn(works: list[Callable[[], float]], repeats: int) -> np.ndarray:
    """Return seconds, one row per work; a first round does not count."""
    rounds = [[work() for work in works] for _ in range(repeats + 1)]
    return np.array(rounds[1:]).T


def main() -> None:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--methods", default="rgb,mid,se,attention,gemini,cen")
    arguments.add_argument("--width", type=float, default=1.0)
    arguments.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments.add_argument("--repeats", type=int, default=20)
    arguments.add_argument("--device", default="auto")
    chosen = arguments.parse_args()
    torch.set_num_threads(chosen.threads)
    on = machine.choose(chosen.device)
    names = chosen.methods.split(",")
    benches = {name: Bench(name, chosen.width, on) for name in dict.fromkeys(["rgb", *names])}
    print(f"{on}; width {chosen.width}, {chosen.repeats} repeats in turn")
    for size in SIZES:
        spent = in_turn([lambda b=b, s=size: b.predict(s) for b in benches.values()], chosen.repeats)
        print(f"\n{size[0]}x{size[1]:<14}{'p50 ms':>9}{'p95 ms':>9}{'ratio':>8}")
        for name, row in zip(benches, 1000 * spent, strict=True):
            p50, p95 = np.percentile(row, (50, 95))
            print(f"{name:<18}{p50:>9.1f}{p95:>9.1f}{p50 / np.median(1000 * spent[0]):>7.2f}x")
    print(f"\neight lightings   {'apart s':>9}{'once s':>9}{'shared':>8}   (224x224)")
    for name, bench in benches.items():
        work = [lambda s=s, b=bench: b.predict(SIZES[0], LIGHTINGS, share=s) for s in (False, True)]
        apart, once = np.median(in_turn(work, max(3, chosen.repeats // 4)), axis=1)
        print(f"{name:<18}{apart:>9.2f}{once:>9.2f}{apart / once:>7.2f}x", flush=True)


if __name__ == "__main__":
    main()
