"""Write the table of docs/performance.md from the figures in benchmarks/results/speed.json.

python -m benchmarks.table
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gliomaseg.workflows.system import files

from .findings import AIMS
from .marks import between

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "speed.json"
PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- speed:begin -->", "<!-- speed:end -->"
HEAD = "| Comparison | Median | Least to greatest (repeats) | Wanted | |\n|---|---|---|---|---|"


def number(value: float, unit: str) -> str:
    """Return a figure with its unit, to as many digits as one reads.

    Example:
        >>> number(3.456, "x"), number(4.04, "%"), number(0.00034, "")
        ('3.46 x', '4.0 %', '0.00034')
    """
    return {"x": f"{value:.2f} x", "%": f"{value:.1f} %"}.get(unit, f"{value:.5f}")


def row(finding: Mapping[str, Any]) -> str:
    """Return a line of the table."""
    unit = finding["unit"]
    limit = f"{finding['limit']:g} {unit}".strip()
    wanted = f"at {'least' if finding['at_least'] else 'most'} {limit}"
    if "missing" in finding:
        return f"| {finding['title']} | not measured: {finding['missing']} | | {wanted} | |"
    figure = finding["figure"]
    span = f"{number(figure['min'], unit)} to {number(figure['max'], unit)} ({figure['repeats']})"
    if figure["repeats"] == 1:
        span = "once"
    verdict = "met" if finding["met"] else "**missed**"
    return f"| {finding['title']} | {number(figure['median'], unit)} | {span} | {wanted} | {verdict} |"


def steps(findings: Mapping[str, Any], limits: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each measured step: seconds, what is left without the loaders, rate reached."""
    sentences = []
    for name in ("seed_step", "smp_step", "stock_step"):
        details = findings.get(name, {}).get("details")
        if not details:
            continue
        keys = ("gflops", "peer_step_seconds", "peer_loader_seconds", "step_seconds")
        rate, peer, loading, own = (details[key]["median"] for key in keys)
        kind = "bf16" if "bfloat16" in details["precision"] else "fp32"
        top = limits[f"{kind}_gflops"]["median"]
        sentences.append(
            f"- `{details['network']}` at {details['size']} px, batch {details['batch']}: {peer:.2f} s a "
            f"step in the peer's loop ({loading:.2f} s of it decoding), {own:.2f} s in ours; without either "
            f"loader {details['loaders_left_out']['median']:.2f} x. Our convolutions run at {rate:.0f} "
            f"GFLOP/s, {100 * rate / top:.0f} % of the {kind} matrix products."
        )
    memory = findings.get("memory", {}).get("details")
    if memory and "cached_mbytes" in memory:
        sentences.append(
            f"- The cache holds {memory['slices']} slices in {memory['cached_mbytes']:.0f} MB at the size of "
            f"the network, where the files hold {memory['raw_mbytes']:.0f} MB. Resident memory grew by "
            f"{memory['resident_mbytes']:.0f} MB, {memory['over_what_is_cached']:.2f} x what is cached."
        )
    return sentences


def machine(result: Mapping[str, Any]) -> str:
    """Return what was measured on what, in two sentences."""
    there, limits = result["machine"], result["limits"]["before"]
    after = result["limits"]["after"]
    rates = ", ".join(
        f"{limits[key]['median']:.0f} {unit} before and {after[key]['median']:.0f} after"
        for key, unit in (
            ("fp32_gflops", "GFLOP/s in fp32 matrix products"),
            ("bf16_gflops", "GFLOP/s in bf16"),
            ("copy_gbytes", "GB/s of memory copied"),
        )
    )
    return (
        f"{there['time'][:10]}, {there['processor'] or 'unknown processor'}, {there['cores']} cores, "
        f"{there['threads']} threads, PyTorch {there['packages']['torch']}, {result['data']}. "
        f"The machine's limit in the same run: {rates}."
    )


def table(result: Mapping[str, Any] | None) -> str:
    """Return all that stands between the marks."""
    if result is None:
        return "No figures yet: `make bench` measures them."
    findings = result["findings"]
    rows = [row(findings[name]) for name in AIMS if name in findings]
    lines = [machine(result), "", HEAD, *rows, "", *steps(findings, result["limits"]["before"])]
    return "\n".join(lines).strip()


def read_result(path: Path = RESULTS) -> dict[str, Any] | None:
    """Return the measured figures, None where there are none."""
    if not path.is_file():
        return None
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return result


def with_table(text: str, result: Mapping[str, Any] | None) -> str:
    """Return a page with the table between its marks.

    Raises:
        ValueError: the page lacks them.
    """
    return between(text, BEGIN, END, table(result))


def main(results: Path = RESULTS, page: Path = PAGE) -> None:
    """Write the table anew."""
    files.write_text(page, with_table(page.read_text(encoding="utf-8"), read_result(results)))


if __name__ == "__main__":
    main()
