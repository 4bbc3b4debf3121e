"""The measurement of training together: who trains where, what is tested, and what the page says of it."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
if not (ROOT / "benchmarks" / "federated.py").is_file():
    pytest.skip("the benchmarks are not beside the installed package", allow_module_level=True)


def load(name: str) -> ModuleType:
    """Import a module of the folder, which is not installed."""
    if str(ROOT) not in sys.path:
        sys.path.append(str(ROOT))
    return importlib.import_module(f"benchmarks.{name}")


federated, locking, dataset, protocols = map(
    load, ("federated", "quality.lock", "quality.dataset", "quality.protocols")
)

TINY = (
    "network_name=resnext26_unet_tiny", "pretrained=null", "size=32", "passes=1", "batch_cases=2",
    "slices_per_case=1", "precision=fp32",
)  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the data of 20 made-up patients of four institutions, and a lock."""
    from gliomaseg.workflows.phantom import make_phantom

    folder = tmp_path_factory.mktemp("federated")
    make_phantom(folder / "data", patients=20, size=64, slices=5, seed=0)
    locking.make_lock(folder / "data", folder / "lock.json", locked=2)
    return folder


@pytest.fixture(scope="module")
def sites(place: Path) -> dict[str, Any]:
    lock = locking.read_lock(place / "lock.json")
    data = dataset.open_dataset(place / "data", place / "kept.json", lock)
    split = protocols.split_for("fold0", data, lock)
    return {"split": split, "data": data, "found": federated.institutions_of(data, split)}


def patients(cases: Any) -> set[str]:
    return {case["patient"] for case in cases}


def test_everyone_trains_at_their_own_institution_and_at_no_other(sites: dict[str, Any]) -> None:
    split, found = sites["split"], sites["found"]
    site_of = federated.institution_of_each(sites["data"])
    for name, site in found.items():
        assert {site_of[patient] for patient in patients([*site.training, *site.validation])} == {name}
        assert not patients(site.training) & patients(site.validation)
        assert site.validation
        assert len(site.training) >= federated.FEWEST
    everyone = federated.all_of(found)
    both = patients(everyone.training) | patients(everyone.validation)
    assert both <= patients(split.training) | patients(split.validation)
    assert not both & patients(split.test)


def test_an_institution_with_few_patients_is_left_out(
    sites: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {name: len(site.training) for name, site in sites["found"].items()}
    monkeypatch.setattr(federated, "FEWEST", max(sizes.values()))
    kept = federated.institutions_of(sites["data"], sites["split"])
    assert set(kept) == {name for name, size in sizes.items() if size == max(sizes.values())}


def call(place: Path, *words: str) -> int:
    options = [
        "--data",
        str(place / "data"),
        "--runs",
        str(place / "runs"),
        "--lock",
        str(place / "lock.json"),
    ]
    sets = [word for setting in TINY for word in ("--set", setting)]
    return int(
        federated.main(
            ["fold0", "--rounds", "1", *words[1:], *options, "--output", str(place / "cells"), *sets]
        )
    )


@pytest.mark.slow
def test_all_three_trainings_are_tested_on_the_same_patients(
    place: Path, sites: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call(place, "fold0") == 0
    cell = json.loads((place / "cells" / "fold0.json").read_text(encoding="utf-8"))
    tested = set(cell["institution_of"])
    assert tested <= patients(sites["split"].test)
    assert set(cell["arms"]) == {"one place", "together", *(f"alone {name}" for name in sites["found"])}
    assert all(set(arm["dice_per_patient"]) == tested for arm in cell["arms"].values())
    steps = {name: arm["steps"] for name, arm in cell["arms"].items()}
    assert steps["together"] == {name: steps[f"alone {name}"][name] for name in sites["found"]}
    text = federated.part([cell])
    assert "all scans in one place" in text
    assert f"{len(tested)} patients of fold0" in text

    made: list[Any] = []

    def note(plan: Any, *words: Any) -> dict[str, Any]:
        made.append(plan.rounds)
        return {"steps": {}, "dice_per_patient": dict.fromkeys(tested, 0.5)}

    monkeypatch.setattr(federated, "train_and_test", note)
    assert call(place, "fold0") == 0
    assert made == [], "what is trained is kept"
    assert call(place, "fold0", "--rounds", "2") == 0
    assert made == [2] * len(cell["arms"]), "but not of another plan"


def test_what_cannot_be_used_is_told_in_a_sentence(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "lock.json").replace(place / "away.json")
    try:
        assert call(place, "fold0") == 2
    finally:
        (place / "away.json").replace(place / "lock.json")
    assert capsys.readouterr().err.startswith("Error: Expected the lock at ")
    assert federated.main(["fold0"]) == 2
    assert capsys.readouterr().err == "Error: fold0 needs the patients; name their folder with --data.\n"


# The page


def cell(protocol: str, **arms: dict[str, float]) -> dict[str, Any]:
    institutions = {"A_1": "A", "B_2": "B"}
    return {
        "protocol": protocol,
        "rounds": 3,
        "settings": {"network_name": "unet"},
        "training_patients": {"A": 5, "B": 4},
        "institution_of": {f"{name}_{protocol}": site for name, site in institutions.items()},
        "arms": {
            name.replace("_", " "): {
                "steps": {},
                "dice_per_patient": {f"{patient}_{protocol}": dice for patient, dice in dices.items()},
            }
            for name, dices in arms.items()
        },
    }


ARMS = {
    "one_place": {"A_1": 0.9, "B_2": 0.8},
    "together": {"A_1": 0.8, "B_2": 0.7},
    "alone_A": {"A_1": 0.6, "B_2": 0.1},
    "alone_B": {"A_1": 0.2, "B_2": 0.5},
}


def test_every_patient_counts_by_the_network_of_their_own_institution() -> None:
    assert federated.by_their_own(cell("f", **ARMS)) == {"A_1_f": 0.6, "B_2_f": 0.5}


def test_the_table_pools_patients_of_all_folds_and_compares_them_in_pairs() -> None:
    text = federated.part([cell("fold1", **ARMS), cell("fold2", **ARMS)])
    rows = [[part.strip() for part in line.split("|")[1:-1]] for line in text.splitlines() if line[:1] == "|"]
    found = {row[0]: row[1:] for row in rows}
    assert found["all scans in one place"][:2] == ["4", "0.850 (0.800 to 0.900)"]
    assert found["together, weights only"][1].startswith("0.750")
    assert found["together, weights only"][2] == ""
    assert found["all scans in one place"][2].startswith("-0.100 (-0.100 to -0.100), 0, 4, p = ")
    own = "each alone, every patient by their own institution's network"
    assert found[own][1].startswith("0.550")
    assert found[own][2].startswith("+0.200 (+0.200 to +0.200), 4, 0, p = ")
    assert found["A alone, on all of them"][1].startswith("0.350")
    assert "Patients who trained: fold1: A 5, B 4; fold2: A 5, B 4." in text
    assert "Not for diagnosis." in text


def test_the_page_is_what_the_figures_in_the_repository_say(tmp_path: Path) -> None:
    page = ROOT / "docs" / "how-to" / "federated.md"
    copy = tmp_path / "page.md"
    copy.write_text(page.read_text(encoding="utf-8"), encoding="utf-8")
    federated.write_page(federated.RESULTS, copy)
    assert copy.read_text(encoding="utf-8") == page.read_text(encoding="utf-8")


def test_without_figures_the_page_says_so() -> None:
    assert federated.part([]) == "No figures yet."
