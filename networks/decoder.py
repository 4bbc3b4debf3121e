"""The decoders: the encoder's feature list goes in, one map of the size of the image comes out.

``SlimDecoder`` is ours, ``SeedDecoder`` the seed's. Neither knows which encoder made the maps.
"""

from collections.abc import Sequence

from torch import Tensor, cat, nn


class SlimDecoder(nn.Module):
    """Climb from the coarsest map to the size of the image, U-Net fashion (Ronneberger et al., MICCAI 2015).

    A 1x1 convolution narrows each encoder map before the 3x3 convolutions see it. That is what makes the
    decoder slim: nearly all the work of a plain U-Net decoder on a ResNeXt lies in 3x3 convolutions over
    its 256 to 2048 channels. Upsampling repeats pixels: unlike the bilinear kind, its gradient is
    reproducible on a GPU.

    Args:
        encoder_channels: channels of the encoder's maps, finest first, each half the size of the one before.
        channels: channels after each step up, coarsest first; one per encoder map, or one less to end at half
            the size of the image, the size of the finest map.

    Raises:
        ValueError: there are more or fewer numbers of channels.
    """

    def __init__(
        self, encoder_channels: Sequence[int], channels: Sequence[int] = (96, 64, 32, 16, 8)
    ) -> None:
        super().__init__()
        maps = len(encoder_channels)
        if len(channels) not in (maps, maps - 1):
            raise ValueError(
                f"Expected one number of decoder channels per encoder map ({maps}), or one less to end at "
                f"half the size, got {len(channels)}: {tuple(channels)}."
            )
        self.channels = tuple(channels)
        skips = list(encoder_channels[-2::-1])
        self.bottom = conv_bn_relu(encoder_channels[-1], channels[0], kernel=1)
        inputs = [channels[0], *channels[: maps - 2]]
        self.ups = nn.ModuleList(
            UpBlock(into, skip, out)
            for into, skip, out in zip(inputs, skips, channels[: maps - 1], strict=True)
        )
        self.upsample: nn.Module = nn.Identity()
        self.top: nn.Module = nn.Identity()
        if len(channels) == maps:
            self.upsample = nn.Upsample(scale_factor=2.0, mode="nearest")
            self.top = double_conv(channels[-2], channels[-1])

    def forward(self, features: list[Tensor]) -> Tensor:
        """Return ``(B, channels[-1], H, W)`` for maps of which the finest is ``(B, c, H / 2, W / 2)``.

        With one number of channels less, the result is ``(B, channels[-1], H / 2, W / 2)``.
        """
        x = self.bottom(features[-1])
        for step, up in enumerate(self.ups):
            x = up(x, features[len(features) - 2 - step])
        result: Tensor = self.top(self.upsample(x))
        return result

    def maps(self, features: list[Tensor]) -> list[Tensor]:
        """Return the maps after every step up, coarsest first; the last is that of ``forward``."""
        x = self.bottom(features[-1])
        found: list[Tensor] = []
        for step, up in enumerate(self.ups):
            x = up(x, features[len(features) - 2 - step])
            found.append(x)
        return found if len(self.channels) == len(found) else [*found, self.top(self.upsample(x))]


class UpBlock(nn.Module):
    """Double the size of a map, join it with the narrowed encoder map of that size, convolve twice."""

    def __init__(self, in_channels: int, skip_channels: int, out_channels: int) -> None:
        super().__init__()
        self.upsample = nn.Upsample(scale_factor=2.0, mode="nearest")
        self.narrow = conv_bn_relu(skip_channels, out_channels, kernel=1)
        self.convs = double_conv(in_channels + out_channels, out_channels)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Return ``(B, out_channels, 2h, 2w)`` for ``(B, in_channels, h, w)`` and a skip of ``2h x 2w``."""
        result: Tensor = self.convs(cat([self.upsample(x), self.narrow(skip)], dim=1))
        return result


def conv_bn_relu(in_channels: int, out_channels: int, kernel: int) -> nn.Sequential:
    """Build a convolution that keeps the size, then BatchNorm, then ReLU."""
    conv = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True))


def double_conv(in_channels: int, out_channels: int) -> nn.Sequential:
    """Build two 3x3 convolutions, each with BatchNorm and ReLU."""
    return nn.Sequential(
        conv_bn_relu(in_channels, out_channels, kernel=3), conv_bn_relu(out_channels, out_channels, kernel=3)
    )


class ConvRelu(nn.Module):
    """Convolve, then ReLU: the seed's smallest block, under the seed's parameter names."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, padding: int) -> None:
        super().__init__()
        self.convrelu = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, kernel, padding=padding), nn.ReLU(inplace=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(B, out_channels, h, w)`` for ``(B, in_channels, h, w)``."""
        result: Tensor = self.convrelu(x)
        return result


class DecoderBlock(nn.Module):
    """Narrow to a quarter of the channels, double the size by a transposed convolution, widen again."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        inner = in_channels // 4
        self.conv1 = ConvRelu(in_channels, inner, 1, 0)
        self.deconv = nn.ConvTranspose2d(inner, inner, kernel_size=4, stride=2, padding=1)
        self.conv2 = ConvRelu(inner, out_channels, 1, 0)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(B, out_channels, 2h, 2w)`` for ``(B, in_channels, h, w)``."""
        result: Tensor = self.conv2(self.deconv(self.conv1(x)))
        return result


class SeedDecoder(nn.Module):
    """Climb as the seed does: encoder maps are added, not joined, and no BatchNorm.

    Args:
        encoder_channels: channels of layer1 to layer4, finest first, each half the size of the one before.
        out_channels: number of logits per pixel.
    """

    def __init__(self, encoder_channels: Sequence[int], out_channels: int) -> None:
        super().__init__()
        layer1, layer2, layer3, layer4 = encoder_channels
        self.decoder4 = DecoderBlock(layer4, layer3)
        self.decoder3 = DecoderBlock(layer3, layer2)
        self.decoder2 = DecoderBlock(layer2, layer1)
        self.decoder1 = DecoderBlock(layer1, layer1)
        self.last_conv0 = ConvRelu(layer1, 128, 3, 1)
        self.last_conv1 = nn.Conv2d(128, out_channels, 3, padding=1)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Return logits ``(B, out_channels, H, W)`` for four maps, the finest of them ``H / 2 x W / 2``."""
        x = self.decoder4(features[3]) + features[2]
        x = self.decoder3(x) + features[1]
        x = self.decoder2(x) + features[0]
        result: Tensor = self.last_conv1(self.last_conv0(self.decoder1(x)))
        return result
