"""Uploads in, one after the other through one worker; their results are kept until they expire."""

from __future__ import annotations

import logging
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from ..workflows.system.causes import is_full, is_last, users_fault
from ..workflows.system.files import InputError, OurFaultError
from .refusals import UnknownError

logger = logging.getLogger(__name__)

State = Literal["uploading", "waiting", "running", "done", "failed"]
"""Of a job, in the order in which it goes through them; it ends in one of the last two."""

SWEEP_SECONDS: Final = 30
"""How often a server that nobody asks looks for results that have expired."""

UPLOAD_SECONDS: Final = 3600
"""An upload that takes longer has gone silent."""

AWAKE_SECONDS: Final = 0.5
"""How long the main thread sleeps at most: Ctrl-C may reach the worker's thread and wakes no other then."""

STOPPED: Final = "Stopped."
"""Error of a job that was at work when it was deleted, or when the server stopped."""

STOPPING: Final = "The server stops, or the upload took too long; send it again later."

OUR_FAULT: Final = "Something went wrong in the server; its log says what. Please report it."


class FullError(InputError):
    """Too many uploads wait already; a web server answers it with 503."""


class StoppedError(BaseException):
    """The job was deleted, or the server stops; nothing that takes care of faults may keep it."""


@dataclass
class Job:
    """One upload and what became of it.

    Attributes:
        id: which cannot be guessed.
        folder: with all that belongs to it; it goes when the job is deleted.
        wanted: DICOM series that a person named for a sequence.
        dicom_seg: whether the masks of DICOM studies are asked for as DICOM Segmentations too.
        rtstruct: whether their outlines are asked for as RT Structure Sets too.
        probabilities: whether they are asked for beside the masks.
        state: see ``State``.
        done: studies that are finished.
        studies: how many there are, None before they were counted.
        finished: time of the clock at which it ended.
        results: content of results.json, empty while there is none.
        opened: time of the clock at which its upload began.
        files: names of the masks within ``output``, by patient.
        largest: slice with the largest outline, from 1, by patient; None where nothing was found.
        error: why it failed.
        deleted: somebody asked for it to go.
        is_our_fault: it failed for no fault of its upload.
        lacked_room: it failed because the disk of the server is full.
        notes: on files of the upload, such as those that were not read.
        packing: held while its archive is made.
    """

    id: str
    folder: Path
    wanted: dict[str, str] = field(default_factory=dict)
    dicom_seg: bool = False
    rtstruct: bool = False
    probabilities: bool = False
    state: State = "uploading"
    done: int = 0
    studies: int | None = None
    finished: float | None = None
    results: dict[str, Any] = field(default_factory=dict)
    opened: float = 0.0
    files: dict[str, list[str]] = field(default_factory=dict)
    largest: dict[str, int | None] = field(default_factory=dict)
    error: str | None = None
    deleted: bool = False
    is_our_fault: bool = False
    lacked_room: bool = False
    notes: list[str] = field(default_factory=list)
    packing: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @property
    def input(self) -> Path:
        """What was uploaded, until it has been outlined."""
        return self.folder / "input"

    @property
    def output(self) -> Path:
        """Masks, overlays and tables."""
        return self.folder / "output"

    @property
    def pictures(self) -> Path:
        """What slices are drawn from."""
        return self.folder / "pictures"


Goes = Callable[[], None]
"""Called as often as the work can stop; raises ``StoppedError`` then, or ``FullError`` in an upload."""

Work = Callable[[Job, Goes], None]
"""Does a job: reads ``input``, writes ``output`` and ``pictures``, keeps ``done`` and ``results`` current."""


