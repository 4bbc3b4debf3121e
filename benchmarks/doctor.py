"""Time and memory of checking a data set, for real slices and for many made-up ones.

    python -m benchmarks.doctor [DATA] --slices 10000 --slices 100000

Each check runs in a process of its own, whose peak memory is reported. Results go to
benchmarks/results/doctor.json.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RESULTS = Path(__file__).parent / "results" / "doctor.json"
SLICES_A_PATIENT = 40


def make_slices(folder: Path, count: int) -> None:
    """Write tiny slices, each different, with their masks, in folders of patients."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    for index in range(count):
        patient, number = divmod(index, SLICES_A_PATIENT)
        name = f"TCGA_DU_{patient:04d}_20000101"
        if number == 0:
            (folder / name).mkdir(parents=True)
        pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name / f"{name}_{number + 1}.tif")
        mask = np.zeros((8, 8), np.uint8)
        mask[2:4, 2:4] = 255 * (number % 3 == 0)
        Image.fromarray(mask).save(folder / name / f"{name}_{number + 1}_mask.tif")


def check(folder: Path) -> dict[str, float]:
    """Check a folder in this process."""
    from gliomaseg.workflows.checks import check_data

    started = time.perf_counter()
    report = check_data(folder)
    return {
        "slices": report.slices,
        "errors": len(report.errors),
        "warnings": len(report.warnings),
        "seconds": round(time.perf_counter() - started, 1),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def in_own_process(folder: Path) -> dict[str, float]:
    """Check a folder in a fresh process and return what it measured."""
    code = f"import json; from benchmarks.doctor import *; print(json.dumps(check(Path({str(folder)!r}))))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(measured, flush=True)
    return measured


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--slices", type=int, action="append")
    options = parser.parse_args()
    rows = {}
    if options.data is not None:
        rows["real slices"] = in_own_process(options.data)
    for count in options.slices or [10_000, 100_000]:
        with tempfile.TemporaryDirectory() as name:
            make_slices(Path(name) / "data", count)
            rows[f"{count} made-up slices"] = in_own_process(Path(name) / "data")
    RESULTS.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
