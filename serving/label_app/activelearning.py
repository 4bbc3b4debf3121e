"""What the datastore knows of its unlabelled studies in, scores and the study to label next out."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from monailabel.interfaces.tasks.scoring import ScoringMethod
from monailabel.interfaces.tasks.strategy import Strategy

from ...workflows.system.files import InputError
from ..answers import record_of
from ..refusals import UnknownError
from ..uncertainty import SCORE, least_sure, uncertainty_of, unscored, waiting_for_score
from .datastore import StudyDatastore
from .infer import SegmenterTask

logger = logging.getLogger(__name__)


class LeastSure(Strategy):  # type: ignore[misc]
    """Choose the study that the served model is least sure of."""

    def __init__(self) -> None:
        super().__init__("The unlabelled study that the served model is least sure of")

    def __call__(self, request: Mapping[str, Any], datastore: StudyDatastore) -> dict[str, Any] | None:
        """Return its name and score; None where all studies are labelled."""
        known = datastore.known(datastore.get_unlabeled_images())
        name = least_sure(known)
        return None if name is None else {"id": name, "score": known[name].get(SCORE)}


class UncertaintyScoring(ScoringMethod):  # type: ignore[misc]
    """Score the unlabelled studies; MONAI Label runs this in a process of its own.

    Args:
        task: has the Segmenter.
    """

    def __init__(self, task: SegmenterTask) -> None:
        super().__init__("How unsure the served model is of each unlabelled study, 0 to 1")
        self.task = task

    def __call__(self, request: Mapping[str, Any], datastore: StudyDatastore) -> dict[str, float]:
        """Score what has no score by the served model, and store each score as soon as it is there."""
        known = datastore.known(datastore.get_unlabeled_images())
        scores = {}
        for name in waiting_for_score(known, self.task.mark()):
            mark = self.task.mark()  # before the model is asked: one that comes meanwhile looks at it again
            try:
                segmenter = self.task.segmenter()
                score = uncertainty_of(segmenter(record_of(datastore.get_image_uri(name))), mark)
            except InputError as error:
                logger.warning("No score for %s: %s", name, error)
                score = unscored(mark)
            try:
                datastore.update_image_info(name, score)
            except UnknownError as error:
                logger.warning("Nobody waits for the score of %s any more: %s", name, error)
                continue
            if score[SCORE] is not None:
                scores[name] = score[SCORE]
        logger.warning("Scored %d studies.", len(scores))
        return scores
