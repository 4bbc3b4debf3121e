"""One Segmenter for every door: whatever names the model, the mask is the same."""

import re
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image

from gliomaseg.networks import create_network
from gliomaseg.workflows.datalist import load_cases
from gliomaseg.workflows.folders.studies import REFUSED
from gliomaseg.workflows.models import open_model
from gliomaseg.workflows.segment import Segmenter
from gliomaseg.workflows.system.files import InputError


@pytest.fixture(scope="module")
def segmenter(smoke_run: Path) -> Segmenter:
    return Segmenter.from_name(smoke_run, "cpu")


@pytest.fixture
def case(phantom_data: Path) -> dict[str, object]:
    return load_cases(phantom_data)[0]


def test_mask_and_probability_lie_on_the_grid_of_the_scan(
    segmenter: Segmenter, case: dict[str, object]
) -> None:
    result = segmenter(case)
    assert result.mask.shape == result.probability.shape == result.image.shape[1:]
    assert result.mask.dtype == np.uint8
    assert 0 <= result.probability.min() <= result.probability.max() <= 1
    assert (result.mask == (result.probability >= 0.5)).all()
    assert result.volume_voxels == result.mask.sum()


def test_slices_have_no_spacing_and_so_no_millilitres(segmenter: Segmenter, case: dict[str, object]) -> None:
    result = segmenter(case)
    assert result.spacing_mm is None
    assert result.volume_ml is None


def test_a_run_folder_its_weights_file_and_its_copy_give_the_same_mask(
    smoke_run: Path, case: dict[str, object], segmenter: Segmenter, tmp_path: Path
) -> None:
    expected = segmenter(case).probability
    shutil.copytree(smoke_run / "configs", tmp_path / "bundle" / "configs")
    shutil.copytree(smoke_run / "models", tmp_path / "bundle" / "models")
    for name in (smoke_run / "models" / "model.pt", tmp_path / "bundle"):
        assert np.array_equal(Segmenter.from_name(name, "cpu")(case).probability, expected)


def test_a_volume_in_another_orientation_gets_its_mask_back_in_that_orientation(
    segmenter: Segmenter, case: dict[str, object], tmp_path: Path
) -> None:
    expected = segmenter(case)
    # Our slices are (rows to posterior, columns to left, slices to superior); write them as an RAS volume.
    ras = np.flip(expected.image.transpose(0, 2, 1, 3), axis=(1, 2))
    volume = np.ascontiguousarray(np.moveaxis(ras, 0, -1))
    nib.save(nib.Nifti1Image(volume, np.diag([1.0, 1.0, 5.0, 1.0])), tmp_path / "scan.nii.gz")
    result = segmenter({"patient": "scan", "image": str(tmp_path / "scan.nii.gz")})
    assert result.spacing_mm == (1.0, 1.0, 5.0)
    assert result.volume_ml == pytest.approx(result.volume_voxels * 5 / 1000)
    assert np.array_equal(np.flip(result.mask, axis=(0, 1)).transpose(1, 0, 2), expected.mask)


def test_a_weights_file_on_its_own_is_recognised_by_its_parameters(
    case: dict[str, object], tmp_path: Path
) -> None:
    torch.save(create_network("resnext26_unet_tiny").state_dict(), tmp_path / "mine.pt")
    assert Segmenter.from_name(tmp_path / "mine.pt", "cpu").network_name == "resnext26_unet_tiny"


def test_weights_of_another_architecture_are_refused_by_name(smoke_run: Path, tmp_path: Path) -> None:
    shutil.copytree(smoke_run / "configs", tmp_path / "configs")
    (tmp_path / "models").mkdir()
    torch.save(create_network("unet").state_dict(), tmp_path / "models" / "model.pt")
    with pytest.raises(InputError, match=r"Expected weights of resnext26_unet_tiny, but .*model\.pt"):
        Segmenter.from_name(tmp_path, "cpu")


def test_foreign_weights_are_refused_with_the_names_of_our_networks(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "foreign.pt")
    with pytest.raises(InputError, match=r"foreign\.pt fit none of our networks \(.*resnext50_unet"):
        open_model(tmp_path / "foreign.pt")


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.pt").write_text("hello", encoding="utf-8")
    with pytest.raises(InputError, match=r"text\.pt cannot be read as one"):
        open_model(tmp_path / "text.pt")


def test_a_record_that_was_refused_is_not_guessed_at(segmenter: Segmenter, case: dict[str, object]) -> None:
    with pytest.raises(InputError, match=r"^Several series may be FLAIR\.$"):
        segmenter({**case, REFUSED: "Several series may be FLAIR."})


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"There is no model at .*nowhere"):
        open_model(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"There are no weights in .*expected .*model\.pt"):
        open_model(tmp_path)


@pytest.mark.parametrize(("shape", "refused"), [((8, 8, 3), True), ((8, 8, 1), False)])
def test_a_blank_scan_is_refused(
    bright_segmenter: Segmenter, tmp_path: Path, shape: tuple[int, ...], refused: bool
) -> None:
    path = tmp_path / "a.nii.gz"
    nib.save(nib.Nifti1Image(np.full(shape, 7, np.int16), np.eye(4)), path)
    case = {"patient": "a", "image": str(path)}
    if not refused:
        assert bright_segmenter(case).volume_voxels == 0
        return
    words = (
        f"A scan shows a head, but every voxel of FLAIR in {path} is 7; export it again, or give another "
        "file."
    )
    with pytest.raises(InputError, match=f"^{re.escape(words)}$"):
        bright_segmenter(case)


def test_blank_slices_that_a_split_took_out_of_a_stack_pass(
    bright_segmenter: Segmenter, tmp_path: Path
) -> None:
    files = [tmp_path / f"a_{number}.png" for number in (1, 2)]
    for file in files:
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(file)
    assert bright_segmenter({"patient": "a", "image": list(map(str, files))}).volume_voxels == 0


def test_weights_that_answer_with_no_numbers_are_told_of(
    smoke_run: Path, case: dict[str, object], tmp_path: Path
) -> None:
    shutil.copytree(smoke_run / "configs", tmp_path / "run" / "configs")
    state = torch.load(smoke_run / "models" / "model.pt", weights_only=True)
    largest = {
        name: torch.full_like(one, 3e38) if one.is_floating_point() else one for name, one in state.items()
    }
    (tmp_path / "run" / "models").mkdir()
    torch.save(largest, tmp_path / "run" / "models" / "model.pt")
    words = (
        f"The weights in {tmp_path / 'run' / 'models' / 'model.pt'} answer with numbers that are no "
        "probabilities: their training has run away. Take other weights, or train with a lower learning rate."
    )
    with pytest.raises(InputError, match=f"^{re.escape(words)}$"):
        Segmenter.from_name(tmp_path / "run", "cpu")(case)
