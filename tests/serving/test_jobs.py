from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from gliomaseg.serving.jobs import OUR_FAULT, UPLOAD_SECONDS, FullError, Goes, Job, Jobs
from gliomaseg.serving.refusals import UnknownError
from gliomaseg.workflows.system.files import InputError
from gliomaseg.workflows.system.machine import said_of

PATIENCE = 60  # seconds that a test waits for a thread before it gives up


class Gate:
    """Work that tells when it has begun and ends when it is let go; what it raises is up to the test."""

    def __init__(self, error: Exception | None = None, results: bool = True) -> None:
        self.begun, self.go = threading.Event(), threading.Event()
        self.error, self.results = error, results
        self.order: list[str] = []

    def __call__(self, job: Job, goes: Goes) -> None:
        self.order.append(job.id)
        self.begun.set()
        assert self.go.wait(PATIENCE)
        goes()
        if self.results:
            job.results = {"studies": [{"patient": "one"}], "failed": []}
        if self.error is not None:
            raise self.error


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def opened(jobs: Jobs) -> Job:
    job = jobs.open()
    (job.input / "scan.nii.gz").write_bytes(b"scan")
    jobs.submit(job)
    return job


def finish(jobs: Jobs) -> None:
    """Let the worker do all that waits, one after the other, in this thread."""
    while any(job.state == "waiting" for job in jobs._jobs.values()):
        following = jobs._next()
        assert following is not None
        jobs._do(following)


def at_once(tmp_path: Path, work: Gate, **options: object) -> Jobs:
    work.go.set()
    return Jobs(tmp_path, work, **options)


def test_jobs_are_done_in_the_order_in_which_their_uploads_were_complete(tmp_path: Path) -> None:
    work = Gate()
    jobs = at_once(tmp_path, work)
    first, second = jobs.open(), jobs.open()
    jobs.submit(second)
    jobs.submit(first)
    assert (jobs.ahead_of(second), jobs.ahead_of(first)) == (0, 1)
    finish(jobs)
    assert work.order == [second.id, first.id]
    assert (first.state, second.state, jobs.ahead_of(first)) == ("done", "done", 0)


def test_who_waits_is_told_how_many_come_first(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path, Gate())
    assert [jobs.ahead_of(job) for job in [opened(jobs) for _ in range(3)]] == [0, 1, 2]


def test_more_uploads_than_may_wait_are_refused(tmp_path: Path) -> None:
    jobs = at_once(tmp_path, Gate(), waiting=2)
    jobs.open()
    opened(jobs)
    with pytest.raises(FullError, match=r"^2 uploads wait already, which is as many as may; try again later"):
        jobs.open()
    finish(jobs)
    assert jobs.open().input.is_dir()


@pytest.mark.parametrize(
    ("error", "results", "state", "words"),
    [
        (None, True, "done", None),
        (InputError("two of three"), True, "done", "two of three"),
        (InputError("no scan"), False, "failed", "no scan"),
        (MemoryError(), False, "failed", said_of(MemoryError())),
        (RuntimeError("a secret"), True, "failed", OUR_FAULT),
        (RuntimeError("a secret"), False, "failed", OUR_FAULT),
    ],
)
def test_a_job_ends_as_its_work_did(
    error: Exception | None, results: bool, state: str, words: str | None, tmp_path: Path
) -> None:
    jobs = at_once(tmp_path, Gate(error, results))
    job = opened(jobs)
    finish(jobs)
    assert (job.state, job.error) == (state, words)


def test_who_asked_is_told_of_each_job_that_ended_and_how_long_it_took(tmp_path: Path) -> None:
    clock, told = Clock(), []

    def work(job: Job, goes: Goes) -> None:
        clock.now += 7.0
        job.results = {"studies": [{"patient": "one"}], "failed": []}

    jobs = Jobs(tmp_path, work, clock=clock, on_end=lambda job, seconds: told.append((job, seconds)))
    job = opened(jobs)
    assert jobs.count("waiting") == 1
    clock.now = 100.0  # it waits, which does not count
    finish(jobs)
    assert told == [(job, 7.0)]
    assert (job.state, jobs.count("done"), jobs.count("waiting")) == ("done", 1, 0)


