"""Time ``gliomaseg predict`` on a folder of studies: studies a minute, time to the first mask, peak memory.

    python -m benchmarks.studies --model runs/first --studies 20

The studies are made up: 256 x 256 pixels and 20 to 28 slices, a third each as slices, NIfTI and DICOM. The
command runs as a person runs it, start of Python included. Results go to benchmarks/results/studies.json.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from gliomaseg.workflows.phantom import make_phantom
from gliomaseg.workflows.phantoms.scan import phantom_case
from gliomaseg.workflows.phantoms.study import write_dicom, write_nifti
from gliomaseg.workflows.system import files
from gliomaseg.workflows.system.environment import describe_environment

RESULTS = Path(__file__).parent / "results" / "studies.json"
AFFINE = np.diag([-0.94, -0.94, 5.0, 1.0])


def make_studies(folder: Path, count: int) -> int:
    """Write the studies and return how many slices they have."""
    patients = make_phantom(folder / "slices", patients=max(1, count // 3), seed=1)
    slices = sum(1 for patient in patients for _ in patient.glob("*_mask.tif"))
    for path in folder.rglob("*_mask.tif"):
        path.unlink()
    for index in range(len(patients), count):
        image = phantom_case([2, index]).image.transpose(0, 2, 1, 3).astype(np.int16) * 16
        slices += image.shape[3]
        if index % 2:
            write_nifti(folder / "nifti" / f"n{index}.nii.gz", np.moveaxis(image, 0, -1), AFFINE)
            continue
        for number, name in enumerate(("AX T1", "AX FLAIR", "AX T1 POST"), start=1):
            tags = {"SeriesDescription": name, "SeriesNumber": number}
            place = folder / "dicom" / f"d{index}" / f"s{number}"
            write_dicom(place, image[number - 1], AFFINE, tags, study=f"d{index}")
    return slices


def run(model: Path, folder: Path, output: Path, threads: int) -> dict[str, float]:
    """Run the command and return seconds to the first row, seconds to the end, and peak memory in MiB."""
    places = [str(path) for path in sorted(folder.iterdir())]
    command = [sys.executable, "-m", "gliomaseg.workflows.cli", "predict", *places]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    started = time.monotonic()
    process = subprocess.Popen(
        [*command, "--model", str(model), "--output", str(output), "--device", "cpu"], env=environment
    )
    first = 0.0
    while process.poll() is None:
        if not first and (output / "results.csv").is_file():
            first = time.monotonic() - started
        time.sleep(0.05)
    if process.returncode != 0:
        raise SystemExit(f"The command ended with {process.returncode}.")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return {"first_s": first, "total_s": time.monotonic() - started, "peak_mib": peak}


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--studies", type=int, default=20)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--output", type=Path, default=RESULTS)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        slices = make_studies(Path(scratch) / "in", asked.studies)
        load = os.getloadavg()[0]
        measured = run(asked.model, Path(scratch) / "in", Path(scratch) / "out", asked.threads)
    content = {
        "studies": asked.studies,
        "slices": slices,
        "threads": asked.threads,
        "load_before": round(load, 2),
        "studies_per_minute": round(60 * asked.studies / measured["total_s"], 1),
        **{name: round(value, 1) for name, value in measured.items()},
        "environment": describe_environment(),
    }
    files.write_json(asked.output, content)
    for name, value in content.items():
        if name != "environment":
            print(f"{name:<20}{value}")


if __name__ == "__main__":
    main()
