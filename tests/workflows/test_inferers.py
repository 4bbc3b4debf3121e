"""Size, chunks, mirror and precision change how a network is run, not what it is asked."""

from collections.abc import Callable

import pytest
import torch
from monai.data import DataLoader, MetaTensor
from monai.inferers import SliceInferer
from torch import Tensor, nn

from gliomaseg.transforms import LayInSquared, keys
from gliomaseg.transforms.plain import plain
from gliomaseg.transforms.turn import turned
from gliomaseg.workflows import inferers
from gliomaseg.workflows.inferers import (
    BatchInferer,
    StudyInferer,
    autocast_dtype,
    input_dtype,
    on_device,
    pick_device,
)
from gliomaseg.workflows.system.files import InputError

CPU = torch.device("cpu")


def volume(batch: int = 2, channels: int = 3, size: int = 8, depth: int = 5) -> Tensor:
    """Return whole numbers, so that sums are exact in any order."""
    count = batch * channels * size * size * depth
    return (torch.arange(count) * 37 % 101).float().reshape(batch, channels, size, size, depth)


@pytest.fixture
def network() -> nn.Module:
    """Return a convolution of whole numbers that is not symmetric."""
    layer = nn.Conv2d(3, 2, 3, padding=1)
    with torch.no_grad():
        layer.weight.copy_((torch.arange(54) * 7 % 5 - 2).reshape(2, 3, 3, 3))
        layer.bias.copy_(torch.tensor([1.0, -2.0]))  # type: ignore[union-attr]
    return layer.eval().requires_grad_(False)


def test_without_resizing_it_is_the_slice_inferer_of_monai(network: nn.Module) -> None:
    given = volume()
    theirs = SliceInferer(roi_size=(8, 8), spatial_dim=2, sw_batch_size=4)(given, network)
    ours = StudyInferer(precision="fp32")(given, network)
    assert torch.equal(ours, theirs)
    assert ours.shape == (2, 2, 8, 8, 5)


@pytest.mark.parametrize("batch_size", [1, 3, 4, 100])
def test_chunks_do_not_matter(network: nn.Module, batch_size: int) -> None:
    whole = StudyInferer(precision="fp32")(volume(), network)
    assert torch.equal(StudyInferer(batch_size=batch_size, precision="fp32")(volume(), network), whole)


def test_the_network_never_sees_more_slices_than_the_chunk() -> None:
    seen: list[tuple[int, ...]] = []

    def watch(slices: Tensor) -> Tensor:
        seen.append(tuple(slices.shape))
        return slices

    StudyInferer(size=4, batch_size=4, precision="fp32")(volume(), watch)
    assert seen == [(4, 3, 4, 4), (4, 3, 4, 4), (2, 3, 4, 4)]


class SmallGpu(nn.Module):
    """A network that a given number of slices at a time fills the memory for."""

    def __init__(self, network: nn.Module, room: int) -> None:
        super().__init__()
        self.network, self.room = network, room
        self.seen: list[int] = []

    def forward(self, slices: Tensor) -> Tensor:
        self.seen.append(len(slices))
        if len(slices) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        logits: Tensor = self.network(slices)
        return logits


def test_slices_that_fill_the_gpu_are_run_in_smaller_chunks_with_the_same_result(
    network: nn.Module, caplog: pytest.LogCaptureFixture
) -> None:
    small = SmallGpu(network, room=2)
    inferer = StudyInferer(batch_size=8, precision="fp32")
    assert torch.equal(inferer(volume(), small), StudyInferer(precision="fp32")(volume(), network))
    assert small.seen == [8, 4, 2, 2, 2, 2, 2]
    inferer(volume(), small)
    assert small.seen[7:] == [2] * 5  # it is not tried again
    assert [record.message for record in caplog.records] == [
        f"The GPU has too little memory left for {count} slices at a time; going on with {count // 2}, which "
        "changes results by rounding at most, and takes longer."
        for count in (8, 4)
    ]


def test_a_gpu_without_room_for_one_slice_is_an_error(network: nn.Module) -> None:
    small = SmallGpu(network, room=0)
    with pytest.raises(torch.OutOfMemoryError):
        StudyInferer(batch_size=4, precision="fp32")(volume(), small)
    assert small.seen == [4, 2, 1]


def test_slices_come_back_as_slices(network: nn.Module) -> None:
    slices = volume()[..., 0]
    assert torch.equal(StudyInferer(precision="fp32")(slices, network), network(slices))


def test_each_slice_stays_in_its_place() -> None:
    assert torch.equal(StudyInferer(batch_size=3, precision="fp32")(volume(), lambda x: x), volume())


