"""Outlines that are written as DICOM: segmentations and structure sets, and the series they refer to.

Reading is in ``folders.dicom_folder``, ``folders.dicom_series`` and ``transforms.dicom``.
"""
