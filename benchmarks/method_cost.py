"""What every method costs: time of a forward and of a training step, memory, parameters, beside the RGB baseline.

    python benchmarks/method_cost.py [--methods all] [--size 224x224] [--batch 4] [--device auto] [--threads 1]

forward   milliseconds per image in evaluation, without gradients
step      milliseconds per image for forward, losses and backward in training
ratio     step of this method / step of ``rgb``; both are measured in turn, so that other load touches both
kept      MiB per image that autograd keeps between forward and backward (parameters not counted); on any device
peak      MiB on a GPU at the height of a step, everything counted; "-" on a CPU
Every time is the fastest of ``--repeats``, because other load on the machine only ever adds time. With
``--threads 1`` on a CPU it is processor time, which hardly feels other load.
"""

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor

from rgbd_lib import machine, methods
from rgbd_lib.losses import task_loss
from rgbd_lib.methods import Target
from rgbd_lib.methods.cost import multiply_adds, outline, parameters

CLASSES = 32
MIB = 2**20


class Bench:
    """One model, one batch, one device."""

    def __init__(self, name: str, size: tuple[int, int], batch: int, chosen: machine.Machine) -> None:
        self.machine, self.batch = chosen, batch
        teachers = {other: methods.build(other, CLASSES) for other in methods.get(name).requires}
        self.model = methods.build(name, CLASSES, teachers=teachers).to(chosen.device)
        self.model.to(memory_format=torch.channels_last)
        draw = torch.Generator().manual_seed(0)
        self.rgb, self.depth = (
            torch.randn(batch, c, *size, generator=draw)
            .to(chosen.device)
            .contiguous(memory_format=torch.channels_last)
            for c in (3, 1)
        )
        label = torch.randint(0, CLASSES, (batch, *size), generator=draw).to(chosen.device)
        self.target = Target(label, torch.zeros(batch, dtype=torch.long, device=chosen.device))
        self.loss = task_loss("dice+ce", CLASSES)

    @torch.inference_mode()
    def forward(self) -> None:
        """Score the batch."""
        self.model.eval()
        with self.machine.autocast():
            self.model(self.rgb, self.depth)

    def step(self) -> None:
        """Compute every gradient."""
        self.model.train().zero_grad(set_to_none=True)
        with self.machine.autocast():
            output = self.model(self.rgb, self.depth, self.target)
        loss = self.loss(output.logits, self.target.label)
        (loss if output.extra_loss is None else loss + output.extra_loss).backward()

    def time(self, work: Callable[[], None]) -> float:
        """Return milliseconds per image."""
        cuda = self.machine.kind == "cuda"
        alone = self.machine.kind == "cpu" and torch.get_num_threads() == 1
        clock = time.process_time if alone else time.perf_counter
        if cuda:
            torch.cuda.synchronize()
        start = clock()
        work()
        if cuda:
            torch.cuda.synchronize()
        return 1000 * (clock() - start) / self.batch

    def kept(self) -> float:
        """Return MiB per image that autograd keeps for the backward pass."""
        weights = {p.untyped_storage().data_ptr() for p in self.model.parameters()}
        sizes: dict[int, int] = {}

        def keep(x: Tensor) -> Tensor:
            sizes[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
            return x

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
            self.step()
        return sum(n for place, n in sizes.items() if place not in weights) / MIB / self.batch

    def peak(self) -> str:
        """Return the height of a step's memory on a GPU."""
        if self.machine.kind != "cuda":
            return "-"
        torch.cuda.reset_peak_memory_stats()
        self.step()
        return f"{machine.peak_memory_mb(self.machine.device):,.0f}"


def fastest(bench: Bench, reference: Bench, repeats: int) -> tuple[float, float, float]:
    """Return forward and step of a method, and the reference's step, measured in turn."""
    for work in (bench.forward, bench.step, reference.step):
        work()  # the first call chooses algorithms
    rounds = [
        (bench.time(bench.forward), bench.time(bench.step), reference.time(reference.step))
        for _ in range(repeats)
    ]
    return tuple(min(column) for column in zip(*rounds, strict=True))


def row(name: str, reference: Bench, size: tuple[int, int], repeats: int) -> str:
    """Return one line of the table."""
    bench = reference if name == "rgb" else Bench(name, size, reference.batch, reference.machine)
    forward, step, beside = fastest(bench, reference, repeats)
    counted = outline(name, CLASSES)
    count = parameters(counted)
    return (
        f"{name:<16}{count:>12,}{multiply_adds(counted, size) / 1e9:>9.2f} G{forward:>10.2f}{step:>10.2f}"
        f"{step / beside:>8.2f}{bench.kept():>9.1f}{bench.peak():>9}"
    )


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--methods", default="all")
    arguments.add_argument("--size", default="224x224")
    arguments.add_argument("--batch", type=int, default=4)
    arguments.add_argument("--repeats", type=int, default=3)
    arguments.add_argument("--device", default="auto")
    arguments.add_argument("--precision", default="fp32", choices=machine.PRECISIONS)
    arguments.add_argument("--threads", type=int, default=0, help="of a CPU; default: all")
    chosen = arguments.parse_args()
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    on = machine.choose(chosen.device, chosen.precision)
    size = tuple(int(x) for x in chosen.size.split("x"))
    wanted = methods.names() if chosen.methods == "all" else chosen.methods.split(",")
    print(
        f"{on}; {size[0]}x{size[1]}, batch {chosen.batch}, fastest of {chosen.repeats}; ms and MiB per image"
    )
    print(
        f"{'method':<16}{'parameters':>12}{'mult-adds':>11}{'forward':>10}{'step':>10}{'ratio':>8}{'kept':>9}{'peak':>9}"
    )
    reference = Bench("rgb", size, chosen.batch, on)
    for name in wanted:
        print(row(name, reference, size, chosen.repeats), flush=True)


if __name__ == "__main__":
    main()
