"""Our encoder as a backbone of MONAI's FlexibleUNet, registered under torchvision's names."""

from typing import Any

from monai.networks.blocks import BaseEncoder
from monai.networks.nets import FLEXUNET_BACKBONE

from .pretrained import load_imagenet
from .resnext import VARIANTS, ResNeXtEncoder


class ResNeXtBackbone(ResNeXtEncoder, BaseEncoder):  # type: ignore[misc]
    """The max-pooled encoder with the constructor and the class methods that FlexibleUNet asks for.

    Args:
        variant: a name in ``VARIANTS``.
        spatial_dims: 2; FlexibleUNet passes it.
        in_channels: number of channels of the image.
        pretrained: True for torchvision's ImageNet weights.

    Raises:
        ValueError: not two spatial dimensions, or no ImageNet weights for this variant.
    """

    def __init__(
        self, variant: str, spatial_dims: int = 2, in_channels: int = 3, pretrained: bool = False
    ) -> None:
        if spatial_dims != 2:
            raise ValueError(f"Expected 2 spatial dimensions for {variant}, got {spatial_dims}; use slices.")
        super().__init__(VARIANTS[variant], in_channels=in_channels, stem_pool=True)
        if pretrained:
            load_imagenet(self)

    @classmethod
    def get_encoder_parameters(cls) -> list[dict[str, Any]]:
        """Return the constructor's arguments, new dictionaries each time: FlexibleUNet writes into them."""
        return [
            {"variant": name, "spatial_dims": 2, "in_channels": 3, "pretrained": False} for name in VARIANTS
        ]

    @classmethod
    def num_channels_per_output(cls) -> list[tuple[int, ...]]:
        """Return the channels of the five maps of each variant."""
        return [
            tuple(variant.base_width * scale for scale in (1, 4, 8, 16, 32)) for variant in VARIANTS.values()
        ]

    @classmethod
    def num_outputs(cls) -> list[int]:
        """Return the number of maps of each variant: five."""
        return [5] * len(VARIANTS)

    @classmethod
    def get_encoder_names(cls) -> list[str]:
        """Return the names under which FlexibleUNet knows the variants."""
        return list(VARIANTS)


def register_backbones() -> None:
    """Enter the encoders in MONAI's table of backbones; a second call changes nothing."""
    if not FLEXUNET_BACKBONE.register_dict.keys() >= VARIANTS.keys():
        FLEXUNET_BACKBONE.register_class(ResNeXtBackbone)
