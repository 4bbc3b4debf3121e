import pytest
import torch

from gliomaseg.networks.decoder import DecoderBlock, SeedDecoder, SlimDecoder


def test_the_slim_decoder_climbs_to_twice_the_finest_map() -> None:
    decoder = SlimDecoder((4, 8, 16), channels=(6, 5, 3)).eval()
    features = [torch.zeros(1, 4, 16, 24), torch.zeros(1, 8, 8, 12), torch.zeros(1, 16, 4, 6)]
    assert decoder(features).shape == (1, 3, 32, 48)


def test_the_slim_decoder_looks_at_every_map() -> None:
    torch.manual_seed(0)
    decoder = SlimDecoder((4, 8, 16), channels=(6, 5, 3)).eval()
    features = [torch.rand(1, 4, 16, 16), torch.rand(1, 8, 8, 8), torch.rand(1, 16, 4, 4)]
    before = decoder(features)
    for index in range(3):
        changed = [f + (i == index) for i, f in enumerate(features)]
        assert not torch.equal(decoder(changed), before)


def test_the_slim_decoder_can_end_at_the_finest_map() -> None:
    decoder = SlimDecoder((4, 8, 16), channels=(6, 5)).eval()
    features = [torch.zeros(1, 4, 16, 24), torch.zeros(1, 8, 8, 12), torch.zeros(1, 16, 4, 6)]
    assert decoder(features).shape == (1, 5, 16, 24)


@pytest.mark.parametrize("channels", [(6,), (6, 5, 4, 3)])
def test_one_number_of_channels_per_map_is_required(channels: tuple[int, ...]) -> None:
    words = (
        r"one number of decoder channels per encoder map \(3\), or one less to end at half the size, "
        rf"got {len(channels)}: \({channels[0]}"
    )
    with pytest.raises(ValueError, match=words):
        SlimDecoder((4, 8, 16), channels=channels)


def test_the_seed_block_doubles_the_size_through_a_quarter_of_the_channels() -> None:
    block = DecoderBlock(16, 8)
    assert block.deconv.in_channels == 4
    assert block(torch.zeros(1, 16, 5, 6)).shape == (1, 8, 10, 12)


def test_the_seed_decoder_adds_its_skips() -> None:
    decoder = SeedDecoder((8, 16, 32, 64), out_channels=1)
    for parameter in decoder.decoder4.parameters():
        parameter.data.zero_()
    features = [torch.rand(1, 8 * 2**i, 16 // 2**i, 16 // 2**i) for i in range(4)]
    # A silent decoder4 leaves layer3's map itself: d4 = dec4(e4) + e3.
    d3 = decoder.decoder3(features[2]) + features[1]
    d1 = decoder.decoder1(decoder.decoder2(d3) + features[0])
    assert torch.allclose(decoder(features), decoder.last_conv1(decoder.last_conv0(d1)), atol=1e-5)
