"""The U-Net that all of ours are but the seed's: an encoder, the slim decoder and a head, and nothing else.

Probabilities are ``torch.sigmoid(logits)``; the loss and the post-processing do that. In training mode
BatchNorm needs more than one value per channel, so a batch of one 32 x 32 image works in evaluation mode
only.
"""

import math
from collections.abc import Sequence

from torch import Tensor, nn

from .decoder import SlimDecoder
from .efficientnet_lite import EfficientNetLiteEncoder
from .padded import AnySize
from .resnext import ResNeXtEncoder

Encoder = ResNeXtEncoder | EfficientNetLiteEncoder
"""What keeps the contract of ``resnext``."""


class SlimUNet(AnySize):
    """Outline with an encoder whose maps halve from one to the next, and the slim decoder.

    Args:
        encoder: a ResNeXt with a max-pool in the stem, or an EfficientNet-Lite.
        in_channels: channels of the image, as given to the encoder.
        out_channels: number of logits per pixel.
        decoder_channels: channels after each of the five steps up, coarsest first. With four, the decoder
            ends at half the size, and the head gives four logits there for the four pixels of each (Shi et
            al., "Sub-pixel convolution", CVPR 2016): full size without convolutions at full size.
        dropout: share of the decoder's last channels dropped in training mode; 0 for none.
        foreground_prior: probability that an untrained network gives every pixel on average. The head's bias
            starts there, as in Lin et al., "Focal loss", ICCV 2017, section 4.1: with few lesion pixels a
            start at 0.5 spends the first steps on unlearning it.

    Raises:
        ValueError: the encoder has no max-pool, the prior or the dropout is out of range.
    """

    def __init__(
        self,
        encoder: Encoder,
        in_channels: int = 3,
        out_channels: int = 1,
        decoder_channels: Sequence[int] = (96, 64, 32, 16, 8),
        dropout: float = 0.0,
        foreground_prior: float = 0.05,
    ) -> None:
        super().__init__(encoder.strides[-1], in_channels)
        if encoder.strides[1] != 4:
            raise ValueError(
                f"Expected an encoder of strides (2, 4, 8, 16, 32), got {encoder.strides}; set stem_pool."
            )
        if not 0.0 < foreground_prior < 1.0:
            raise ValueError(
                f"Expected a foreground_prior between 0 and 1, got {foreground_prior}; take 0.05."
            )
        self.out_channels = out_channels
        self.encoder = encoder
        self.decoder = SlimDecoder(encoder.channels, decoder_channels)
        self.dropout = nn.Dropout2d(dropout)
        self.head = _head(decoder_channels[-1], out_channels, sub_pixel=len(decoder_channels) < 5)
        self.unfold = nn.PixelShuffle(2) if len(decoder_channels) < 5 else nn.Identity()
        nn.init.constant_(
            self.head.get_parameter("bias"), math.log(foreground_prior / (1.0 - foreground_prior))
        )

    def logits(self, image: Tensor) -> Tensor:
        """Return logits ``(B, out_channels, H, W)`` for H and W that are multiples of the stride."""
        result: Tensor = self.unfold(self.head(self.dropout(self.decoder(self.encoder(image)))))
        return result


def _head(channels: int, out_channels: int, *, sub_pixel: bool) -> nn.Conv2d:
    """Build the last convolution; the four logits of a sub-pixel head look at what lies around them."""
    if sub_pixel:
        return nn.Conv2d(channels, 4 * out_channels, kernel_size=3, padding=1)
    return nn.Conv2d(channels, out_channels, kernel_size=1)
