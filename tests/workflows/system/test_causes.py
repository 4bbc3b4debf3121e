"""What MONAI puts around an error is taken off, whatever it was."""

import errno
from pathlib import Path

import pytest
from monai.bundle import ConfigParser
from monai.transforms import Compose

from gliomaseg.networks import create_network
from gliomaseg.transforms import LoadStudyd
from gliomaseg.workflows.system.causes import is_full, root_cause, users_fault

FAULTY = {"_target_": "gliomaseg.networks.create_network", "name": "vnet"}


def cause_of(call: object) -> str:
    with pytest.raises(Exception) as caught:
        call()
    return root_cause(caught.value)


def test_an_error_of_a_part_of_a_config_is_told_in_its_own_words() -> None:
    own = cause_of(lambda: create_network("vnet"))
    assert own.startswith("Expected one of seed_resnext50_unet")
    parser = ConfigParser(
        {"network": FAULTY, "outer": {"_target_": "torch.nn.Sequential", "_args_": ["@network"]}}
    )
    assert cause_of(lambda: parser.get_parsed_content("network")) == own
    assert cause_of(lambda: parser.get_parsed_content("outer")) == own


def test_an_error_of_an_expression_is_told_in_its_own_words() -> None:
    parser = ConfigParser({"sum": "$[1, 2][5]"})
    assert cause_of(lambda: parser.get_parsed_content("sum")) == "list index out of range"


def test_an_error_of_a_transform_is_told_in_its_own_words(tmp_path: Path) -> None:
    file = tmp_path / "nowhere.nii"
    load = LoadStudyd(keys="image")
    own = cause_of(lambda: load({"image": file}))
    assert cause_of(lambda: Compose([load])({"image": file})) == own
    assert "nowhere.nii" in own


def test_what_our_error_was_raised_from_is_not_told_and_no_words_are_the_kind() -> None:
    ours = ValueError("ours")
    ours.__cause__ = OSError("theirs")
    assert root_cause(ours) == "ours"
    assert root_cause(KeyboardInterrupt()) == "KeyboardInterrupt"


class AskedError(KeyError):
    """An error that came from another one, and loses patience when it is asked too often which."""

    asked, came_from = 0, None

    @property
    def __cause__(self) -> BaseException | None:  # type: ignore[override]
        self.asked += 1
        assert self.asked < 5, "asked again and again"
        return self.came_from


def test_an_error_that_is_raised_again_comes_to_an_end() -> None:
    first = AskedError("first")
    first.came_from = around = ValueError("around")
    around.__cause__ = first
    assert users_fault(first) is None
    assert first.asked
    assert users_fault(around) is None


@pytest.mark.parametrize("hide", [False, True])
def test_a_disk_without_room_is_seen_behind_what_is_hidden(hide: bool) -> None:
    def write() -> None:
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as full:
            if hide:
                raise ValueError("could not write") from None
            raise ValueError("could not write") from full

    with pytest.raises(ValueError, match="could not write") as caught:
        write()
    assert is_full(caught.value)
    assert not is_full(ValueError("could not write"))
