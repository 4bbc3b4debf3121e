"""MONAI Label's folder of studies, with labels checked when they come in and no update lost."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock
from monailabel.datastore.local import LocalDatastore

from ...workflows.files import InputError
from ..labels import standard_label
from ..refusals import UnknownError
from ..studies import ENDINGS

NAME = re.compile(r"[A-Za-z0-9_+-][A-Za-z0-9_.+-]*")
"""A study's name is one file and cannot lead out of the folder."""


class StudyDatastore(LocalDatastore):  # type: ignore[misc]
    """A folder of volumes and pictures with their labels.

    The server, a scoring and a batch inference are three processes that each write the whole list. Here each
    of them reads it anew before it changes something, and no other may write in between.

    Args:
        folder: of the studies.
        auto_reload: notice files that are put into the folder.
    """

    def __init__(self, folder: str, auto_reload: bool = True) -> None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        self._writers = FileLock(str(Path(folder) / ".writers"))
        super().__init__(folder, extensions=[f"*{ending}" for ending in ENDINGS], auto_reload=auto_reload)

    def known(self, names: Iterable[str]) -> dict[str, Mapping[str, Any]]:
        """Return what is known of studies, as it is on the disk now."""
        self._init_from_datastore_file()
        return {name: self.get_image_info(name) for name in names}

    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> str:
        """Take a scan in.

        Raises:
            InputError: a name or a kind of file that cannot be.
        """
        if not image_filename.lower().endswith(ENDINGS):
            raise InputError(
                f"A study is one file ({', '.join(ENDINGS)}), got {Path(image_filename).suffixes}; convert "
                "DICOM with gliomaseg label --studies DIR."
            )
        if image_id and not NAME.fullmatch(image_id):
            raise InputError(
                f"The name of a study has letters, digits and _ . + -, got {image_id!r}; rename it."
            )
        with self._alone():
            return str(super().add_image(image_id, image_filename, image_info))

    def save_label(
        self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any]
    ) -> str:
        """Take a label in, in standard form: see ``labels.standard_label``.

        Raises:
            InputError: there is no such study or tag, or the label does not belong to it.
        """
        self._require(image_id)
        if not NAME.fullmatch(label_tag):
            raise InputError(f"A tag has letters, digits and _ . + -, got {label_tag!r}; `final` is usual.")
        standard = standard_label(Path(self.get_image_uri(image_id)), Path(label_filename))
        try:
            with self._alone():
                return str(super().save_label(image_id, str(standard), label_tag, label_info))
        finally:
            standard.unlink(missing_ok=True)

    def remove_image(self, image_id: str) -> None:
        """Take a study out."""
        self._require(image_id)
        super().remove_image(image_id)

    def update_image_info(self, image_id: str, info: dict[str, Any]) -> None:
        """Add to what is known of a study."""
        with self._alone():
            self._require(image_id)
            super().update_image_info(image_id, info)

    def update_label_info(self, label_id: str, label_tag: str, info: dict[str, Any]) -> None:
        """Add to what is known of a label."""
        with self._alone():
            super().update_label_info(label_id, label_tag, info)

    def _reconcile_datastore(self) -> None:
        with self._alone():
            super()._reconcile_datastore()

    def _require(self, image_id: str) -> None:
        if image_id not in self._datastore.objects:
            raise UnknownError(f"There is no study {image_id!r} in the datastore; upload it first.")

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        with self._writers:
            self._init_from_datastore_file()
            yield
