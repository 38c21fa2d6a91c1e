"""Where jobs are done: worker processes on this machine, or a running dask scheduler by its address."""

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import dask
from dask.system import CPU_COUNT
from distributed import Client, Nanny, Scheduler, SpecCluster
from distributed.comm import parse_address, parse_host_port
from distributed.system import MEMORY_LIMIT
from tqdm import tqdm

from rgbd_lib.errors import UserError

DEATHS = 3  # a job whose worker died is started again this often; one that kills every worker must end
MEMORY = 1.5 * 2**30  # bytes that a training worker or a notebook's kernel takes; too many of them would swap
ANSWER = 10  # seconds until a scheduler has answered, or does not exist
ALONE = {
    "OMP_NUM_THREADS": "1",  # trainings side by side beat threads inside one
    "MKL_NUM_THREADS": "1",
    "THP_MEM_ALLOC_ENABLE": "1",  # large pages for large tensors, where the system has them
}
SETTINGS = {
    "distributed.scheduler.worker-ttl": None,  # a long step is not a death
    "distributed.comm.timeouts.connect": "60s",  # on a busy machine a process takes its time to start
    "distributed.admin.system-monitor.gil.enabled": False,
}


def gpus() -> list[str]:
    """Return the names of the GPUs that may be used, as CUDA_VISIBLE_DEVICES wants them."""
    import torch  # not above: a worker imports this file before it is told which GPU it has

    allowed = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    count = torch.cuda.device_count()
    return (allowed or [str(i) for i in range(count)])[:count]


def places(jobs: int | None = None) -> list[dict[str, str]]:
    """Return the environment of each worker: one per GPU, else one per core as far as memory goes."""
    devices = gpus()
    fitting = len(devices) or max(1, min(CPU_COUNT, int(MEMORY_LIMIT // MEMORY)))
    count = jobs or fitting
    if not devices:
        return [ALONE] * count
    return [ALONE | {"CUDA_VISIBLE_DEVICES": devices[i % len(devices)]} for i in range(count)]


def start(environments: list[dict[str, str]]) -> SpecCluster:
    """Start one worker process per environment; it is set before the process imports anything large."""
    here = {"host": "127.0.0.1", "dashboard": False, "dashboard_address": "127.0.0.1:0"}
    worker = here | {
        "nthreads": 1,
        "memory_limit": 0,  # no limit: training may use what there is
        "silence_logs": logging.CRITICAL,
        "preload": ["rgbd_lib.workers"],
    }
    with deaf(), dask.config.set(SETTINGS | {"distributed.scheduler.allowed-failures": DEATHS}):
        return SpecCluster(
            scheduler={"cls": Scheduler, "options": here | {"port": 0}},
            workers={
                i: {"cls": Nanny, "options": worker | {"env": env}} for i, env in enumerate(environments)
            },
            silence_logs=logging.CRITICAL,
        )


@contextmanager
def deaf() -> Iterator[None]:
    """Ignore Ctrl-C for the seconds in which processes start: half a cluster cannot be closed. They inherit it."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are not this thread's business
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def dask_setup(worker: object) -> None:
    """Prepare a worker process; dask calls this in each of them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started the workers
    tqdm.set_lock(threading.RLock())  # its own lock is shared between processes, and outlives a killed one


def connect(cluster: SpecCluster | str) -> Client:
    """Return a client; an address where nobody answers is the user's mistake."""
    try:
        if isinstance(cluster, str):
            knock(cluster)
        return Client(cluster, timeout=ANSWER if isinstance(cluster, str) else 60)
    except (OSError, ValueError) as error:
        raise UserError(
            f"no dask scheduler answers at {cluster} ({type(error).__name__}); start one with `dask scheduler` and "
            "give the address that it prints, like tcp://host:8786"
        ) from error


def knock(address: str) -> None:
    """Open a connection to a scheduler's address and close it; a client waits longer for nobody, and ends less well."""
    scheme, place = parse_address(address)
    if scheme in ("tcp", "tls"):
        socket.create_connection(parse_host_port(place), timeout=ANSWER).close()


def kill(cluster: SpecCluster) -> None:
    """End all workers at once: whatever they do may be cut off, and nobody wants to wait for it."""
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what the dead do not answer is no news
    for nanny in cluster.workers.values():
        nanny.auto_restart = False
        if nanny.pid:
            with suppress(ProcessLookupError):
                os.kill(nanny.pid, signal.SIGKILL)