def test_who_asked_and_fails_keeps_nobody_from_the_next_job(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(job: Job, seconds: float) -> None:
        raise RuntimeError("no meter")

    jobs = at_once(tmp_path, Gate(), on_end=fail)
    first, second = opened(jobs), opened(jobs)
    finish(jobs)
    assert (first.state, second.state) == ("done", "done")
    assert "no meter" in caplog.text


def test_after_the_gpu_has_stopped_working_nothing_is_tried_again(tmp_path: Path) -> None:
    gate = Gate(RuntimeError("CUDA error: unspecified launch failure"), results=False)
    jobs = at_once(tmp_path, gate)
    jobs._worker = SimpleNamespace(is_alive=lambda: True)
    first, second = opened(jobs), opened(jobs)
    assert jobs.is_alive
    finish(jobs)
    assert gate.order == [first.id]
    assert first.error == second.error == said_of(gate.error)
    assert (first.state, second.state) == ("failed", "failed")
    assert not jobs.is_alive  # so the server says that it is not ready


def test_results_are_deleted_when_their_time_is_over_and_no_sooner(tmp_path: Path) -> None:
    clock = Clock()
    jobs = at_once(tmp_path, Gate(), keep_seconds=60, clock=clock)
    job = opened(jobs)
    clock.now = 1000  # waiting does not count
    finish(jobs)
    clock.now = 1059
    assert jobs.find(job.id) is job
    clock.now = 1060
    with pytest.raises(UnknownError, match=f"There is no job '{job.id}'; results are deleted 1 minutes"):
        jobs.find(job.id)
    assert not job.folder.exists()


def test_a_deleted_job_leaves_nothing_and_is_not_done(tmp_path: Path) -> None:
    work = Gate()
    jobs = at_once(tmp_path, work)
    job = opened(jobs)
    jobs.delete(job)
    finish(jobs)
    assert work.order == []
    assert list(tmp_path.iterdir()) == []


def test_a_job_that_runs_stops_when_it_is_deleted_and_the_next_one_is_done(tmp_path: Path) -> None:
    work = Gate()
    jobs = Jobs(tmp_path, work)
    jobs.start()
    first, second = opened(jobs), opened(jobs)
    assert work.begun.wait(PATIENCE)
    assert (jobs.is_alive, first.state, jobs.ahead_of(second)) == (True, "running", 1)
    jobs.delete(first)
    assert first.folder.exists()  # the work may still be at it
    assert (jobs.is_at_work, jobs.count("running"), jobs.ahead_of(second)) == (True, 1, 1)
    work.go.set()
    tries = PATIENCE * 100
    while second.state not in ("done", "failed") and (tries := tries - 1):
        jobs._worker.join(0.01)
    assert second.state == "done"
    jobs.stop(PATIENCE)
    assert (jobs.is_alive, jobs.is_at_work, jobs.count("running")) == (False, False, 0)
    assert (first.error, first.results, first.folder.exists()) == ("Stopped.", {}, False)


def test_a_server_that_stops_ends_the_work_after_the_study_it_is_at(tmp_path: Path) -> None:
    work = Gate()
    jobs = Jobs(tmp_path, work)
    jobs.start()
    job = opened(jobs)
    assert work.begun.wait(PATIENCE)
    jobs.stop(0)
    work.go.set()
    jobs.stop(PATIENCE)
    assert (jobs.is_alive, job.state, job.error) == (False, "failed", "Stopped.")


def test_names_of_jobs_cannot_be_guessed(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path, Gate())
    names = {jobs.open().id for _ in range(16)}
    assert len(names) == 16
    assert all(len(name) == 16 for name in names)  # 96 bits


def test_an_upload_that_goes_silent_gives_its_place_back(tmp_path: Path) -> None:
    clock = Clock()
    jobs = at_once(tmp_path, Gate(), waiting=1, keep_seconds=1, clock=clock)
    silent = jobs.open()
    clock.now = UPLOAD_SECONDS - 1  # results are kept for less, but an upload may take its time
    with pytest.raises(FullError):
        jobs.open()
    clock.now = UPLOAD_SECONDS
    jobs.open()
    assert not silent.folder.exists()
    with pytest.raises(UnknownError, match="The upload took too long and was given up; send fewer files"):
        jobs.submit(silent)


def test_scans_are_deleted_as_soon_as_they_are_outlined(tmp_path: Path) -> None:
    jobs = at_once(tmp_path, Gate())
    job = opened(jobs)
    assert job.input.is_dir()
    finish(jobs)
    assert (job.input.exists(), job.folder.exists()) == (False, True)


def test_who_waits_counts_the_one_that_runs_whenever_it_was_opened(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path, Gate())
    early, late = jobs.open(), jobs.open()
    jobs.submit(late)
    assert jobs._next() is late
    jobs.submit(early)
    assert (jobs.ahead_of(late), jobs.ahead_of(early)) == (0, 1)


def test_a_job_that_gets_no_folder_takes_no_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = at_once(tmp_path, Gate(), waiting=1)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "mkdir", lambda *_, **__: (_ for _ in ()).throw(OSError(28, "full")))
        for _ in range(2):
            with pytest.raises(OSError, match="full"):
                jobs.open()
    assert jobs.open().input.is_dir()


def test_an_upload_that_is_deleted_while_it_is_unpacked_goes_when_that_stops(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path, Gate())
    job = jobs.open()

    def fill() -> None:
        with jobs.filling(job) as goes:
            goes()
            jobs.delete(job)
            (job.input / "scan.nii.gz").write_bytes(b"scan")  # there is a folder to write to still
            goes()

    for _ in range(2):  # the second time it is refused at once
        with pytest.raises(FullError):
            fill()
        assert list(tmp_path.iterdir()) == []


def test_a_server_that_stops_waits_for_what_is_unpacked_and_that_stops(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path, Gate())
    job, begun, stopped = jobs.open(), threading.Event(), threading.Event()

    def unpack() -> None:
        with contextlib.suppress(FullError), jobs.filling(job) as goes:
            begun.set()
            while True:
                (job.input / "scan.nii.gz").write_bytes(b"scan")
                goes()
        stopped.set()

    thread = threading.Thread(target=unpack, daemon=True)
    thread.start()
    assert begun.wait(PATIENCE)
    jobs.stop(None)
    assert list(tmp_path.iterdir()) == []
    assert stopped.wait(PATIENCE)
