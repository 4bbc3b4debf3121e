"""The ResNeXt U-Nets: a batch of slices goes in, logits of the same size come out.

Ours is the U-Net of ``slim_unet``; the seed's is a decoder of its own on a ResNeXt without max-pool.
"""

from torch import Tensor, nn

from .decoder import SeedDecoder
from .padded import check_image, pad_to_stride
from .resnext import VARIANTS, ResNeXtEncoder
from .slim_unet import SlimUNet


class ResNeXtUNet(SlimUNet):
    """Outline with a max-pooled ResNeXt and the slim decoder: ``SlimUNet`` has the arguments."""


class SeedResNeXtUNet(nn.Module):
    """Outline as the seed does: ResNeXt-50 without the max-pool, decoder with added skips.

    Differs from the seed in three ways that leave its figures alone: it returns logits (the seed ends in a
    sigmoid), it pads sizes that are no multiple of 16 (the seed fails there), and it stores the encoder once.

    Args:
        in_channels: channels of the image.
        out_channels: number of logits per pixel.
    """

    def __init__(self, in_channels: int = 3, out_channels: int = 1) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.encoder = ResNeXtEncoder(VARIANTS["resnext50_32x4d"], in_channels, stem_pool=False)
        self.stride = self.encoder.strides[-1]
        self.decoder = SeedDecoder(self.encoder.channels[1:], out_channels)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits ``(B, out_channels, H, W)`` for ``(B, in_channels, H, W)``, H and W from 32 up.

        Raises:
            ValueError: wrong number of dimensions or channels, or a side under 32 pixels.
        """
        check_image(image, self.in_channels)
        height, width = image.shape[2], image.shape[3]
        features = self.encoder(pad_to_stride(image, self.stride))
        logits = self.decoder(features[1:])
        result: Tensor = logits[:, :, :height, :width]
        return result
