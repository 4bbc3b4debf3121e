"""Outlines that are written as DICOM: segmentations and structure sets, and the series they refer to."""
