"""The Ray executor: cohorts as tasks of a cluster whose nodes share the study's folder.

Ray places the tasks and reports dead nodes. As in the local executor, a lost run is retried from its last checkpoint.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from crossnorm.errors import BadInput
from crossnorm.io import storage_fault
from crossnorm.study.events import CohortStarted, Finished, Listener, decode_event, encode
from crossnorm.study.executors.retries import Retries
from crossnorm.study.spec.plan import Cohort
from crossnorm.study.storage.study_lock import unwritable
from crossnorm.study.workload.job import Job, cohort_runner
from crossnorm.training.loop.outcome import RunStatus

__all__ = ["run_ray"]

_CONNECT_SECONDS = 10.0


def run_ray(job: Job, cohorts: Sequence[Cohort], *, address: str, workers: int, listen: Listener) -> None:
    """Train cohorts as tasks of a Ray cluster; return when every run has an outcome.

    Args:
        job: What the tasks train; every node has its folder under the same path. The device "cuda" requests one GPU
            per task.
        cohorts: The cohorts, in this order.
        address: "local" for a cluster on this machine, bound to the loopback interface; else a Ray address.
        workers: Maximum number of concurrent tasks.
        listen: Receives the events, in this thread.

    Raises:
        BadInput: Ray is not installed or does not answer, the folder cannot be written, or a function does not log the
            study's metric.
        StudyStopped: An arm crashes on every seed.
    """
    if cohorts:
        with _connected(address, workers) as ray:
            _Tasks(ray, job, cohorts, listen).run(workers)


@contextmanager
def _connected(address: str, workers: int) -> Iterator[Any]:
    try:
        import ray
    except ImportError as error:
        raise BadInput.because("ray", f"not installed ({error})", "pip install 'crossnorm[ray]'.") from None
    settings: dict[str, Any] = {"address": address}
    if address == "local":
        settings |= {"num_cpus": workers, "include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    if not address.startswith("ray://"):
        settings |= {"job_config": _job_config()}
    try:
        _check_reachable(address)
        ray.init(log_to_driver=False, ignore_reinit_error=True, **settings)
    except (OSError, ValueError, RuntimeError) as error:
        raise BadInput("ray", '"local" or the address of a running cluster', f"{address} ({error})") from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _job_config() -> Any:
    """Settings with which Ray leaves its workers' path alone.

    Without them it puts the working directory first, where any file would replace a library. What the job needs from
    there is on its own path.
    """
    from ray.job_config import JobConfig

    class OwnPath(JobConfig):  # type: ignore[misc]
        def _runtime_env_has_working_dir(self) -> bool:  # Ray then adds no folder
            return True

    return OwnPath()


def _check_reachable(address: str) -> None:
    """Connect to host:port once, since Ray itself retries for minutes; Ray checks other forms of address."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS).close()


class _Tasks:
    def __init__(self, ray: Any, job: Job, cohorts: Sequence[Cohort], listen: Listener) -> None:
        from ray.util.queue import Queue
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self.ray, self.folder, self.listen = ray, job.folder, listen
        self.pending = deque(cohorts)
        self.retries = Retries(job.folder, job.plan, self.pending, listen)
        # On the node of this process: it survives the death of any other node.
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self.events = Queue(actor_options={"num_cpus": 0, "scheduling_strategy": here})
        self.job = ray.put(job.encode())
        self.running: dict[Any, tuple[int, Cohort]] = {}
        resources = {"num_gpus": 1} if job.device == "cuda" else {}
        self.task = ray.remote(num_cpus=1, max_retries=0, **resources)(_run_cohort)

    def run(self, workers: int) -> None:
        while self.pending or self.running:
            free = [number for number in range(workers) if number not in {n for n, _ in self.running.values()}]
            while self.pending and free:
                self._submit(free.pop(0))
            done, _ = self.ray.wait(list(self.running), timeout=0.2)
            self._receive()
            for task in done:
                self._ended(task)

    def _submit(self, number: int) -> None:
        cohort = self.pending.popleft()
        self.running[self.task.remote(self.job, number, cohort, self.events)] = (number, cohort)
        self.listen(number, CohortStarted(cohort))

    def _receive(self) -> None:
        while not self.events.empty():
            number, line = self.events.get()
            event = decode_event(line)
            if isinstance(event, Finished) and event.outcome.status is RunStatus.CRASHED:
                self.retries.crashed(number, event.run, event.outcome)
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


def _run_cohort(job: str, number: int, cohort: Cohort, events: Any) -> None:
    """The Ray task: train one cohort."""
    cohort_runner(Job.decode(job))(cohort, lambda event: events.put((number, encode(event))))
