"""What was asked of a study: the words of the command line, read and checked, and the runs they mean."""

import re
from collections.abc import Collection
from dataclasses import dataclass

from rgbd_lib import kept, methods, paths, sweeps
from rgbd_lib.conditions import SETS
from rgbd_lib.errors import UserError, unknown
from rgbd_lib.profiles import profile
from rgbd_lib.runs import DEFAULT_DATA, Run, find

LIGHTINGS = "lightings"


@dataclass(frozen=True)
class Wanted:
    """What was asked for, checked."""

    profile: str
    methods: tuple[str, ...]
    seeds: tuple[int, ...]
    lightings: tuple[str, ...] = ("mixed",)
    data: str = DEFAULT_DATA
    conditions: tuple[str, ...] = ()  # sets tested beside the lightings, which every run is tested under
    sweeps: str = ""  # names of sweeps whose runs are made as well
    afresh: bool = False  # make what the tables hold already as well

    @classmethod
    def parse(
        cls,
        profile_name: str,
        methods_: str,
        seeds: str,
        lightings: str,
        data: str,
        conditions: str = "",
        sweeps_: str = "",
        afresh: bool = False,
    ) -> "Wanted":
        """Read the words of the command line; unknown ones are errors before anything starts."""
        known = methods.names()
        named = {"all": known, "none": []}.get(methods_, methods_.split(","))
        chosen = tuple(name.strip() for name in named)
        for name in chosen:
            if name not in known:
                raise unknown("method", name, known)
        numbers = parse_numbers(seeds) if seeds else profile(profile_name).seeds
        profile(profile_name)
        tested, lights, place = parse_conditions(conditions), parse_lightings(lightings), portable(data)
        sweeps.runs(sweeps_, profile_name, 0, place)
        return cls(profile_name, chosen, numbers, lights, place, tested, sweeps_, afresh)

    def runs(self) -> list[Run]:
        """Return the grid's runs, teachers before their students, nothing twice."""
        grid = [
            Run(name, self.profile, seed, lighting, self.data)
            for lighting in self.lightings
            for seed in self.seeds
            for name in self.methods
        ]
        varied = [run for s in self.seeds for run in sweeps.runs(self.sweeps, self.profile, s, self.data)]
        wanted = (needed for run in [*grid, *varied] for needed in with_required(run))
        return list({run.id: run for run in wanted}.values())

    def shown(self) -> list[Run]:
        """Return the runs that method cards show: one per method."""
        return [Run(name, self.profile, self.seeds[0], self.lightings[0], self.data) for name in self.methods]

    def spared(self, parts: Collection[str]) -> list[Run]:
        """Return the runs that the tables hold already, made and tested by this code from these data.

        Those whose weights a method card or a student needs are not among them.
        """
        if self.afresh:
            return []
        cards = self.shown() if "notebooks" in parts else []
        known = {run.id for run in self.runs() if kept.holds(run, self.conditions)}
        trained = [run for run in self.runs() if run.id not in known and find(run) is None]
        needed = {
            r.id for run in [*cards, *trained] for r in with_required(run)
        }  # students need teachers' weights
        return [run for run in self.runs() if run.id in known - needed]


def with_required(run: Run) -> list[Run]:
    """Return a run after all runs it learns from."""
    needed = [r for required in run.required().values() for r in with_required(required)]
    return [*needed, run]


def parse_numbers(text: str) -> tuple[int, ...]:
    """Read "0-2", "0..2" or "0,3,5" as numbers."""
    found: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)\s*(?:(?:-|\.\.)\s*(\d+)\s*)?", part)
        if not match or int(match[2] or match[1]) < int(match[1]):
            raise UserError(f"'{text}' is no list of numbers; say 0-2 or 0,3,5")
        found += range(int(match[1]), int(match[2] or match[1]) + 1)
    return tuple(dict.fromkeys(found))


def parse_lightings(text: str) -> tuple[str, ...]:
    """Read "mixed,1..8" as the lightings to train on, one run each; the data says later which exist."""
    found: list[str] = []
    for part in (p.strip() for p in text.split(",")):
        found += map(str, parse_numbers(part)) if part[:1].isdigit() else [part]
    return tuple(dict.fromkeys(found))


def parse_conditions(text: str) -> tuple[str, ...]:
    """Read "suite,missing" as sets of test conditions; the lightings need no asking."""
    found = dict.fromkeys(p.strip() for p in text.split(",") if p.strip())
    for name in found:
        if name not in SETS:
            raise unknown("set of conditions", name, SETS)
    return tuple(name for name in found if name != LIGHTINGS)


def portable(data: str) -> str:
    """Return a data path that means the same in every process: relative to the project where it lies inside."""
    place, home = paths.data(data).resolve(), paths.home().resolve()
    return place.relative_to(home).as_posix() if place.is_relative_to(home) else str(place)