def test_logits_come_back_at_the_size_of_the_scan() -> None:
    flat = torch.full((1, 3, 8, 6, 2), 5.0)
    for size in (4, 16):
        logits = StudyInferer(size=size, precision="fp32")(flat, lambda x: x)
        assert logits.shape == flat.shape
        assert torch.allclose(logits, flat, atol=1e-5)


def test_shrinking_averages_areas() -> None:
    given = torch.tensor([[0.0, 4.0], [8.0, 0.0]]).reshape(1, 1, 2, 2, 1)
    seen: list[float] = []
    StudyInferer(size=1, precision="fp32")(given, lambda x: (seen.append(float(x)), x)[1])
    assert seen == [3.0]


@pytest.mark.parametrize("mirror", [False, True])
def test_slices_turned_both_ways_are_asked_about_too(network: nn.Module, mirror: bool) -> None:
    slices = volume()[..., 0] / 100
    straight = StudyInferer(precision="fp32")
    views = [slices, turned(slices, 15.0), turned(slices, -15.0)]
    answers = [straight(view, network) for view in views]
    if mirror:
        answers += [straight(view.flip(-1), network).flip(-1) for view in views]
    back = [turned(answer, (0.0, -15.0, 15.0)[place % 3]) for place, answer in enumerate(answers)]
    expected = torch.stack(back).sigmoid().mean(dim=0)
    found = StudyInferer(precision="fp32", mirror=mirror, turn=15)(slices, network)
    assert torch.allclose(found.sigmoid(), expected, atol=1e-5)
    assert not torch.allclose(found, straight(slices, network), atol=0.1)


def test_the_temperature_divides_what_the_turned_views_say_together(network: nn.Module) -> None:
    once = StudyInferer(precision="fp32", turn=10)(volume(), network)
    assert torch.allclose(
        StudyInferer(precision="fp32", turn=10, temperature=2.0)(volume(), network), once / 2
    )


@pytest.mark.parametrize("degrees", [-1, 46, float("nan")])
def test_an_angle_that_no_head_is_held_at_is_refused(degrees: float) -> None:
    with pytest.raises(ValueError, match=f"`turn` is an angle from 0 to 45 degrees, got {degrees}"):
        StudyInferer(turn=degrees)


def test_mirroring_averages_with_the_turned_back_mirror_image(network: nn.Module) -> None:
    given = volume()
    straight = StudyInferer(precision="fp32")
    mirrored = straight(given.flip(-2), network).flip(-2)
    expected = (straight(given, network) + mirrored) / 2
    found = StudyInferer(precision="fp32", mirror=True)(given, network)
    assert torch.equal(found, expected)
    assert not torch.equal(found, straight(given, network))
    assert torch.equal(found, StudyInferer(precision="fp32", mirror=True)(given.flip(-2), network).flip(-2))


def test_a_temperature_divides_the_logits(network: nn.Module) -> None:
    plain_logits = StudyInferer(precision="fp32")(volume(), network)
    assert torch.equal(StudyInferer(precision="fp32", temperature=2.0)(volume(), network), plain_logits / 2)


def shown_to(network_input: list[Tensor], given: Tensor, **options: object) -> Tensor:
    """Run an inferer whose network keeps what it is shown and answers with the middle slice."""

    def watch(slices: Tensor) -> Tensor:
        network_input.append(slices)
        middle = slices.shape[1] // 2
        return slices[:, middle - 1 : middle + 2]

    return StudyInferer(precision="fp32", neighbours=1, **options)(given, watch)  # type: ignore[arg-type]


@pytest.mark.parametrize("batch_size", [1, 3, 4, 100])
def test_the_network_sees_each_slice_between_its_neighbours(batch_size: int) -> None:
    seen: list[Tensor] = []
    given = volume()
    assert torch.equal(shown_to(seen, given, batch_size=batch_size), given)
    below, above = [0, 0, 1, 2, 3], [1, 2, 3, 4, 4]  # edge slices are repeated, studies never mixed
    expected = torch.cat([given[..., below], given, given[..., above]], dim=1)
    assert torch.equal(torch.cat(seen), expected.movedim(-1, 1).flatten(0, 1))
    assert all(len(part) <= batch_size for part in seen)


def test_slices_on_their_own_are_their_own_neighbours() -> None:
    seen: list[Tensor] = []
    slices = volume()[..., 0]
    assert torch.equal(shown_to(seen, slices), slices)
    assert torch.equal(seen[0], torch.cat([slices] * 3, dim=1))


