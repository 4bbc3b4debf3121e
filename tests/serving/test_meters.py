from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gliomaseg.serving.jobs import Job, Jobs
from gliomaseg.serving.meters import CONTENT_TYPE, Meters


@pytest.fixture
def meters() -> Meters:
    return Meters("some_network", "ab" * 32, "1.2.3")


def told(meters: Meters) -> dict[str, float]:
    """Return name and labels of every number, and the number."""
    families = text_string_to_metric_families(meters.text().decode())
    return {
        sample.name + "".join(f"|{value}" for value in sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


def ended(state: Any, studies: int = 0, failed: int = 0) -> Job:
    results = {"studies": [{}] * studies, "failed": [{}] * failed} if studies or failed else {}
    return Job("secret-name", Path("nowhere"), state=state, results=results)


def test_before_anything_is_done_there_are_zeros(meters: Meters) -> None:
    found = told(meters)
    for name in ("jobs_ended_total", "studies_total"):
        assert (found[f"gliomaseg_{name}|done"], found[f"gliomaseg_{name}|failed"]) == (0, 0)
    assert found["gliomaseg_job_seconds_count"] == 0
    assert found["gliomaseg_info|" + "ab" * 32 + "|some_network|1.2.3"] == 1


def test_jobs_and_studies_are_counted_by_how_they_ended(meters: Meters) -> None:
    meters.count(ended("done", studies=3, failed=1), 4.0)
    meters.count(ended("failed", failed=2), 0.5)
    meters.count(ended("failed"), 0.25)
    found = told(meters)
    assert (found["gliomaseg_jobs_ended_total|done"], found["gliomaseg_jobs_ended_total|failed"]) == (1, 2)
    assert (found["gliomaseg_studies_total|done"], found["gliomaseg_studies_total|failed"]) == (3, 4)
    assert (found["gliomaseg_job_seconds_count"], found["gliomaseg_job_seconds_sum"]) == (3, 4.75)
    assert (found["gliomaseg_job_seconds_bucket|1.0"], found["gliomaseg_job_seconds_bucket|5.0"]) == (2, 3)


def test_jobs_that_have_not_ended_are_told_as_they_are_when_asked(meters: Meters, tmp_path: Path) -> None:
    jobs = Jobs(tmp_path, lambda job, goes: None)
    meters.watch(jobs)
    first, _ = jobs.open(), jobs.open()
    assert told(meters)["gliomaseg_jobs|uploading"] == 2
    jobs.submit(first)
    found = told(meters)
    assert [found[f"gliomaseg_jobs|{state}"] for state in ("uploading", "waiting", "running")] == [1, 1, 0]
    assert found["gliomaseg_ready"] == 0  # nobody has started the worker


def test_no_name_is_told(meters: Meters) -> None:
    meters.count(ended("done", studies=1), 1.0)
    assert b"secret-name" not in meters.text()


def test_two_servers_in_one_process_count_for_themselves(meters: Meters) -> None:
    meters.count(ended("done"), 1.0)
    assert told(Meters("other", "cd" * 32, "1"))["gliomaseg_jobs_ended_total|done"] == 0


def test_the_form_is_the_one_that_prometheus_reads() -> None:
    assert CONTENT_TYPE.startswith("text/plain; version=")
