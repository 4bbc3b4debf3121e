"""A datastore and a labelling project in, MONAI Label's app over them out."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from monailabel.config import settings
from monailabel.interfaces.app import MONAILabelApp
from monailabel.tasks.activelearning.first import First
from monailabel.tasks.activelearning.random import Random
from monailabel.utils.async_tasks.utils import tasks

from ...workflows.system.environment import version_of
from ...workflows.system.files import InputError
from ..labelled import cases_of
from ..refusals import require_image, require_known
from ..retraining import options_of, place_patients
from ..uncertainty import waiting_for_score
from ..workspace import Workspace
from .activelearning import LeastSure, UncertaintyScoring
from .datastore import StudyDatastore
from .infer import SegmenterTask
from .train import RetrainTask, wishes_of

logger = logging.getLogger(__name__)

NAME = "gliomaseg"
"""Of the model, the trainer and the app."""


class GliomaApp(MONAILabelApp):  # type: ignore[misc]
    """Segment, retrain, and choose the next study with the product's own Segmenter and training.

    Args:
        app_dir: the folder that MONAI Label found ``main.py`` in.
        studies: the datastore.
        conf: ``workspace`` names the labelling project; without it, it is the folder above ``app_dir``.
    """

    def __init__(self, app_dir: str, studies: str, conf: dict[str, str]) -> None:
        self.workspace = Workspace(Path(conf.get("workspace") or Path(app_dir).parent))
        self.segmenter = SegmenterTask(self.workspace)
        super().__init__(
            app_dir=app_dir,
            studies=studies,
            conf=conf,
            name=NAME,
            description="Outlines FLAIR abnormality in brain MRI. Research software. Not for diagnosis.",
            version=version_of("gliomaseg"),
        )

    def init_datastore(self) -> StudyDatastore:
        """Open the datastore."""
        return StudyDatastore(self.studies, auto_reload=settings.MONAI_LABEL_DATASTORE_AUTO_RELOAD)

    def init_infers(self) -> dict[str, Any]:
        """Return the one model."""
        return {NAME: self.segmenter}

    def init_trainers(self) -> dict[str, Any]:
        """Return the one trainer."""
        return {NAME: RetrainTask(self.workspace)}

    def init_strategies(self) -> dict[str, Any]:
        """Return the ways to choose the next study."""
        return {"random": Random(), "first": First(), "uncertainty": LeastSure()}

    def init_scoring_methods(self) -> dict[str, Any]:
        """Return what studies are scored by."""
        return {"uncertainty": UncertaintyScoring(self.segmenter)}

    def infer(self, request: Mapping[str, Any], datastore: Any = None) -> Any:
        """Segment a study of the datastore, or one that came with the request.

        Raises:
            InputError: there is no such model or study, or it cannot be segmented.
        """
        self.require_model(request.get("model"))
        self._require_image(request.get("image"))
        return super().infer(request, datastore)

    def batch_infer(self, request: Mapping[str, Any], datastore: Any = None) -> Any:
        """Segment many studies; one that cannot be segmented does not keep the others from it.

        Where there is no GPU, MONAI Label would count them and divide by 0.
        """
        self.require_model(request.get("model"))
        several = bool(request.get("multi_gpu", True)) and torch.cuda.device_count() > 0
        asked = {**request, "multi_gpu": several}
        return self._batch_infer(asked, datastore or self.datastore(), self._infer_or_say)

    def _infer_or_say(self, request: Mapping[str, Any], datastore: Any) -> Any:
        try:
            return self.infer(request, datastore)
        except InputError as error:
            logger.warning("No mask for %s: %s", request.get("image"), error)
            return {"error": str(error)}

    def next_sample(self, request: Mapping[str, Any]) -> Any:
        """Choose the study to label next.

        Raises:
            InputError: there is no such strategy.
        """
        require_known("strategy", request.get("strategy") or "random", self._strategies)
        return super().next_sample(request)

    def async_scoring(self, method: str | None, params: Any = None) -> Any:
        """Score in the background, and only where there is something to score and nobody at it already."""
        if any(task["status"] in ("SUBMITTED", "RUNNING") for task in tasks("scoring")):
            return {}
        known = self.datastore().known(self.datastore().get_unlabeled_images())
        if method is None and not waiting_for_score(known, self.segmenter.mark()):
            return {}
        return super().async_scoring(method, params)

    def on_save_label(self, image_id: str, label_id: str) -> None:
        """Note that a label came."""
        logger.info("Label saved for %s.", image_id)

    def require_model(self, name: str | None) -> None:
        """Raise when there is no model of a name.

        Raises:
            InputError: with the names there are.
        """
        require_known("model", name, self._infers)

    def require_scoring(self, name: str | None) -> None:
        """Raise when there is no scoring method of a name.

        Raises:
            InputError: with the names there are.
        """
        require_known("scoring method", name, self._scoring_methods)

    def require_trainable(self, request: Mapping[str, Any]) -> None:
        """Raise when a training could not start, so that a person hears it at once.

        Raises:
            InputError: there are too few labels, or an option cannot be used.
        """
        wishes = wishes_of(request)
        options_of(self.workspace, self.workspace.next_run(), wishes)
        place_patients(self.workspace, cases_of(self.datastore().datalist()), wishes.validation_share)

    def _require_image(self, image: Any) -> None:
        """Let through what the datastore knows and what was uploaded; no other file of the machine."""
        require_image(image, self.datastore().list_images(), self.workspace.sessions)

    def _local_request(self, url: str, params: Any, action: str) -> Any:
        """Ask the server for a task; a training that has ended well does not fail because nobody answers."""
        try:
            return super()._local_request(url, params, action)
        except OSError as error:  # such as any that requests raises
            logger.warning("%s was not started, ask for it with POST %s: %s", action, url, error)
            return None
