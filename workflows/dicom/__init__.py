"""Outlines as DICOM objects: segmentations and structure sets, and the series that they refer to."""
