"""One batch: slices go in, logits of the same size come out.

Read in this order: ``resnext`` (the encoder and its contract), ``efficientnet_lite`` and ``depthwise``
(another encoder, and what makes it fast to train), ``decoder``, ``padded`` (any image size), ``slim_unet``
and ``resnext_unet`` (assembly), ``deep`` (heads for training), ``checkpoint`` and ``pretrained`` (weights),
``backbone`` (our encoder for MONAI's FlexibleUNet), ``table`` and ``registry`` (networks by name), and
``measure`` (their size).

Importing this package registers our encoders as backbones of FlexibleUNet.
"""

from .checkpoint import load_weights
from .deep import DeeplySupervised, deployed, supervise
from .efficientnet_lite import EfficientNetLiteEncoder
from .measure import count_gflop, count_parameters
from .registry import create_network, network_names, register
from .resnext import VARIANTS, ResNeXtEncoder, Variant
from .resnext_unet import ResNeXtUNet, SeedResNeXtUNet
from .slim_unet import SlimUNet

__all__ = [
    "VARIANTS",
    "DeeplySupervised",
    "EfficientNetLiteEncoder",
    "ResNeXtEncoder",
    "ResNeXtUNet",
    "SeedResNeXtUNet",
    "SlimUNet",
    "Variant",
    "count_gflop",
    "count_parameters",
    "create_network",
    "deployed",
    "load_weights",
    "network_names",
    "register",
    "supervise",
]
