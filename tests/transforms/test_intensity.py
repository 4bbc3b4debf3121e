"""Grey values change, nothing else does; and scans of any bit depth end up with the same values."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import CacheDataset, MetaTensor
from monai.transforms import Compose

from gliomaseg.transforms import (
    ClipForegroundd,
    EndOfCached,
    FillMissingSequencesd,
    ForegroundStatisticsd,
    NormalizeForegroundd,
    RandSliceStatisticsd,
    SliceStatisticsd,
    foreground_statistics,
    keys,
)

AFFINE = torch.diag(torch.tensor([2.0, 3.0, 4.0, 1.0], dtype=torch.float64))


def scan(dtype: torch.dtype = torch.uint8, factor: int = 1) -> MetaTensor:
    """Return a ``(3, 8, 8, 2)`` head of values 40 to 199 in an air of 0 to 3, another in each channel."""
    draw = np.random.default_rng(0)
    values = draw.integers(0, 4, (3, 8, 8, 2))
    values[:, 2:7, 2:7] = draw.integers(40, 200, (3, 5, 5, 2))
    meta = {"filename_or_obj": "TCGA_CS_4941_1.tif"}
    return MetaTensor(torch.as_tensor(values * factor).to(dtype), affine=AFFINE, meta=meta)


def case(dtype: torch.dtype = torch.uint8, factor: int = 1) -> dict[str, Any]:
    label = torch.zeros(1, 8, 8, 2, dtype=torch.uint8)
    label[0, 3:5, 3:5] = 1
    return {keys.IMAGE: scan(dtype, factor), keys.LABEL: label}


def normalised(given: dict[str, Any]) -> torch.Tensor:
    result: torch.Tensor = NormalizeForegroundd()(ForegroundStatisticsd()(given))[keys.IMAGE]
    return result


@pytest.mark.parametrize(
    "transform",
    [
        ForegroundStatisticsd(),
        EndOfCached(),
        Compose([ForegroundStatisticsd(), NormalizeForegroundd()]),
        RandSliceStatisticsd(prob=1.0),
        FillMissingSequencesd(keys.IMAGE),
    ],
    ids=lambda transform: type(transform).__name__,
)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_labels_geometry_and_the_given_image_are_left_alone(
    transform: Callable[[dict[str, Any]], dict[str, Any]], dtype: torch.dtype
) -> None:
    given, untouched = case(dtype), case(dtype)
    result = transform(given)
    assert result[keys.LABEL] is given[keys.LABEL]
    assert torch.equal(given[keys.LABEL], untouched[keys.LABEL])
    assert torch.equal(given[keys.IMAGE], untouched[keys.IMAGE])
    assert given[keys.IMAGE].dtype == dtype
    assert torch.equal(result[keys.IMAGE].affine, AFFINE)
    assert result[keys.IMAGE].meta["filename_or_obj"] == "TCGA_CS_4941_1.tif"


def test_air_does_not_count() -> None:
    head = np.arange(10, 21, dtype=np.uint8)[None]
    with_air = np.array([[0, 1, 0, *range(10, 21), 0]], np.uint8)
    assert foreground_statistics(head).tolist() == foreground_statistics(with_air).tolist()


def test_the_rarest_values_are_clipped_before_the_mean() -> None:
    values = np.array([[1] * 4 + [100] * 495 + [120] * 497 + [255] * 4], np.uint8)
    low, high, mean, deviation = foreground_statistics(values)[0].tolist()
    # The four ones count as air, being below half of the mean.
    assert (low, high) == (100.0, 120.0)
    assert mean == pytest.approx((100 * 495 + 120 * 501) / 996)
    assert deviation == pytest.approx(np.std([100] * 495 + [120] * 501), rel=1e-6)


def test_each_channel_has_its_own_statistics() -> None:
    values = np.array([[0, 10, 20], [0, 30, 30]], np.int16)
    assert foreground_statistics(values).tolist() == [[10, 20, 15, 5], [30, 30, 30, 1]]


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int64", "uint64"])
def test_every_integer_type_gives_the_same_statistics(dtype: str) -> None:
    values = np.array([[3, 4, 3, 100, 120]]).astype(dtype)
    assert foreground_statistics(values).tolist() == [[100, 120, 110, 10]]


def test_values_below_zero_are_air() -> None:
    assert foreground_statistics(np.array([[-9, -9, -9, 40, 60]], np.int16)).tolist() == [[40, 60, 50, 10]]


@pytest.mark.parametrize("dtype", ["int32", "float32", "float64"])
def test_wide_ranges_are_measured_to_a_four_thousandth(dtype: str) -> None:
    values = np.array([[0, 0, 100_000, 200_000]]).astype(dtype)
    assert foreground_statistics(values)[0] == pytest.approx([1e5, 2e5, 1.5e5, 5e4], abs=200_000 / 4096)


@pytest.mark.parametrize("value", [0, 7, -7, 0.5])
def test_a_scan_of_one_value_normalises_to_zero(value: float) -> None:
    image = torch.full((3, 4, 4, 1), value)
    assert normalised({keys.IMAGE: image}).abs().max() == 0


def test_the_foreground_gets_mean_zero_and_deviation_one() -> None:
    head = normalised(case())[:, 2:7, 2:7].flatten(1)
    assert head.mean(1).tolist() == pytest.approx([0, 0, 0], abs=1e-5)
    assert head.std(1, correction=0).tolist() == pytest.approx([1, 1, 1], abs=1e-5)


def test_normalised_values_are_float32_without_surprises() -> None:
    image = normalised(case())
    assert image.dtype == torch.float32
    assert image.shape == (3, 8, 8, 2)
    head, air = image[:, 2:7, 2:7].as_tensor(), image[:, 0].as_tensor()  # type: ignore[attr-defined]
    assert (head.amin((1, 2, 3)) == air.amax((1, 2))).all()  # air is clipped to the darkest of the head


@pytest.mark.parametrize(("dtype", "factor"), [(torch.int32, 257), (torch.int16, 16), (torch.float32, 1)])
def test_bit_depth_does_not_matter(dtype: torch.dtype, factor: int) -> None:
    tolerance = 0.02 if dtype.is_floating_point else 1e-5
    assert torch.allclose(normalised(case()), normalised(case(dtype, factor)), atol=tolerance)


def test_without_metadata_the_values_are_the_same() -> None:
    plain = {keys.IMAGE: scan().as_tensor()}
    assert not isinstance(normalised(plain), MetaTensor)
    assert torch.equal(normalised(plain), normalised(case()).as_tensor())  # type: ignore[attr-defined]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_voxels_that_are_no_number_are_counted_and_refused(value: float) -> None:
    given = case(torch.float32)
    given[keys.IMAGE][0, 0, 0] = value
    words = (
        r"Expected finite values, got 2 voxels that are NaN or infinite in TCGA_CS_4941_1\.tif; "
        r"replace them, for example by 0\.$"
    )
    with pytest.raises(ValueError, match=words):
        ForegroundStatisticsd()(given)


def test_a_voxel_of_flair_that_stands_in_for_the_others_counts_once() -> None:
    given = case(torch.float32)
    given[keys.IMAGE] = given[keys.IMAGE][1:2]
    given[keys.IMAGE][0, 0, 0, 0] = float("nan")
    words = r"got 1 voxel that is NaN or infinite in TCGA_CS_4941_1\.tif; replace it, for example by 0\.$"
    with pytest.raises(ValueError, match=words):
        ForegroundStatisticsd()(FillMissingSequencesd(keys.IMAGE)(given))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_the_cache_keeps_what_stands_above_its_end(dtype: torch.dtype) -> None:
    steps = Compose([ForegroundStatisticsd(), EndOfCached(), NormalizeForegroundd()])
    dataset = CacheDataset([case(dtype)], steps, copy_cache=False, progress=False)
    first = dataset[0][keys.IMAGE].clone()
    again = dataset[0][keys.IMAGE]
    assert torch.equal(first, again)
    (cached,) = dataset._cache
    assert cached[keys.IMAGE].dtype == dtype
    assert torch.equal(cached[keys.IMAGE], scan(dtype))
    assert cached[keys.IMAGE].applied_operations == []


def test_the_end_of_the_cache_does_nothing() -> None:
    given = case()
    assert EndOfCached()(given) is given


def test_statistics_of_the_slices_replace_those_of_the_patient_when_drawn() -> None:
    patient = ForegroundStatisticsd()(case())
    drawn = {**patient, keys.IMAGE: patient[keys.IMAGE][..., 0]}
    kept = RandSliceStatisticsd(prob=0.0)(drawn)[keys.STATISTICS]
    replaced = RandSliceStatisticsd(prob=1.0)(drawn)[keys.STATISTICS]
    assert kept is patient[keys.STATISTICS]
    assert replaced.tolist() == foreground_statistics(np.asarray(drawn[keys.IMAGE])).tolist()
    assert replaced.tolist() != kept.tolist()


def test_the_same_seed_draws_the_same() -> None:
    def results(seed: int) -> list[Any]:
        transform = RandSliceStatisticsd(prob=0.5).set_random_state(seed=seed)
        drawn = [transform(ForegroundStatisticsd()(case())) for _ in range(12)]
        return [(one[keys.IMAGE].tolist(), one[keys.STATISTICS].tolist()) for one in drawn]

    assert results(1) == results(1)


def test_a_lone_channel_is_taken_as_flair_for_all() -> None:
    image = scan()[keys.FLAIR : keys.FLAIR + 1]
    filled = FillMissingSequencesd(keys.IMAGE)({keys.IMAGE: image})[keys.IMAGE]
    assert filled.shape == (3, 8, 8, 2)
    assert all(torch.equal(filled[channel], image[0]) for channel in range(3))


def test_three_channels_pass_unchanged() -> None:
    image = scan()
    assert FillMissingSequencesd(keys.IMAGE)({keys.IMAGE: image})[keys.IMAGE] is image


@pytest.mark.parametrize("channels", [2, 4])
def test_any_other_number_of_channels_is_refused(channels: int) -> None:
    image = MetaTensor(torch.zeros(channels, 2, 2, 1), meta={"filename_or_obj": "scan.nii.gz"})
    words = rf"Expected 1 channel \(FLAIR\) or 3 \(pre-contrast, .*\), got {channels} in scan\.nii\.gz"
    with pytest.raises(ValueError, match=words):
        FillMissingSequencesd(keys.IMAGE)({keys.IMAGE: image})


def test_channels_are_told_by_their_sequences() -> None:
    image = MetaTensor(torch.tensor([5.0, 7.0]).reshape(2, 1, 1, 1))
    given = {keys.IMAGE: image, keys.SEQUENCES: ["FLAIR", "post-contrast"]}
    assert FillMissingSequencesd(keys.IMAGE)(given)[keys.IMAGE].flatten().tolist() == [5, 5, 7]


def test_values_that_no_scanner_counts_are_refused() -> None:
    image = MetaTensor(torch.tensor([[[[0.0, 3e12]]]]), meta={"filename_or_obj": "a.nii"})
    with pytest.raises(
        ValueError,
        match=r"Expected values up to 1e\+09, got 0 to 3e\+12 in a\.nii; the file is damaged, or its "
        r"scaling is: copy it again or convert it anew\.",
    ):
        ForegroundStatisticsd()({keys.IMAGE: image})


def test_values_closer_together_than_the_steps_of_a_histogram_are_counted_one_by_one() -> None:
    values = np.array([[1000.0, 1000.0001, 1000.0002]], np.float32)
    assert foreground_statistics(values)[0, 2] == pytest.approx(1000.0001)


def test_counting_in_blocks_is_counting(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).integers(-50, 4000, (1, 30, 30), np.int16)
    whole = foreground_statistics(values)
    monkeypatch.setattr("gliomaseg.transforms.intensity._BLOCK", 7)
    assert np.array_equal(foreground_statistics(values), whole)


def test_each_slice_is_measured_as_if_it_were_alone() -> None:
    measured = SliceStatisticsd(keys.IMAGE)(case())[keys.SLICE_STATISTICS]
    image = np.asarray(case()[keys.IMAGE])
    assert measured.shape == (image.shape[-1], 3, 4)
    for depth in range(image.shape[-1]):
        assert measured[depth].tolist() == foreground_statistics(image[..., depth]).tolist()


def test_statistics_that_were_measured_before_are_taken_over() -> None:
    known = np.full((3, 4), 7.0, dtype=np.float32)
    given = {**ForegroundStatisticsd()(case()), keys.SLICE_STATISTICS: known}
    assert RandSliceStatisticsd(prob=1.0)(given)[keys.STATISTICS] is known


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.float32])
def test_clipping_before_changes_nothing_of_what_normalising_gives(dtype: torch.dtype) -> None:
    measured = ForegroundStatisticsd()(case(dtype))
    clipped = ClipForegroundd(keys.IMAGE)(measured)
    assert clipped[keys.IMAGE].dtype == dtype
    low, high = clipped[keys.STATISTICS][keys.FLAIR][:2]
    assert low <= float(clipped[keys.IMAGE][keys.FLAIR].min()) < float(clipped[keys.IMAGE][keys.FLAIR].max())
    assert float(clipped[keys.IMAGE][keys.FLAIR].max()) <= high
    one, other = (NormalizeForegroundd()(given)[keys.IMAGE] for given in (measured, clipped))
    assert torch.equal(one.as_tensor(), other.as_tensor())
    assert not torch.equal(measured[keys.IMAGE].as_tensor(), clipped[keys.IMAGE].as_tensor())


def head(dtype: type = np.float32) -> np.ndarray:
    """Return a bright ball in air, with noise in both; the ball is a tenth of the picture."""
    rng = np.random.default_rng(0)
    y, x, z = np.mgrid[-20:20, -20:20, -10:10]
    inside = y**2 + x**2 + (2 * z) ** 2 < 300
    values = np.where(inside, rng.normal(500, 60, inside.shape), rng.normal(20, 5, inside.shape))
    return values.clip(0)[None].astype(dtype)


def test_a_scan_below_zero_is_measured_as_the_same_scan_above() -> None:
    for dtype in (np.float32, np.int16):
        low, high, mean, deviation = foreground_statistics(head(dtype))[0]
        for offset in (100, 300, 1000, 1024, 2000):
            shifted = foreground_statistics(head(dtype) - dtype(offset))[0]
            expected = [low - offset, high - offset, mean - offset, deviation]
            np.testing.assert_allclose(shifted, expected, atol=1.5)


@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.uint16])
@pytest.mark.parametrize("offset", [20, 60, 300, 1024, 32768])
def test_a_scan_with_something_added_is_measured_as_the_same_scan_without(dtype: type, offset: int) -> None:
    low, high, mean, deviation = foreground_statistics(head(dtype))[0]
    lifted = foreground_statistics(head(dtype) + dtype(offset))[0]
    expected = [low + offset, high + offset, mean + offset, deviation]
    np.testing.assert_allclose(lifted, expected, atol=1.5)


def test_a_picture_without_air_is_measured_as_a_whole() -> None:
    values = np.random.default_rng(0).integers(300, 360, (1, 30, 30, 4)).astype(np.int16)
    values[:, 10:14, 10:14] = 900
    low, high, mean, _ = foreground_statistics(values)[0]
    assert (low, high) == (300.0, 900.0)
    assert mean == pytest.approx(values.mean(), rel=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
@pytest.mark.parametrize("specks", [(1e7,), (-1e7,), (-1e6, 1e7)])
def test_a_speck_hides_nothing(dtype: type, specks: tuple[float, ...]) -> None:
    image = head(dtype)
    expected = foreground_statistics(image)[0]
    image[0, 0, 0, : len(specks)] = specks
    np.testing.assert_allclose(foreground_statistics(image)[0], expected, rtol=0.01)


def test_a_head_around_zero_in_a_background_of_zero_is_measured_as_before() -> None:
    values = np.where(head() > 100, (head() - 500) / 60, 0)
    threshold = 0.5 * values.mean()
    inside = values[values > threshold]
    low, high = np.percentile(inside, [0.5, 99.5])
    np.testing.assert_allclose(foreground_statistics(values)[0, :2], [low, high], atol=0.01)
