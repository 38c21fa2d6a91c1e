"""A run: what identifies it, the folder it lives in, and "give me this run".

A run is one method trained once. Its identity is the hash of its parameters, of the data's content and of the code
that determines it: editing a method's file gives that method's runs new identities and leaves all others alone.
"""

import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path

import pandas as pd
import torch
from filelock import FileLock, Timeout
from torch import nn

from rgbd_lib import checkpoint, cuda, distributed, evaluation, identity, machine, material, methods, paths
from rgbd_lib.errors import UserError
from rgbd_lib.methods.initialise import start_at_prior
from rgbd_lib.recipe import Recipe
from rgbd_lib.training import Trainer

DEFAULT_DATA = "data/mm5_synth"
OTHER = {"best": "last", "last": "best"}  # weights of a finished run
_materials = lru_cache(maxsize=4)(material.prepare)


@dataclass(frozen=True)
class Run:
    """The parameters of one training."""

    method: str
    profile: str = "quick"
    seed: int = 0
    lighting: str = "mixed"  # what it is trained on: "mixed", "3", "1,3" or "all-but-3"
    data: str = DEFAULT_DATA
    split: str = "grouped"  # by capture run; "official" is the data set's own
    init: str = "random"
    options: Mapping[str, object] = field(default_factory=dict)  # of the method
    settings: Mapping[str, object] = field(
        default_factory=dict
    )  # of the recipe, where they differ from the profile

    @cached_property
    def recipe(self) -> Recipe:
        """Return how this run trains."""
        return Recipe.of(self.profile, self.settings)

    def material(self) -> material.Material:
        """Return the data of this run, decoded and checked; several runs in one process share it."""
        return _materials(self.data, self.recipe, str(self.lighting), self.split)

    def required(self) -> dict[str, "Run"]:
        """Return the runs that must be finished before this one: same data, seed and budget."""
        return {name: replace(self, method=name, options={}) for name in methods.get(self.method).requires}

    @cached_property
    def id(self) -> str:
        """Return the name of the run's folder: the method and a hash of all that determines the result."""
        data = self.material()
        known = {
            **self.parameters(),
            "recipe": asdict(self.recipe),
            "data": data.cache.identity,
            "scenes": {name: [data.cache.scenes[i] for i in at] for name, at in data.splits.items()},
            "classes": data.dataset.classes,
            "code": [identity.code(identity.TRAINING), identity.method_code(self.method, self.options)],
            "requires": {name: run.id for name, run in self.required().items()},
        }
        return f"{self.method}-{identity.digest(known)}"

    def parameters(self) -> dict[str, object]:
        """Return what was chosen, without the place where the data lies."""
        return {key: value for key, value in asdict(self).items() if key != "data"}

    @property
    def folder(self) -> Path:
        """Return where the run's record is or will be."""
        return paths.results() / "runs" / self.id

    def __hash__(self) -> int:
        return hash(identity.digest(asdict(self)))


@dataclass(frozen=True)
class Record:
    """A finished run on disk."""

    folder: Path

    @cached_property
    def info(self) -> dict:
        """Return parameters, data, versions, cost and summary scores, as recorded."""
        return json.loads((self.folder / "run.json").read_text(encoding="utf-8"))

    @property
    def has_weights(self) -> bool:
        """Whether the networks are here; a record that was brought from another machine may have scores alone."""
        return (self.folder / "best.safetensors").exists()

    @property
    def best_is_last(self) -> bool:
        """Whether the epoch that validation chose is the last: then both names mean the same weights."""
        return self.info["validation"]["best_epoch"] == self.info["recipe"]["epochs"] - 1

    @property
    def run(self) -> Run:
        """Return the parameters this record was made with."""
        return Run(**self.info["parameters"], data=self.info["data"]["path"])

    @cached_property
    def history(self) -> pd.DataFrame:
        """Return one row per epoch."""
        return pd.read_csv(self.folder / "history.csv")

    def scores(self, conditions: str = "lightings", weights: str = "best") -> evaluation.Scores:
        """Return the stored evaluation of these conditions; it is made now if it was not."""
        path = self.folder / f"{conditions}-{weights}.npz"
        if not path.exists():
            evaluate(self.run, conditions, weights=weights)
        return evaluation.Scores.load(path)

    def model(self, weights: str = "best", device: str = "cpu") -> nn.Module:
        """Return the trained model in evaluation mode."""
        if not self.has_weights:
            raise UserError(
                f"{self.folder} has scores but no weights: it was brought from another machine. Bring its "
                f"{weights}.safetensors as well, or delete the folder: then the run is made here"
            )
        parameters = self.info["parameters"]
        model = methods.build(
            self.info["parameters"]["method"],
            len(self.info["data"]["classes"]),
            width=self.info["recipe"]["width"],
            **parameters["options"],
        )
        checkpoint.load_weights(model, self.folder / f"{weights}.safetensors")
        return model.eval().to(device)


def find(run: Run) -> Record | None:
    """Return the record of a run if it is finished, else None."""
    return Record(run.folder) if (run.folder / "run.json").exists() else None


def records(folder: Path | None = None) -> Iterator[Record]:
    """Yield every finished record; a broken one is named and skipped, never counted."""
    for path in sorted((folder or paths.results() / "runs").glob("*/run.json")):
        record = Record(path.parent)
        try:
            record.info["parameters"], record.info["data"], record.history
            yield record
        except (OSError, ValueError, KeyError) as error:
            print(f"skipped {path.parent}: its record cannot be read ({error})")


