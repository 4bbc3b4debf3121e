"""Write the table of results in README.md from the figures of measured runs: ``scripts/results_table.py``.

``scripts/results_table.py RUN NAME`` first takes over the figures of a finished run folder.
"""

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "runs"
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
HEAD = (
    "| network | split | patients (training, validation) | size, epochs | minutes, machine "
    "| Dice: mean over patients (95 % interval) | median | pooled | lesion slices | empty slices as 1 "
    "| seed's protocol |"
)


def take_over(run: Path, name: str) -> None:
    """Copy the figures of a run, without names of patients, to the folder of results."""
    metrics, environment, config, datalist = (
        json.loads((run / file).read_text(encoding="utf-8"))
        for file in ("metrics.json", "environment.json", "configs/train.json", "datalist.json")
    )
    kept = {key: value for key, value in metrics.items() if key not in ("averaging", "missed_patients_names")}
    kept["run"] = {
        "training_patients": len({case["patient"] for case in datalist["training"]}),
        "epochs": config["epochs"],
        "minutes": round(json.loads((run / "timing.json").read_text(encoding="utf-8"))["minutes"], 1),
        "processor": environment["processor"],
        "cores": environment["cores"],
        "gpus": environment["gpus"],
        "packages": environment["packages"],
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")


def row(result: dict[str, Any]) -> str:
    """Return one line of the table."""
    protocol, run, dice = result["protocol"], result["run"], result["dice"]
    low, high = dice["per_patient_ci95"]
    machine = ", ".join(run["gpus"]) or f"{run['cores']} cores, {run['processor']}"
    cells = (
        f"`{protocol['network']}`",
        f"by {protocol['split']}",
        f"{run['training_patients']}, {protocol['patients']}",
        f"{protocol['size']} px, {run['epochs']}",
        f"{run['minutes']:.0f}, {machine}",
        f"**{dice['per_patient_mean']:.3f}** ({low:.3f} to {high:.3f})",
        *(
            f"{dice[key]:.3f}"
            for key in (
                "per_patient_median",
                "pooled",
                "positive_slices",
                "slices_empty_as_one",
                "seed_protocol",
            )
        ),
    )
    return f"| {' | '.join(cells)} |"


def table() -> str:
    """Return the whole table, or a sentence where there are no results."""
    results = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob("*.json"))]
    if not results:
        return "No figures yet."
    lines = [HEAD, "|" + "---|" * HEAD.count(" | ") + "---|", *(row(result) for result in results)]
    notes = [result["run"]["note"] for result in results if result["run"].get("note")]
    return "\n".join([*lines, *(f"\n{note}" for note in notes)])


def with_table(text: str) -> str:
    """Return a page with the table between its two marks."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def main() -> None:
    """Take over a run if one is named, and write the table."""
    if len(sys.argv) == 3:
        take_over(Path(sys.argv[1]), sys.argv[2])
    readme = ROOT / "README.md"
    readme.write_text(with_table(readme.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