class Jobs:
    """A queue of uploads, one worker, and the results of the last while.

    Args:
        folder: for the folders of jobs.
        work: does one of them.
        waiting: most jobs that wait or are being uploaded.
        keep_seconds: after which a finished job is deleted.
        clock: seconds that never go back.
        on_end: told of each job that ended, and of the seconds that it took since its turn.
    """

    def __init__(
        self,
        folder: Path,
        work: Work,
        waiting: int = 16,
        keep_seconds: float = 3600,
        clock: Callable[[], float] = time.monotonic,
        on_end: Callable[[Job, float], None] | None = None,
    ) -> None:
        self.folder = folder
        self.waiting = waiting
        self.keep_seconds = keep_seconds
        self._work = work
        self._clock = clock
        self._on_end = on_end
        self._jobs: dict[str, Job] = {}
        self._changed = threading.Condition()
        self._filling: set[str] = set()
        self._at_work: Job | None = None
        self._stopping = False
        self._lost: str | None = None  # why no more can be done, once the GPU has stopped working
        self._worker = threading.Thread(target=self._run, name="gliomaseg-worker", daemon=True)

    def start(self) -> None:
        """Start the worker."""
        self._worker.start()

    def stop(self, seconds: float | None = 10.0) -> None:
        """Stop the worker where it is, within a study too, and wait for that so long, or until it is.

        Uploads that are being unpacked stop too; without a time they are waited for as well.
        """
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if seconds is None:
            while self._worker.is_alive():
                self._worker.join(AWAKE_SECONDS)
            while self._filling:
                with self._changed:
                    self._changed.wait(AWAKE_SECONDS)
        elif self._worker.is_alive():
            self._worker.join(seconds)

    @property
    def is_alive(self) -> bool:
        """Whether somebody does the work."""
        return self._worker.is_alive() and self._lost is None

    @property
    def is_at_work(self) -> bool:
        """Whether a study is being outlined."""
        return self._at_work is not None

    def open(self) -> Job:
        """Return a new job with a folder for its upload.

        Raises:
            FullError: too many wait already.
            OSError: no folder can be made for it.
        """
        self.sweep()
        with self._changed:
            ahead = sum(job.state in ("uploading", "waiting") for job in self._jobs.values())
            if ahead >= self.waiting:
                raise FullError(f"{ahead} uploads wait already, which is as many as may; try again later.")
            name = secrets.token_urlsafe(12)
            job = Job(name, self.folder / name, opened=self._clock())
            self._jobs[name] = job
        try:
            job.input.mkdir(parents=True)
        except OSError:
            self.delete(job)
            raise
        return job

    @contextmanager
    def filling(self, job: Job) -> Iterator[Goes]:
        """Write into the folder of a job, which goes no sooner than that ends.

        Yields:
            What is to be called as often as the writing can be stopped.

        Raises:
            FullError: the job was deleted meanwhile, or the server stops.
        """
        with self._changed:
            self._filling.add(job.id)
        try:
            self.require_going(job)
            yield lambda: self.require_going(job)
        finally:
            if job.deleted or self._stopping:
                shutil.rmtree(job.folder, ignore_errors=True)
            with self._changed:
                self._filling.discard(job.id)
                deleted = job.deleted
                self._changed.notify_all()
            if deleted:  # since the look before
                shutil.rmtree(job.folder, ignore_errors=True)

    def require_going(self, job: Job) -> None:
        """Raise when a job was deleted or the server stops.

        Raises:
            FullError: see above.
        """
        if not self._goes(job):
            raise FullError(STOPPING)

    def submit(self, job: Job) -> None:
        """Let a job whose upload is complete wait for its turn, behind all that wait already.

        Raises:
            UnknownError: it was deleted meanwhile.
        """
        with self._changed:
            if self._jobs.pop(job.id, None) is None:
                raise UnknownError("The upload took too long and was given up; send fewer files at once.")
            self._jobs[job.id] = job
            job.state = "waiting"
            self._changed.notify_all()

    def find(self, name: str) -> Job:
        """Return a job.

        Raises:
            UnknownError: there is none of that name, or it has expired.
        """
        self.sweep()
        with self._changed:
            if name not in self._jobs:
                raise UnknownError(
                    f"There is no job {name!r}; results are deleted {self.keep_seconds / 60:g} minutes after "
                    "they were there, so upload the scan again."
                )
            return self._jobs[name]

    def ahead_of(self, job: Job) -> int:
        """Return how many jobs come before one that waits."""
        with self._changed:
            order = [*self._in("running"), *self._in("waiting")]
        return order.index(job) if job in order else 0

    def count(self, state: State) -> int:
        """Return how many jobs are in a state."""
        with self._changed:
            return len(self._in(state))

    def _in(self, state: State) -> list[Job]:
        if state == "running":  # also where it has been deleted and stops
            return [self._at_work] if self._at_work is not None else []
        return [job for job in self._jobs.values() if job.state == state]

    def delete(self, job: Job) -> None:
        """Delete a job and all its files; one that is unpacked or runs stops where it is, then they go."""
        with self._changed:
            job.deleted = True
            self._jobs.pop(job.id, None)
            in_use = job.state == "running" or job.id in self._filling
        if not in_use:
            shutil.rmtree(job.folder, ignore_errors=True)

    def sweep(self) -> None:
        """Delete what has been there long enough, and uploads that have gone silent."""
        now = self._clock()
        with self._changed:
            old = [
                job
                for job in self._jobs.values()
                if (job.finished is not None and now - job.finished >= self.keep_seconds)
                or (job.state == "uploading" and now - job.opened >= UPLOAD_SECONDS)
            ]
        for job in old:
            self.delete(job)

    def _run(self) -> None:
        while (job := self._next()) is not None:
            self._do(job)
            if job.deleted:
                shutil.rmtree(job.folder, ignore_errors=True)

    def _next(self) -> Job | None:
        """Wait for the next job; None when the server stops."""
        with self._changed:
            while not self._stopping:
                job = next(iter(self._in("waiting")), None)
                if job is not None:
                    job.state, self._at_work = "running", job
                    return job
                self._changed.wait(SWEEP_SECONDS)
                self.sweep()
        return None

    def _do(self, job: Job) -> None:
        begun = self._clock()
        try:
            if self._lost:
                raise InputError(self._lost)
            self._work(job, lambda: self._require_going(job))
        except StoppedError:
            job.error = STOPPED
        except InputError as error:
            job.error = str(error)
            job.lacked_room = is_full(error)
            job.is_our_fault = self._lost is not None or isinstance(error, OurFaultError) or job.lacked_room
        except Exception as error:
            logger.exception("job %s", job.id)
            job.error = users_fault(error) or OUR_FAULT
            job.is_our_fault, job.lacked_room = True, is_full(error)
            if is_last(error):
                self._lost = job.error
        shutil.rmtree(job.input, ignore_errors=True)  # nobody needs the scans any more
        with self._changed:
            job.finished = self._clock()
            job.state = "done" if job.results.get("studies") and job.error != OUR_FAULT else "failed"
            self._at_work = None
        if self._on_end is not None:
            try:
                self._on_end(job, job.finished - begun)
            except Exception:  # the next job has to be done all the same
                logger.exception("job %s", job.id)

    def _require_going(self, job: Job) -> None:
        if not self._goes(job):
            raise StoppedError

    def _goes(self, job: Job) -> bool:
        return not (job.deleted or self._stopping)
