"""A request of MONAI Label in, a mask file and what is known about it out."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType
from monailabel.utils.others.generic import device_list, name_to_device

from ...transforms import keys
from ...workflows.models import config_beside
from ...workflows.segment import Segmenter
from ...workflows.system.files import sha256_of
from ..answers import facts_about, record_of, write_answer
from ..workspace import Workspace

logger = logging.getLogger(__name__)


class SegmenterTask(InferTask):  # type: ignore[misc]
    """Ask the Segmenter of the served model; it is set up once and anew when another model is served.

    Args:
        workspace: of the labelling project.
    """

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(
            type=InferType.SEGMENTATION,
            labels={keys.CLASSES[1]: 1},
            dimension=3,
            description="U-Net for FLAIR abnormality. Not for diagnosis.",
            config={"device": device_list()},
        )
        self.workspace = workspace
        self._lock = threading.Lock()
        self._ready: tuple[tuple[Any, ...], Segmenter] | None = None
        self._hashed: tuple[tuple[Any, ...], str] | None = None

    def is_valid(self) -> bool:
        """Return that it can be asked."""
        return True

    def get_path(self, validate: bool = True) -> str:
        """Return the weights that are served, for the routes that send, replace and describe them."""
        return str(self.workspace.model_folder() / "models" / "model.pt")

    def info(self) -> dict[str, Any]:
        """Return what clients show, with the model that is served now."""
        served = self.workspace.model_folder().relative_to(self.workspace.root).as_posix()
        return {**super().info(), "served": served, "model_sha256": self.sha256()}

    def sha256(self) -> str:
        """Return the hash of the served weights; an empty text where there are none."""
        path = Path(self.get_path())
        if not path.is_file():
            return ""
        state = _state_of(path)
        if self._hashed is None or self._hashed[0] != state:
            self._hashed = state, sha256_of(path)
        return self._hashed[1]

    def mark(self) -> str:
        """Return a hash of the served weights and the settings beside them: what an answer depends on."""
        config = config_beside(Path(self.get_path()))
        settings = b"" if config is None else config.read_bytes()
        return hashlib.sha256(self.sha256().encode() + settings).hexdigest()

    def segmenter(self, device: str = "") -> Segmenter:
        """Return the Segmenter of the served weights.

        Raises:
            InputError: the weights are gone or do not fit.
        """
        with self._lock:
            path = self.workspace.require_weights()
            config = config_beside(path)
            wanted = (*_state_of(path), config and _state_of(config), device)
            if self._ready is None or self._ready[0] != wanted:
                self._ready = wanted, Segmenter.from_name(path.parent.parent, device or "auto")
                logger.info("Serving %s.", path)
            return self._ready[1]

    def __call__(self, request: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Segment the study at ``image``.

        Returns:
            Path of a temporary file, and the facts beside it.

        Raises:
            InputError: the study cannot be segmented.
        """
        started = time.monotonic()
        segmenter = self.segmenter(str(name_to_device(request.get("device") or "")))
        case = record_of(request["image"])
        with self._lock:
            segmentation = segmenter(case)
        wishes = (request.get("result_extension") or None, request.get("result_dtype") or None)
        written = write_answer(case, segmentation, *wishes)
        facts = facts_about(case, segmentation, segmenter.model.sha256)
        return str(written), {**facts, "latencies": {"total": round(time.monotonic() - started, 2)}}


def _state_of(path: Path) -> tuple[Any, ...]:
    """Return what changes when a file is replaced or written over."""
    status = path.stat()
    return str(path), status.st_ino, status.st_size, status.st_mtime_ns
