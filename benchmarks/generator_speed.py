"""Speed of the synthetic data: seconds per scene by stage, and the time for 324 scenes that follows.

Reference in the same run: writing the finished pictures as PNG, which any generator would have to do.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import cv2

from rgbd_lib.commands.data_synth import parse_size
from rgbd_lib.datasets.synthetic import capture, design, render_scene, write
from rgbd_lib.datasets.synthetic.writer import PNG, pictures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="480x640")
    parser.add_argument("--scenes", type=int, default=12)
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    size, cores = parse_size(args.size), cv2.getNumThreads()
    cv2.setNumThreads(1)
    plans = design(324, 0)[:: 324 // args.scenes]
    capture(plans[0], 0, size)  # tables and textures are made once per process
    spent = {
        "light and geometry": 0.0,
        "all of a capture": 0.0,
        "depth pictures": 0.0,
        "PNG files (reference)": 0.0,
    }
    for plan in plans:
        clock = [time.process_time()]

        def lap(clock: list[float] = clock) -> float:
            clock.append(time.process_time())
            return clock[-1] - clock[-2]

        render_scene(plan, 0, size)
        spent["light and geometry"] += lap()
        made = capture(plan, 0, size)
        spent["all of a capture"] += lap()
        files = pictures(made)
        spent["depth pictures"] += lap()
        for picture in files.values():
            cv2.imencode(".png", picture, PNG)
        spent["PNG files (reference)"] += lap()
    reference = spent["PNG files (reference)"]
    for name, seconds in spent.items():
        print(
            f"{name:24} {1000 * seconds / len(plans):7.0f} ms per scene, {seconds / reference:5.2f} x reference"
        )
    total = sum(v for k, v in spent.items() if k != "light and geometry") / len(plans)
    print(f"324 scenes on {args.jobs} idle cores: {324 * total / args.jobs:.0f} s expected at {args.size}")
    cv2.setNumThreads(cores)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        write(Path(folder) / "set", scenes=args.scenes, size=size, jobs=args.jobs, progress=False)
        wall = time.perf_counter() - start
    peak = (
        max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        / 1024
    )
    print(f"{args.scenes} scenes written in {wall:.1f} s by {args.jobs} processes, start included; ", end="")
    print(f"peak {peak:.0f} MB per process")


if __name__ == "__main__":
    main()
