import pytest

from gliomaseg.workflows.folders.dicom_series import Series

AXIAL, SAGITTAL = [1, 0, 0, 0, 1, 0], [0, 1, 0, 0, 0, -1]


@pytest.mark.parametrize(
    ("header", "can"),
    [
        ({"ImageOrientationPatient": AXIAL, "SliceThickness": "6"}, True),
        ({"ImageOrientationPatient": SAGITTAL, "SliceThickness": "1.0"}, True),
        ({"ImageOrientationPatient": SAGITTAL, "SliceThickness": "6"}, False),
        ({"ImageOrientationPatient": SAGITTAL, "SpacingBetweenSlices": "-1", "SliceThickness": "6"}, True),
        ({"ImageOrientationPatient": SAGITTAL, "SpacingBetweenSlices": "-6.5"}, False),
        ({"ImageOrientationPatient": SAGITTAL}, False),
        ({}, True),
    ],
)
def test_a_series_can_be_cut_axially_if_it_is_axial_or_thin(header: dict, can: bool) -> None:
    assert Series(("a.dcm",), header).can_be_cut_axially is can