def test_neighbours_are_laid_into_the_square_as_the_slice_is() -> None:
    seen: list[Tensor] = []
    shown_to(seen, volume(), size=4, batch_size=3)
    alone: list[Tensor] = []
    StudyInferer(size=4, precision="fp32")(volume(), lambda x: (alone.append(x), x)[1])
    middle = torch.cat(seen)[:, 3:6]
    assert torch.equal(middle, torch.cat(alone))
    assert torch.equal(torch.cat(seen)[1, :3], middle[0])
    assert torch.equal(torch.cat(seen)[1, 6:], middle[2])


@pytest.mark.parametrize("shape", [(12, 12), (12, 8), (6, 10)])
@pytest.mark.parametrize("neighbours", [0, 1])
def test_slices_laid_in_before_a_cache_give_the_same_logits(
    network: nn.Module, shape: tuple[int, int], neighbours: int
) -> None:
    torch.manual_seed(0)
    scan = MetaTensor(torch.rand(3, *shape, 5), affine=torch.diag(torch.tensor([20.0, 20.0, 5.0, 1.0])))
    laid = next(iter(DataLoader([LayInSquared(size=8)({keys.IMAGE: scan})], batch_size=1)))[keys.IMAGE]
    assert laid.shape == (1, 3, 8, 8, 5)
    inferer = StudyInferer(size=8, batch_size=3, precision="fp32", neighbours=neighbours)

    def first(slices: Tensor) -> Tensor:
        return network(slices[:, :3] + slices[:, -3:])  # type: ignore[no-any-return]

    assert torch.equal(plain(inferer(laid, first)), plain(inferer(scan[None], first)))


def test_slices_may_be_kept_in_the_format_the_network_computes_in() -> None:
    scan = MetaTensor(torch.rand(3, 12, 12, 5))
    convolution = nn.Conv2d(3, 1, 3, padding=1).eval()
    laid = LayInSquared(size=8, dtype=input_dtype("cpu", "bf16"))({keys.IMAGE: scan})[keys.IMAGE]
    assert laid.dtype == torch.bfloat16
    inferer = StudyInferer(size=8, precision="bf16")
    with torch.no_grad():
        assert torch.equal(plain(inferer(laid[None], convolution)), plain(inferer(scan[None], convolution)))


def test_many_slices_are_laid_in_part_by_part(network: nn.Module) -> None:
    scan = MetaTensor(torch.rand(3, 12, 12, 37))
    laid = LayInSquared(size=8)({keys.IMAGE: scan})[keys.IMAGE]
    inferer = StudyInferer(size=8, precision="fp32")
    assert torch.equal(plain(inferer(laid[None], network)), plain(inferer(scan[None], network)))


def test_slices_laid_into_another_square_are_refused(network: nn.Module) -> None:
    laid = LayInSquared(size=8)({keys.IMAGE: torch.rand(3, 12, 12, 2)})[keys.IMAGE]
    with pytest.raises(ValueError, match=r"squares of 8 pixels, but the inferer has size 16; give both the"):
        StudyInferer(size=16)(laid[None], network)


def test_slices_kept_in_fewer_bits_are_computed_in_32_where_that_is_asked(network: nn.Module) -> None:
    laid = LayInSquared(size=8, dtype=torch.bfloat16)({keys.IMAGE: torch.rand(3, 12, 12, 2)})[keys.IMAGE]
    inferer = StudyInferer(size=8, precision="fp32")
    exact = MetaTensor(laid.as_tensor().float(), meta=dict(laid.meta))
    assert torch.equal(plain(inferer(laid[None], network)), plain(inferer(exact[None], network)))


def test_the_format_of_the_input_is_that_of_the_precision() -> None:
    assert input_dtype(torch.device("cpu"), "fp32") == torch.float32
    assert input_dtype("cpu", "bf16") == torch.bfloat16
    with pytest.raises(ValueError, match="`precision` must be one of auto, bf16, fp32, got 'half'"):
        input_dtype("cpu", "half")


def test_a_negative_number_of_neighbours_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`neighbours` counts .* must be at least 0, got -1\."):
        StudyInferer(neighbours=-1)


@pytest.mark.parametrize("temperature", [0.0, -1.5])
def test_a_temperature_must_be_above_zero(temperature: float) -> None:
    with pytest.raises(ValueError, match=rf"`temperature` .* must be above 0, got {temperature}"):
        StudyInferer(temperature=temperature)


@pytest.mark.parametrize("kind", [StudyInferer, BatchInferer])
def test_logits_are_float32_in_every_precision(
    network: nn.Module, kind: Callable[..., Callable[[Tensor, nn.Module], Tensor]]
) -> None:
    slices = volume()[..., 0]
    exact = kind(precision="fp32")(slices, network)
    coarse = kind(precision="bf16")(slices, network)
    assert exact.dtype == coarse.dtype == torch.float32
    assert torch.allclose(exact, coarse, rtol=0.02, atol=8)
    assert not torch.equal(exact, coarse)


