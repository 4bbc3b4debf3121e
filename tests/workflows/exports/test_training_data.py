"""Whether a model says of its data what its datalist shows, what a person wrote, and nothing else."""

from typing import Any

import pytest

from gliomaseg.workflows.exports.bundle_docs import data_licence
from gliomaseg.workflows.exports.training_data import (
    BEGAN,
    MADE_UP,
    OTHER_DATA,
    OTHERS,
    data_words,
    is_of_lgg,
    package_metadata,
)
from gliomaseg.workflows.leakage.seen import BEFORE, NOT_ALL

LGG = package_metadata()["data_source"]
REAL, DRAWN = "TCGA_HT_A616_19991226", "TCGA_CS_P001_20000101"


def listed(*patients: str, **more: Any) -> dict[str, Any]:
    return {"training": [{"patient": patient} for patient in patients], **more}


@pytest.mark.parametrize(
    ("patients", "source"),
    [
        ((REAL, "TCGA_DU_5851_19950428"), LGG),
        ((DRAWN, "TCGA_DU_P002_20000102"), MADE_UP),
        ((REAL, DRAWN), OTHER_DATA),
        ((REAL, "anna"), OTHER_DATA),
        (("TCGA_CS_P001",), OTHER_DATA),
        (("TCGA_CS_P001_20000101_2",), OTHER_DATA),
        (("TCGA-CS-4941_1996.09.09",), OTHER_DATA),  # of BraTS: other masks, other terms
        (("TCGA-06-0119",), OTHER_DATA),
        ((), OTHER_DATA),
    ],
)
def test_the_names_of_those_who_trained_tell_the_data(patients: tuple[str, ...], source: str) -> None:
    words = data_words(listed(*patients), {})
    assert words["data_source"] == source
    assert words["data_type"] == (OTHER_DATA if source == OTHER_DATA else "tiff")


@pytest.mark.parametrize(
    ("image", "holds"), [(["a_1.tif", "a_2.tif"], True), (["a_1.png"], False), ("a.nii.gz", False)]
)
def test_the_data_of_the_project_are_tiff_slices(image: Any, holds: bool) -> None:
    assert is_of_lgg({"training": [{"patient": REAL, "image": image}]}) is holds


@pytest.mark.parametrize("more", [{BEFORE: [{"name": "a.pt"}]}, {NOT_ALL: True}])
@pytest.mark.parametrize(("patient", "source"), [(REAL, LGG), (DRAWN, MADE_UP), ("anna", OTHER_DATA)])
def test_what_training_began_from_is_told(more: dict[str, Any], patient: str, source: str) -> None:
    assert data_words(listed(patient, **more), {})["data_source"] == source + BEGAN
    assert data_words(listed(patient, **{BEFORE: []}), {})["data_source"] == source


@pytest.mark.parametrize(
    "words", ["Clinic of X, CC BY 4.0", f"{MADE_UP}, and ten of my own", f"{LGG}; and X"]
)
def test_what_a_person_wrote_is_kept(words: str) -> None:
    written = {"data_source": words, "data_type": "nifti"}
    assert data_words(listed(REAL), written) == written
    assert data_words({}, written) == written
    further = data_words(listed(REAL, **{NOT_ALL: True}), written)
    assert further["data_source"] == words + BEGAN
    assert data_words(listed(REAL), further) == written  # and is not said twice


@pytest.mark.parametrize("empty", [None, "", " ", 7])
def test_what_says_nothing_is_nobodys_words(empty: Any) -> None:
    assert data_words(listed(REAL), {"data_source": empty})["data_source"] == LGG
    assert data_words({}, {"data_source": empty})["data_source"] == OTHER_DATA


@pytest.mark.parametrize(("patient", "source"), [(REAL, LGG), (DRAWN, MADE_UP), ("anna", OTHER_DATA)])
def test_that_others_have_trained_it_too_is_told(patient: str, source: str) -> None:
    words = data_words(listed(patient), {}, others=True)
    assert words["data_source"] == source + OTHERS
    assert data_words({}, words) == words
    text = data_licence(words)
    assert "Others have trained these weights too" in text
    assert "No licence restricts them" not in text


@pytest.mark.parametrize("ours", [LGG, MADE_UP, OTHER_DATA, LGG + BEGAN, OTHER_DATA + BEGAN])
def test_what_was_written_by_itself_is_written_anew_where_a_datalist_tells(ours: str) -> None:
    before = {"data_source": ours, "data_type": "x"}
    assert data_words(listed("anna"), before)["data_source"] == OTHER_DATA
    assert data_words({}, before) == before


@pytest.mark.parametrize(
    ("source", "says", "not_said"),
    [
        (
            LGG,
            ["the licence they are under", "mateuszbuda", "Weights trained on"],
            ["began", "is not recorded"],
        ),
        (LGG + BEGAN, ["licence of what those were trained on holds", "mateuszbuda"], ["(models/model.pt,"]),
        (
            MADE_UP,
            ["No licence restricts them", "Apache License 2.0"],
            ["mateuszbuda", "CC BY-NC-SA", "began"],
        ),
        (MADE_UP + BEGAN, ["it is the one below", "mateuszbuda"], ["No licence restricts them"]),
        (OTHER_DATA, ["which, is not recorded", "too if their training\nbegan"], ["No licence"]),
        (
            "Clinic of X",
            ["trained on: Clinic of X.", "Unless their licence stands there"],
            ["is not recorded"],
        ),
        (f"{MADE_UP}, and ten of my own", ["trained on: made-up", "and ten of my own."], ["No licence"]),
        (f"{LGG}; and Clinic X", ["and Clinic X."], ["the licence they are under"]),
    ],
)
def test_the_licence_is_that_of_the_data(source: str, says: list[str], not_said: list[str]) -> None:
    text = data_licence({"data_source": source})
    assert [words for words in says if words not in text] == []
    assert [words for words in not_said if words in text] == []
    assert text.endswith(".\n")
    assert "\n\n\n" not in text
