"""MONAI Label's folder of studies, with labels checked when they come in and no update lost."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock
from monailabel.datastore.local import LocalDatastore

from ...workflows.system import files
from ...workflows.system.files import InputError
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
        if auto_reload:  # what another process writes is moved into place, which MONAI Label does not watch
            self._handler.on_moved = lambda event: self._init_from_datastore_file()

    def known(self, names: Iterable[str]) -> dict[str, Mapping[str, Any]]:
        """Return what is known of studies, as it is on the disk now."""
        self._init_from_datastore_file()
        return {name: self.get_image_info(name) for name in names}

    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> str:
        """Take a scan in.

        Raises:
            InputError: a name or a kind of file that cannot be, or a name that is taken.
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
            name = image_id or self._to_id(Path(image_filename).name)[0]
            if name in self._datastore.objects:  # whose labels were drawn on another scan
                raise InputError(
                    f"There is a study {name!r} already; delete it first with DELETE "
                    f"/datastore/image?id={name}, or choose another name."
                )
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
        self.refresh()  # now, and not when the watcher of the folder gets round to it

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

    def _update_datastore_file(self, lock: bool = True) -> None:
        """Write the list of studies, whole or not at all: with half of it, no label would be known."""
        guard: Any = FileLock(self._lock_file) if lock else contextlib.nullcontext()
        with guard:
            content = self._datastore.model_dump(exclude={"base_path"})
            files.write_json(self._datastore_config_path, json.loads(json.dumps(content, default=str)))
            self._config_ts = Path(self._datastore_config_path).stat().st_mtime

    def _require(self, image_id: str) -> None:
        if image_id not in self._datastore.objects:
            raise UnknownError(f"There is no study {image_id!r} in the datastore; upload it first.")

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        with self._writers:
            self._init_from_datastore_file()
            yield