def test_every_level_of_a_network_in_training_is_float32() -> None:
    levels = BatchInferer("bf16")(volume()[..., 0], lambda x: [x.bfloat16(), x[:, :1].bfloat16()])
    assert [level.dtype for level in levels] == [torch.float32] * 2
    assert [level.shape[1] for level in levels] == [3, 1]


def test_metadata_is_handed_on_by_the_volume_and_kept_from_the_network() -> None:
    affine = torch.diag(torch.tensor([2.0, 3.0, 4.0, 1.0], dtype=torch.float64))
    given = MetaTensor(volume(), affine=affine, meta={"filename_or_obj": "scan.nii.gz"})
    kinds: list[type] = []
    logits = StudyInferer(precision="fp32")(given, lambda x: (kinds.append(type(x)), x)[1])
    assert kinds == [Tensor]
    assert isinstance(logits, MetaTensor)
    assert torch.equal(logits.affine, affine)
    assert logits.meta["filename_or_obj"] == "scan.nii.gz"
    assert not isinstance(BatchInferer("fp32")(given[..., 0], lambda x: x), MetaTensor)


def test_further_arguments_reach_the_network() -> None:
    assert torch.equal(
        StudyInferer(precision="fp32")(volume(), lambda x, add, times: x * times + add, 1, times=2),
        volume() * 2 + 1,
    )


def test_networks_lie_channels_last_on_their_device(network: nn.Module) -> None:
    moved = on_device(network, "cpu")
    assert moved.weight.is_contiguous(memory_format=torch.channels_last)  # type: ignore[operator]
    assert moved.weight.device == CPU


def test_plain_takes_the_metadata_off() -> None:
    tensor = torch.ones(2)
    assert plain(tensor) is tensor
    assert type(plain(MetaTensor(tensor))) is Tensor


@pytest.mark.parametrize(
    ("precision", "has_fast", "dtype"),
    [
        ("fp32", True, None),
        ("bf16", False, torch.bfloat16),
        ("auto", True, torch.bfloat16),
        ("auto", False, None),
    ],
)
def test_auto_is_bf16_where_that_is_fast(
    monkeypatch: pytest.MonkeyPatch, precision: str, has_fast: bool, dtype: torch.dtype | None
) -> None:
    monkeypatch.setattr(inferers, "_cpu_has", lambda _: has_fast)
    assert autocast_dtype(CPU, precision) == dtype


@pytest.mark.parametrize(("capability", "dtype"), [((8, 0), torch.bfloat16), ((7, 5), None)])
def test_a_gpu_is_fast_in_bf16_from_ampere_on(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], dtype: torch.dtype | None
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert autocast_dtype(torch.device("cuda", 0)) == dtype


def test_devices_of_other_kinds_compute_in_fp32() -> None:
    assert autocast_dtype(torch.device("mps")) is None


def test_this_machine_can_be_asked_what_it_does_fast() -> None:
    assert autocast_dtype(CPU) in (None, torch.bfloat16)
    assert not inferers._cpu_has("_no_such_question")


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(ValueError, match="`precision` must be one of auto, bf16, fp32, got 'fp16'"):
        autocast_dtype(CPU, "fp16")


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the machine seem to have two GPUs."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda *_, **__: torch.device("cuda"))


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the machine seem to have no GPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 0)


@pytest.mark.usefixtures("no_gpu")
def test_auto_is_the_cpu_where_there_is_no_gpu() -> None:
    assert pick_device() == CPU
    assert pick_device("cpu") == CPU


@pytest.mark.usefixtures("two_gpus")
def test_auto_is_the_gpu_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    assert pick_device() == torch.device("cuda", 0)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert pick_device() == torch.device("cuda", 1)


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:1"])
def test_a_gpu_that_is_there_is_taken(name: str) -> None:
    assert pick_device(name) == torch.device(name)


@pytest.mark.usefixtures("two_gpus")
def test_a_gpu_beyond_the_last_is_refused() -> None:
    with pytest.raises(InputError, match=r"'cuda:2' was asked for, but this machine has 2 of that kind"):
        pick_device("cuda:2")


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("name", ["cuda", "cuda:1", "mps", "xpu"])
def test_a_gpu_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=rf"'{name}' was asked for, .* has 0 of that kind .* take auto or"):
        pick_device(name)


@pytest.mark.parametrize("name", ["gpu", "cuda:x", ""])
def test_a_name_that_is_no_device_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=f"Expected a device such as auto, .* or cuda:1, got '{name}'"):
        pick_device(name)
