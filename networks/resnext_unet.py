"""The ResNeXt U-Nets: a batch of slices goes in, logits of the same size come out.

Ours is the U-Net of ``slim_unet``; the seed's is a decoder of its own on a ResNeXt without max-pool.
"""

from torch import Tensor

from .decoder import SeedDecoder
from .padded import AnySize
from .resnext import VARIANTS, ResNeXtEncoder
from .slim_unet import SlimUNet


class ResNeXtUNet(SlimUNet):
    """Outline with a max-pooled ResNeXt and the slim decoder: ``SlimUNet`` has the arguments."""


class SeedResNeXtUNet(AnySize):
    """Outline as the seed does: ResNeXt-50 without the max-pool, decoder with added skips.

    Differs from the seed in three ways that leave its figures alone: it returns logits (the seed ends in a
    sigmoid), it pads sizes that are no multiple of 16 (the seed fails there), and it stores the encoder once.

    Args:
        in_channels: channels of the image.
        out_channels: number of logits per pixel.
    """

    def __init__(self, in_channels: int = 3, out_channels: int = 1) -> None:
        encoder = ResNeXtEncoder(VARIANTS["resnext50_32x4d"], in_channels, stem_pool=False)
        super().__init__(encoder.strides[-1], in_channels)
        self.encoder = encoder
        self.decoder = SeedDecoder(encoder.channels[1:], out_channels)

    def logits(self, image: Tensor) -> Tensor:
        """Return logits ``(B, out_channels, H, W)`` for H and W that are multiples of the stride."""
        result: Tensor = self.decoder(self.encoder(image)[1:])
        return result