def get(run: Run, *, quiet: bool = False, **execution: object) -> Record:
    """Return a run's record from disk, or train and evaluate it first. Safe when two processes ask at once."""
    record = find(run)
    if record is None:
        train(run, quiet=quiet, **execution)
        evaluate(run, "lightings", weights="last", quiet=quiet)  # what selection on validation was worth
        record = evaluate(run, "lightings", quiet=quiet)
    return record


def train(
    run: Run,
    *,
    device: str = "auto",
    compiled: bool = False,
    quiet: bool = False,
    tensorboard: bool = False,
) -> Record:
    """Train a run, or take it up where it was stopped; a finished one is returned as it is."""
    methods.get(run.method)
    chosen = machine.choose(device, run.recipe.precision, compiled)
    distributed.start(chosen.device)
    teachers = {name: get(needed, quiet=quiet, device=device) for name, needed in run.required().items()}
    data = run.material()
    try:
        run.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot write {run.folder}: {error}. Point RGBD_RESULTS at a folder you may write"
        ) from error
    with working_alone(run.folder, quiet):
        if record := find(run):
            return record
        if not quiet and distributed.rank() == 0:
            print(f"{run.id}: {chosen}; {len(data.splits['train'])} scenes of {data.dataset.name}")
        model = build(run, data, teachers, chosen.device)
        kind = cuda.trainer(chosen, run.recipe)
        trainer = kind(model, data, run.recipe, chosen, seed=run.seed, folder=run.folder)
        begun = time.time()
        history = trainer.run(quiet=quiet, tensorboard=tensorboard, title=run.id)
        if distributed.rank() == 0:
            finish(run, data, history, trainer, begun)
        distributed.wait()
    return Record(run.folder)


def build(run: Run, data: material.Material, teachers: Mapping[str, Record], device: str) -> nn.Module:
    """Return the run's model before training."""
    trained = {name: record.model(device=device) for name, record in teachers.items()}
    model = methods.build(
        run.method,
        data.classes,
        width=run.recipe.width,
        init=run.init,
        seed=run.seed,
        teachers=trained or None,
        **run.options,
    )
    if run.recipe.prior:
        start_at_prior(model, torch.from_numpy(data.class_counts / data.class_counts.sum()))
    return model


def finish(run: Run, data: material.Material, history: pd.DataFrame, trainer: Trainer, begun: float) -> None:
    """Write the record; ``run.json`` comes last, so that its existence means all is there."""
    history.to_csv(run.folder / "history.csv", index=False)
    best = int(history.val_miou.idxmax())
    cost = {
        "parameters": sum(p.numel() for p in trainer.model.parameters()),
        "train_seconds": round(trainer.busy, 2),
        "images_per_second": round(trainer.images / max(trainer.busy, 1e-9), 2),
        "peak_memory_mb": round(machine.peak_memory_mb(trainer.machine.device)),
        "device": str(trainer.machine),
        "finished": round(begun + trainer.busy),
    }
    info = {
        "parameters": run.parameters(),
        "recipe": asdict(run.recipe),
        "data": {
            "path": str(run.data),
            "name": data.dataset.name,
            "synthetic": data.dataset.synthetic,
            "identity": data.cache.identity,
            "classes": list(data.dataset.classes),
            "background": data.dataset.background,
            "to_raw": data.cache.to_raw,
            "lightings": list(data.dataset.lightings),
            "scenes": {name: len(positions) for name, positions in data.splits.items()},
        },
        "statistics": asdict(data.stats),
        "validation": {"best": history.val_miou.max(), "best_epoch": best, "last": history.val_miou.iloc[-1]},
        "cost": cost,
        "versions": machine.versions(),
    }
    partial = run.folder / "run.json.partial"
    partial.write_text(json.dumps(info, indent=1, default=float) + "\n", encoding="utf-8")
    os.replace(partial, run.folder / "run.json")
    checkpoint.clear(run.folder)


def evaluate(
    run: Run,
    conditions: str = "lightings",
    *,
    weights: str = "best",
    device: str = "auto",
    quiet: bool = False,
) -> Record:
    """Score a finished run on the test scenes under these conditions; scores already there are kept."""
    record = find(run)
    if record is None:
        raise UserError(
            f"{run.method} (seed {run.seed}, {run.profile}) is not trained yet; `rgbd train --method {run.method}` does it"
        )
    path = run.folder / f"{conditions}-{weights}.npz"
    with working_alone(run.folder, quiet):
        if not path.exists() and record.best_is_last:
            take_over(run.folder, conditions, weights)
        if not path.exists():
            chosen = machine.choose(device, run.recipe.precision)
            scores = evaluation.evaluate(
                record.model(weights, chosen.device),
                run.material(),
                chosen,
                conditions=conditions,
                quiet=quiet,
            )
            scores.save(path)
    return record


def take_over(folder: Path, conditions: str, weights: str) -> None:
    """Copy the scores of the same weights under their other name, if those are there."""
    path, twin = (folder / f"{conditions}-{name}.npz" for name in (weights, OTHER[weights]))
    if twin.exists():
        partial = path.with_suffix(".partial.npz")
        shutil.copyfile(twin, partial)
        os.replace(partial, path)


def working_alone(folder: Path, quiet: bool) -> FileLock:
    """Return the lock of a run's folder; whoever comes second waits. Ranks of one training share the first's."""
    if distributed.rank() > 0:
        return FileLock(str(folder / f".lock-{distributed.rank()}"))
    lock = FileLock(str(folder / ".lock"))
    try:
        lock.acquire(timeout=0.1)
        lock.release()
    except Timeout:
        if not quiet:
            print(f"{folder.name}: another process is at work on it; waiting")
    return lock
