"""One sentence for each number of metrics.json: over what it was averaged, and what an empty mask counts."""

from collections.abc import Mapping
from types import MappingProxyType

_PER_PATIENT = (
    "{name} of each patient's volume, {average} over patients; both masks empty count 1, one empty 0."
)
_POOLED = "{name} of all voxels of all patients taken as one volume; large lesions weigh most."

_OVERLAP = {
    "per_patient_mean": _PER_PATIENT.replace("{average}", "mean"),
    "per_patient_median": _PER_PATIENT.replace("{average}", "median"),
    "per_patient_ci95": "95 % percentile bootstrap interval of per_patient_mean, patients resampled, several "
    "studies of one person together; null for fewer than two persons.",
    "pooled": _POOLED,
    "positive_slices": "{name} of each slice that has lesion in the truth, mean over these slices; "
    "an empty prediction counts 0; null without such slices.",
    "slices_empty_as_one": "{name} of each slice, mean over all slices; both masks empty count 1, "
    "one empty 0.",
    "seed_protocol": "{name} of the pooled voxels of 16 consecutive slices (patients sorted naturally, "
    "slices ascending, across patients), mean over these batches; an empty batch counts 1.",
}

_SHARES = {key: _OVERLAP[key] for key in ("per_patient_mean", "pooled")}

_DISTANCE = {
    "hd95_px": "95th percentile Hausdorff distance within a slice in pixels, mean over the slices where "
    "both masks are non-empty; null without such slices.",
    "hd95_slices": "Number of slices behind hd95_px.",
    "hd95_slices_without_value": "Number of slices left out of hd95_px as exactly one mask is empty.",
    "hd95_mm": "95th percentile Hausdorff distance of each patient's volume in mm, mean over the patients "
    "counted in hd95_mm_patients; null without such patients.",
    "hd95_mm_median": "The same distance, median over those patients; null without such patients.",
    "hd95_mm_patients": "Number of patients behind hd95_mm: those with a spacing, all slices in between, and "
    "two masks that are not empty.",
    "hd95_mm_patients_without_value": "Number of patients left out of hd95_mm.",
}

_VOLUME = {
    "volume_error_voxels": "Predicted less true volume of each patient, signed mean over patients.",
    "volume_error_voxels_absolute": "Predicted less true volume of each patient without its sign, "
    "mean over patients.",
    "volume_error_ml": "As volume_error_voxels, in millilitres; null unless every patient has a spacing.",
    "volume_error_ml_absolute": "As volume_error_voxels_absolute, in millilitres; "
    "null unless every patient has a spacing.",
    "bland_altman": "Mean over patients of predicted less true volume in voxels, and that mean -/+ 1.96 "
    "sample standard deviations; limits null for fewer than two patients.",
    "bland_altman_ml": "As bland_altman, in millilitres; null unless every patient has a spacing.",
}

_DETECTION = {
    "patients_without_lesion": "Number of patients without lesion in the truth; each counts 1 if nothing is "
    "outlined, else 0.",
    "all_background_per_patient_mean": "What an all-empty prediction scores in per_patient_mean: "
    "patients_without_lesion over all patients.",
    "lesion_slices": "Number of slices with lesion in the truth.",
    "empty_slices": "Number of slices without lesion in the truth.",
    "all_background_slices_empty_as_one": "What an all-empty prediction scores in slices_empty_as_one: "
    "empty_slices over all slices.",
    "false_positive_slices": "Number of slices with a prediction and no lesion in the truth, all patients.",
    "false_positive_slices_share": "false_positive_slices over empty_slices; null without empty slices.",
    "missed_patients": "Number of patients with a lesion of which the prediction has no voxel.",
    "missed_patients_names": "The patients counted in missed_patients.",
}

_LESIONS = {
    "lesions.patients": "Number of patients whose lesions are counted: those with all slices in between.",
    "lesions.true": "Number of lesions in the truth, all patients: 3-D components, of whatever size, whose "
    "voxels touch by a side, an edge or a corner.",
    "lesions.found": "Number of lesions of the truth that have a voxel in common with the prediction.",
    "lesions.predicted": "Number of findings of the prediction, counted alike.",
    "lesions.false": "Number of findings of the prediction that have no voxel in common with the truth.",
    "lesions.sensitivity": "Share of the lesions that were found, all patients; null without lesions.",
    "lesions.precision": "Share of the findings that are not false, all patients; null without findings.",
    "lesions.f1": "Harmonic mean of the share of lesions found and the share of findings that are not false, "
    "all patients; null without lesions or without findings.",
}

_CALIBRATION = {
    "calibration.patients": "Number of patients with probabilities; the calibration is over all their "
    "voxels, air included.",
    "calibration.bins": "20 bins of equal width of the probability of all voxels, pooled over patients.",
    "calibration.expected_calibration_error": "Distance of mean probability and share of lesion in a bin, "
    "mean over bins weighted by their voxels; small wherever most voxels are air.",
    "calibration.average_calibration_error": "The same distance, plain mean over the bins with voxels.",
    "calibration.brier": "Squared distance of probability and truth, mean over all voxels.",
}

_CONFIDENCE = {
    "confidence.patients": "Number of patients in whom something is outlined, with a confidence.",
    "confidence.mean_absolute_error": "Distance of confidence and Dice of the volume, mean over patients in "
    "whom something is outlined; null without any.",
    "confidence.bias": "Confidence minus Dice of the volume, mean over the same patients; above zero it is "
    "too high.",
    "confidence.spearman": "Rank correlation of confidence and Dice of the volume over the same patients; "
    "null for fewer than three patients, or where one of the two is the same for all.",
    "confidence.check_by_hand": "Number of patients marked to be checked by hand; whoever has no outline is.",
}


def _sentences(key: str, name: str, templates: Mapping[str, str]) -> dict[str, str]:
    return {f"{key}.{average}": text.replace("{name}", name) for average, text in templates.items()}


AVERAGING: Mapping[str, str] = MappingProxyType(
    {
        **_sentences("dice", "Dice", _OVERLAP),
        **_sentences("iou", "IoU", _OVERLAP),
        **_sentences("sensitivity", "Sensitivity", _SHARES),
        **_sentences("precision", "Precision", _SHARES),
        **_DISTANCE,
        **_VOLUME,
        **_DETECTION,
        **_LESIONS,
        **_CALIBRATION,
        **_CONFIDENCE,
    }
)
"""Dotted path of a number in metrics.json, and how it was averaged."""
