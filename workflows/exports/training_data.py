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

OTHERS: Final = "; others have trained it too, and who is not known"
"""What metadata add where a model has been trained elsewhere too, as in a federation."""

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


def data_words(
    datalist: Mapping[str, Any], before: Mapping[str, Any], others: bool = False
) -> dict[str, Any]:
    """Return what metadata say of the data that trained a model, under the keys ``OF_DATA``.

    Args:
        datalist: of the model; empty where it is not known.
        before: metadata that stand beside the model already. What a person wrote there is kept.
        others: whether others have trained it too.
    """
    before = {name: words for name, words in before.items() if isinstance(words, str) and words.strip()}
    told = {name: str(before.get(name, OTHER_DATA)) for name in OF_DATA}
    plain = _plain(told["data_source"])
    if not datalist or not _is_ours(plain):
        source, kind = plain, told["data_type"]
    else:
        source, kind = _named_by(datalist)
    return {"data_source": source + _ending(datalist, told["data_source"], others), "data_type": kind}


def _named_by(datalist: Mapping[str, Any]) -> tuple[str, str]:
    """Return source and type of the data as the names and files of those who trained tell them."""
    own = package_metadata()
    cases = datalist.get("training", ())
    if cases and all(PHANTOM_NAME.fullmatch(case[keys.PATIENT]) for case in cases):
        return MADE_UP, own["data_type"]
    if is_of_lgg(datalist):
        return own["data_source"], own["data_type"]
    return OTHER_DATA, OTHER_DATA


def _ending(datalist: Mapping[str, Any], source: str, others: bool) -> str:
    """Return what is said of further training; without a datalist what was said of it stays."""
    if datalist.get(BEFORE) or datalist.get(NOT_ALL) or (not datalist and source.endswith(BEGAN)):
        return BEGAN
    return OTHERS if others or (not datalist and source.endswith(OTHERS)) else ""


def _plain(source: str) -> str:
    return source.removesuffix(BEGAN).removesuffix(OTHERS).strip().rstrip(".")


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


def _is_ours(plain: str) -> bool:
    """Tell whether this module has written a sentence, and nobody else."""
    return plain in (OTHER_DATA, MADE_UP, package_metadata()["data_source"])


def kind_of_data(source: str) -> dict[str, bool]:
    """Return what a ``data_source`` says, for the papers of a bundle.

    Returns:
        ``of_lgg``, ``made_up``, ``recorded`` (it says anything), ``began`` (from weights trained before) and
        ``others`` (have trained it too).

    Example:
        >>> [name for name, holds in kind_of_data(MADE_UP + BEGAN).items() if holds]
        ['made_up', 'recorded', 'began']
        >>> [name for name, holds in kind_of_data(MADE_UP + ", and ten of my own").items() if holds]
        ['recorded']
    """
    plain = _plain(source)
    return {
        "of_lgg": plain == package_metadata()["data_source"],
        "made_up": plain == MADE_UP,
        "recorded": plain != OTHER_DATA,
        "began": source.endswith(BEGAN),
        "others": source.endswith(OTHERS),
    }
