"""Kill a training run with SIGKILL at random moments, resume it each time, and compare the final weights.

    python -m benchmarks.kill_and_resume --kills 20 --workers 1 --workers 2 --output runs/kills

The undisturbed run is made first. A killed run is started, killed, resumed, killed again, and so on, and
then resumed to its end. A quarter of the kills come while a checkpoint is being written: as soon as its
temporary file is there. Results go to benchmarks/results/kill_and_resume.json.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

SETTINGS: dict[str, Any] = {
    "network_name": "resnext26_unet_tiny",
    "size": 64,
    "epochs": 3,
    "passes": 4,
    "batch_cases": 2,
    "slices_per_case": 1,
    "val_interval": 1,
}
RESULTS = Path(__file__).parent / "results" / "kill_and_resume.json"
KILLS_A_RUN = 5
ENDED = "ended before"
"""The run was through before it could be killed; such a start does not count as a kill."""


def start(data: Path, run: Path, workers: int, resume: bool) -> None:
    """Train in this process, which is its own group, so that its loaders die with it."""
    os.setsid()
    import torch

    torch.set_num_threads(1)
    from gliomaseg.workflows.run import TrainOptions, train

    settings = {} if resume else {**SETTINGS, "num_workers": workers}
    train(TrainOptions(data, run, settings=settings, resume=resume))


def launch(data: Path, run: Path, workers: int) -> multiprocessing.process.BaseProcess:
    """Start or resume the run in a process of its own."""
    resume = (run / "checkpoints").is_dir()
    if run.exists() and not resume:
        shutil.rmtree(run)  # killed before its first checkpoint: nothing to go on from
    process = multiprocessing.get_context("spawn").Process(target=start, args=(data, run, workers, resume))
    process.start()
    return process


def kill_while_writing(process: multiprocessing.process.BaseProcess, run: Path) -> str:
    """Kill as soon as a checkpoint's temporary file is there."""
    while process.is_alive():
        if list((run / "checkpoints").glob(".partial-*")):
            return kill(process, "while writing a checkpoint")
        time.sleep(0.0005)
    return ENDED


def kill_after(process: multiprocessing.process.BaseProcess, run: Path, seconds: float) -> str:
    """Kill some time after the first step of this start."""
    seen = len(list(run.rglob("*tfevents*")))
    while process.is_alive() and len(list(run.rglob("*tfevents*"))) == seen:
        time.sleep(0.01)
    process.join(seconds)
    return kill(process, f"{seconds:.2f} s after its first step") if process.is_alive() else ENDED


def kill(process: multiprocessing.process.BaseProcess, when: str) -> str:
    """Send SIGKILL to the process and its loaders."""
    try:
        os.killpg(process.pid, signal.SIGKILL)  # type: ignore[arg-type]  # it has been started
    except ProcessLookupError:  # it ended by itself in this very moment
        when = ENDED
    process.join()
    return when


def digest(run: Path) -> str:
    """Hash the final weights, the averaged ones and the best ones."""
    import torch

    state = torch.load(run / "checkpoints" / "last.pt", weights_only=True)["objects"]
    best = torch.load(run / "models" / "model.pt", weights_only=True)
    digest = hashlib.sha256()
    for part in (state["network"], state["average"], best):
        for name, value in part.items():
            digest.update(name.encode())
            digest.update(value.numpy().tobytes())
    return digest.hexdigest()


def torture(
    data: Path, folder: Path, workers: int, kills: int, seconds: float, rng: random.Random
) -> dict[str, Any]:
    """Kill runs ``kills`` times in all and return what happened."""
    rows = []
    done = 0
    while done < kills:
        run = folder / f"workers{workers}-{len(rows)}"
        moments: list[str] = []
        while len(moments) < min(KILLS_A_RUN, kills - done):
            process = launch(data, run, workers)
            writing = rng.random() < 0.25
            moment = (
                kill_while_writing(process, run)
                if writing
                else kill_after(process, run, rng.random() * seconds)
            )
            if moment == ENDED:
                break
            moments.append(moment)
        done += len(moments)
        process = launch(data, run, workers)
        process.join()
        rows.append({"kills": moments, "exit": process.exitcode, "sha256": digest(run)})
        print(f"workers {workers}: {done} kills, {rows[-1]['sha256'][:12]}", flush=True)
    return {"workers": workers, "runs": rows}


def main() -> None:
    """Run the experiment and write its results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--workers", type=int, action="append")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=None)
    options = parser.parse_args()
    folder = options.output or Path(tempfile.mkdtemp(prefix="kill-and-resume-"))
    from gliomaseg.workflows.phantom import make_phantom

    data = folder / "phantoms"
    make_phantom(data, patients=8, size=64, slices=(6, 8), seed=0)
    reference = folder / "undisturbed"
    process = launch(data, reference, 0)
    process.join()
    expected = digest(reference)
    seconds = measure(reference)
    print(f"undisturbed: {expected[:12]}", flush=True)
    rng = random.Random(options.seed)
    results = [
        torture(data, folder, workers, options.kills, seconds, rng) for workers in options.workers or [1, 2]
    ]
    same = all(run["sha256"] == expected for result in results for run in result["runs"])
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(
        json.dumps({"undisturbed_sha256": expected, "all_the_same": same, "results": results}, indent=2)
        + "\n",
        encoding="utf-8",
    )
    print(f"undisturbed {expected[:12]}; every resumed run the same: {same}")


def measure(run: Path) -> float:
    """Return the seconds from the first step of a run to its last checkpoint."""
    first = min(path.stat().st_mtime for path in run.glob("environment.json"))
    return (run / "checkpoints" / "last.pt").stat().st_mtime - first


if __name__ == "__main__":
    main()
