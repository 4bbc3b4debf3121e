"""Cases go in, how much memory they take in the cache of a training comes out."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from .findings import MEMORY, Finding, found, not_measured

STATUS = Path("/proc/self/status")

CACHED = ("image", "label", "pictured")
"""What there is to weigh of a case."""

VALIDATES = 5
"""One patient of so many is cached for validation."""

ENOUGH = 1000
"""Slices; loading leaves some 80 MB with the allocator however few there are."""


def measure_memory(cases: Sequence[Mapping[str, Any]], folder: Path) -> Finding:
    """Fill the cache in a process of its own and compare what that adds with the bytes of the slices.

    The slices' bytes are those of image and label as uint8 at the size of the files. The cache holds them at
    the size of the network: those that train as uint8, the images that validate as the network computes.
    What remains resident after freed memory has been given back to the system is told beside it.
    """
    if not STATUS.is_file():
        return not_measured(MEMORY, "resident memory is read from /proc, which this system does not have")
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        sizes = pool.apply(fill_cache, (list(cases), folder))
    return weigh(sizes)


def weigh(sizes: Mapping[str, Any]) -> Finding:
    """Return the finding from what ``fill_cache`` counted."""
    if sizes["slices"] < ENOUGH:
        return not_measured(
            MEMORY,
            f"{sizes['slices']} slices are too few beside what loading leaves behind; {ENOUGH} would do",
        )
    added = sizes["after"] - sizes["before"]
    return found(
        MEMORY,
        [added / sizes["raw"]],
        slices=sizes["slices"],
        raw_mbytes=sizes["raw"] / 1e6,
        resident_mbytes=added / 1e6,
        cached_mbytes=sizes["cached"] / 1e6,
        over_what_is_cached=added / sizes["cached"],
        after_giving_back=(sizes["trimmed"] - sizes["before"]) / sizes["raw"],
        fill_seconds=sizes["seconds"],
    )


def fill_cache(cases: Sequence[Mapping[str, Any]], folder: Path) -> dict[str, Any]:
    """Return resident bytes before and after, raw bytes, slices and seconds; for a fresh process.

    As in a run of the config, every fifth patient is cached for validation.
    """
    from monai.data import CacheDataset

    from gliomaseg.workflows.draws import DrawDataset
    from gliomaseg.workflows.memory import give_back_freed_memory

    from .shipped import shipped_parser

    parser = shipped_parser(folder)
    transform, shown = (parser.get_parsed_content(f"{part}::preprocessing") for part in ("train", "validate"))
    options = {"num_workers": 2, "progress": False}
    validating = list(cases[VALIDATES - 1 :: VALIDATES])
    training = [case for number, case in enumerate(cases, 1) if number % VALIDATES]
    DrawDataset(cases[:1], transform, **options)  # what is imported and set up at first use
    CacheDataset(cases[:1], shown, copy_cache=False, **options)
    give_back_freed_memory()
    before = resident_bytes()
    started = time.perf_counter()
    cached = [*DrawDataset(training, transform, **options)._cache]
    cached += [*CacheDataset(validating, shown, copy_cache=False, **options)._cache]
    seconds = time.perf_counter() - started
    after = resident_bytes()
    give_back_freed_memory()
    raw = [raw_bytes(case, kept) for case, kept in zip(training + validating, cached, strict=True)]
    return {
        "before": before,
        "after": after,
        "trimmed": resident_bytes(),
        "raw": sum(raw),
        "cached": sum(case[key].nbytes for case in cached for key in CACHED if key in case),
        "slices": sum(int(case["image"].shape[-1]) for case in cached),
        "seconds": seconds,
    }


def raw_bytes(case: Mapping[str, Any], cached: Mapping[str, Any]) -> int:
    """Return the bytes of a case's slices as they are in the files: three channels and a mask, one byte each.

    Args:
        case: the record; the first of its files tells the size of all.
        cached: what the cache holds of it.
    """
    with Image.open(case["image"][0]) as slice_:
        width, height = slice_.size
    return 4 * width * height * int(cached["image"].shape[-1])


def resident_bytes() -> int:
    """Return the resident memory of this process (Linux)."""
    lines = STATUS.read_text(encoding="utf-8").splitlines()
    kilobytes = next(line.split()[1] for line in lines if line.startswith("VmRSS:"))
    return int(kilobytes) * 1024
