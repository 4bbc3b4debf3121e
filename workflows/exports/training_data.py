"""The datalist of a model in, what its metadata say of the data out."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from ...transforms import keys
from ..folders.studies import Record
from ..leakage.seen import BEFORE, NOT_ALL
from ..models import configs_folder
from ..phantom import INSTITUTIONS, PHANTOM_NAME

OTHER_DATA: Final = "not recorded: data of the person who trained it"
"""What metadata say of data that are not those that the package was made for."""

MADE_UP: Final = "made-up patients, drawn by gliomaseg and not scanned"
"""What metadata say of the data of ``gliomaseg demo``."""

BEGAN: Final = "; training began from weights that had been trained before"
"""What metadata add where the datalist knows of training before its own."""

OF_DATA: Final = ("data_source", "data_type")
"""What metadata say of the data."""

_LGG_NAME = re.compile(rf"TCGA_(?:{'|'.join(INSTITUTIONS)})_(?!P\d{{3}}_)[A-Z0-9]{{4}}_\d{{8}}")
"""Folder of a patient as the data are downloaded, and of nobody made up.

Other data sets have scans of the same people, such as BraTS with ``TCGA-CS-4941_1996.09.09``, under other
terms and with other masks.
"""


def package_metadata() -> dict[str, Any]:
    """Return the metadata.json of this package, from which every bundle's starts."""
    text = (configs_folder() / "metadata.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


def data_words(datalist: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """Return what metadata say of the data that trained a model, under the keys ``OF_DATA``.

    Args:
        datalist: of the model; empty where it is not known.
        before: metadata that stand beside the model already. What a person wrote there is kept.
    """
    source = str(before.get("data_source", OTHER_DATA))
    if not datalist or _is_of_a_person(source):
        return {"data_source": source, "data_type": before.get("data_type", OTHER_DATA)}
    own = package_metadata()
    began = BEGAN if datalist.get(BEFORE) or datalist.get(NOT_ALL) else ""
    cases = datalist.get("training", ())
    if cases and all(PHANTOM_NAME.fullmatch(case[keys.PATIENT]) for case in cases):
        return {"data_source": MADE_UP + began, "data_type": own["data_type"]}
    if is_of_lgg(datalist):
        return {"data_source": own["data_source"] + began, "data_type": own["data_type"]}
    return {"data_source": OTHER_DATA + began, "data_type": OTHER_DATA}


def is_of_lgg(datalist: Mapping[str, Any]) -> bool:
    """Tell whether all who have trained are called as in the LGG data, and all their slices TIFF files.

    Example:
        >>> is_of_lgg({"training": [{"patient": "TCGA_CS_4941_19960909"}]}), is_of_lgg({})
        (True, False)
        >>> is_of_lgg({"training": [{"patient": "TCGA-CS-4941_1996.09.09"}]})  # of BraTS
        False
        >>> is_of_lgg({"training": [{"patient": "TCGA-06-0119"}]})  # of a collection of glioblastomas
        False
    """
    cases = datalist.get("training", ())
    return bool(cases) and all(
        _LGG_NAME.fullmatch(case[keys.PATIENT]) and _is_of_tiff(case) for case in cases
    )


def _is_of_tiff(case: Record) -> bool:
    images = case.get(keys.IMAGE, ())
    return not isinstance(images, str) and all(str(image).endswith(".tif") for image in images)


def _is_of_a_person(source: str) -> bool:
    """Tell whether somebody has written a sentence, and not this module."""
    ours = (OTHER_DATA, MADE_UP, package_metadata()["data_source"])
    return source.removesuffix(BEGAN) not in ours


def kind_of_data(source: str) -> dict[str, bool]:
    """Return what a ``data_source`` says, for the papers of a bundle.

    Returns:
        ``of_lgg``, ``made_up``, ``recorded`` (it says anything) and ``began`` (from weights trained before).

    Example:
        >>> [name for name, holds in kind_of_data(MADE_UP + BEGAN).items() if holds]
        ['made_up', 'recorded', 'began']
    """
    return {
        "of_lgg": source.startswith(package_metadata()["data_source"]),
        "made_up": source.startswith(MADE_UP),
        "recorded": not source.startswith(OTHER_DATA),
        "began": source.endswith(BEGAN),
    }
