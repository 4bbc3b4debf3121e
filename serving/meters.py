"""What the server has done and has before it, counted for Prometheus."""

from __future__ import annotations

from functools import partial
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from .jobs import Job, Jobs, State

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST

BEFORE_THE_END: Final[tuple[State, ...]] = ("uploading", "waiting", "running")

BUCKETS: Final = (1, 2, 5, 10, 20, 60, 120, 300, 600, 1800, 3600)
"""Upper bounds in seconds: one study takes a few, a folder of hundreds most of an hour."""


class Meters:
    """Counts what ended, and tells what is there when it is asked.

    They hold numbers alone: no names of patients, files or jobs.

    Args:
        network: name of the network that outlines.
        sha256: of its weights.
        version: of gliomaseg.
    """

    def __init__(self, network: str, sha256: str, version: str) -> None:
        self._registry = to = CollectorRegistry()
        ProcessCollector(registry=to)
        info = Info("gliomaseg", "The model that outlines, and the version of gliomaseg.", registry=to)
        info.info({"network": network, "model_sha256": sha256, "version": version})
        self._ended = Counter("gliomaseg_jobs_ended", "Uploads that ended.", ["state"], registry=to)
        self._studies = Counter(
            "gliomaseg_studies", "Studies that were outlined, or could not be.", ["state"], registry=to
        )
        self._seconds = Histogram(
            "gliomaseg_job_seconds", "From the turn of an upload to its end.", buckets=BUCKETS, registry=to
        )
        for state in ("done", "failed"):  # 0 before there are any, so that rates are known from the start
            self._ended.labels(state)
            self._studies.labels(state)

    def watch(self, jobs: Jobs) -> None:
        """Tell of these jobs when asked."""
        now = Gauge("gliomaseg_jobs", "Uploads that have not ended.", ["state"], registry=self._registry)
        for state in BEFORE_THE_END:
            now.labels(state).set_function(partial(jobs.count, state))
        ready = Gauge("gliomaseg_ready", "1 while uploads are worked on, else 0.", registry=self._registry)
        ready.set_function(lambda: jobs.is_alive)

    def count(self, job: Job, seconds: float) -> None:
        """Count a job that has ended.

        Args:
            job: it.
            seconds: from its turn to its end.
        """
        self._ended.labels(job.state).inc()
        self._seconds.observe(seconds)
        done, failed = (len(job.results.get(key, ())) for key in ("studies", "failed"))
        self._studies.labels("done").inc(done)
        self._studies.labels("failed").inc(failed or int(job.state == "failed"))  # one alone has no table

    def text(self) -> bytes:
        """Return all in the text form of Prometheus."""
        return generate_latest(self._registry)
