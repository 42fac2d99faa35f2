"""The Ray executor: cohorts as tasks of a cluster whose nodes share the study's folder.

Ray says where a task runs and when its node has died; everything else is as in the local executor: a lost run is tried
again, elsewhere, from its last checkpoint. Knows nothing of what a run computes.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from crossnorm.errors import BadInput
from crossnorm.io import storage_fault
from crossnorm.study.executors.retries import Retries
from crossnorm.study.spec.plan import Cohort, Plan, Run
from crossnorm.study.storage.study_folder import unwritable

__all__ = ["run_ray"]

Event = dict[str, Any]

_PATIENCE = 10.0  # seconds that a cluster has to answer


def run_ray(
    plan: Plan,
    cohorts: Sequence[Cohort],
    folder: Path,
    *,
    address: str,
    workers: int,
    device: str,
    imports: Sequence[str],
    listen: Callable[[int, Event], None],
    orders: Mapping[str, Any] | None = None,
) -> None:
    """Carry out cohorts as tasks of a Ray cluster and return when every run has an outcome.

    Args:
        plan: The study.
        cohorts: What is to be done, in this order.
        folder: The study's folder, under the same path on every node.
        address: "local": a cluster of this machine alone, on the loopback; else an address that Ray connects to.
        workers: The most tasks at once.
        device: The torch device of a task; "cuda" asks Ray for a GPU each.
        imports: Modules that a task imports first.
        listen: As in `run_local`.
        orders: As in `run_local`.

    Raises:
        BadInput: Ray is not installed or cannot be reached, or the folder can no longer be written.
    """
    job = {
        "spec": plan.spec.model_dump(),
        "folder": str(folder.resolve()),
        "device": device,
        "imports": list(imports),
        **(orders or {}),
    }
    if cohorts:
        with _connected(address, workers) as ray:
            _Tasks(ray, cohorts, folder, job, listen).run(workers)


@contextmanager
def _connected(address: str, workers: int) -> Iterator[Any]:
    try:
        import ray
    except ImportError as error:
        raise BadInput("--ray", "ray to be installed", str(error), "pip install 'crossnorm[ray]'.") from None
    settings: dict[str, Any] = {"address": address}
    if address == "local":
        settings |= {"num_cpus": workers, "include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    try:
        _knock(address)
        ray.init(log_to_driver=False, ignore_reinit_error=True, **settings)
    except (OSError, ValueError, RuntimeError) as error:
        raise BadInput("--ray", "local, or the address of a cluster that answers", f"{address} ({error})") from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Whether anything answers at host:port, since Ray itself would try for minutes; other forms are left to Ray."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE).close()


class _Tasks:
    def __init__(
        self, ray: Any, cohorts: Sequence[Cohort], folder: Path, job: Event, listen: Callable[[int, Event], None]
    ) -> None:
        from ray.util.queue import Queue
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self.ray, self.folder, self.listen = ray, folder, listen
        self.pending = deque(cohorts)
        self.retries = Retries(folder, self.pending, listen)
        # On this process's own node: on another one it could die with that node.
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self.events = Queue(actor_options={"num_cpus": 0, "scheduling_strategy": here})
        self.job = ray.put(job)
        self.running: dict[Any, tuple[int, Cohort]] = {}
        resources = {"num_gpus": 1} if job["device"] == "cuda" else {}
        self.task = ray.remote(num_cpus=1, max_retries=0, **resources)(_carry_out)

    def run(self, workers: int) -> None:
        while self.pending or self.running:
            free = [number for number in range(workers) if number not in {n for n, _ in self.running.values()}]
            while self.pending and free:
                self._submit(free.pop(0))
            done, _ = self.ray.wait(list(self.running), timeout=0.2)
            self._hear()
            for task in done:
                self._ended(task)

    def _submit(self, number: int) -> None:
        cohort = self.pending.popleft()
        order = {"seed": cohort.seed, "arms": list(cohort.arms)}
        self.running[self.task.remote(self.job, number, order, self.events)] = (number, cohort)
        self.listen(number, {"event": "cohort", **order})

    def _hear(self) -> None:
        while not self.events.empty():
            number, event = self.events.get()
            if event["event"] == "finished" and event["status"] == "crashed":
                self.retries.crashed(number, Run(event["arm"], event["seed"]), event["reason"])
            else:
                self.listen(number, event)

    def _ended(self, task: Any) -> None:
        number, cohort = self.running.pop(task)
        try:
            self.ray.get(task)
        except self.ray.exceptions.RayError as error:
            fault = storage_fault(getattr(error, "cause", error))
            if fault is not None:
                raise unwritable(self.folder, fault) from None
            self.retries.lost(number, cohort, f"{type(error).__name__}: {str(error).strip().splitlines()[0]}")


def _carry_out(job: Mapping[str, Any], number: int, order: Event, events: Any) -> None:
    """A task: the cohort, in whatever process Ray has for it."""
    import torch

    from crossnorm.study.workload.workload import carrier
    from crossnorm.training.runtime.process_memory import hold_memory

    hold_memory()
    torch.set_num_threads(1)
    cohort = Cohort(order["seed"], tuple(order["arms"]))
    carrier(job)(cohort, lambda event: events.put((number, event)))
