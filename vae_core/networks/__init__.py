"""Networks between data, latents and likelihood parameters: one file a kind, one line here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from ..columns import Layout
from .conv import ConvDecoder, ConvEncoder
from .mlp import MLP, BatchedLinear
from .stacked import Stacked

if TYPE_CHECKING:
    from ..models.base import ModelConfig


def _mlp_encoder(
    layout: Layout, config: ModelConfig, outputs: int, generator: torch.Generator
) -> nn.Module:
    widths = [layout.width, *config.hidden, outputs]
    return MLP(config.members, widths, generator, config.activation)


def _mlp_decoder(
    layout: Layout, config: ModelConfig, inputs: int, outputs: int, generator: torch.Generator
) -> nn.Module:
    widths = [inputs, *reversed(config.hidden), outputs]
    return MLP(config.members, widths, generator, config.activation)


def _conv_encoder(
    layout: Layout, config: ModelConfig, outputs: int, generator: torch.Generator
) -> nn.Module:
    image, given = _image(layout), layout.width - layout.picture.stop
    return Stacked(
        config.members,
        lambda: ConvEncoder(image, given, config.channels, config.blocks, outputs),
        generator,
    )


def _conv_decoder(
    layout: Layout, config: ModelConfig, inputs: int, outputs: int, generator: torch.Generator
) -> nn.Module:
    image = _image(layout)
    planes = outputs // (image[1] * image[2])
    return Stacked(
        config.members,
        lambda: ConvDecoder(image, inputs, config.channels, config.blocks, planes),
        generator,
    )


def _image(layout: Layout) -> tuple[int, int, int]:
    if layout.image is None:
        raise ValueError("network 'conv' reads pictures: there is no image column")
    return layout.image


# encoder and decoder by the name of the network
ENCODERS = {"mlp": _mlp_encoder, "conv": _conv_encoder}
DECODERS = {"mlp": _mlp_decoder, "conv": _conv_decoder}
# Hidden values of a layer, of all members, while scoring: fewer cost more calls, in which threads
# wait for each other, more leave the cache.
HIDDEN_VALUES = 1 << 20
CELLS = 1 << 22  # of wide rows; the last chunk is filled up, so that few rows cost a whole one


def chunks(config: ModelConfig, width: int) -> dict[str, int]:
    """Rows (of `width` cells) scored at a time, by type of device: one number for a model."""
    if config.network == "conv":  # a picture's feature maps are larger than a row
        return {"cpu": 64, "cuda": 1024}
    hidden = config.members * max(config.hidden, default=1)
    fit = max(1, min(HIDDEN_VALUES // hidden, CELLS // width))
    return {"cpu": max(512, min(8192, 1 << fit.bit_length() - 1)), "cuda": 8192}


def check_network(name: str) -> None:
    """Raises ValueError where no network has this name."""
    if name not in ENCODERS:
        raise ValueError(f"unknown network {name!r}; known: {', '.join(ENCODERS)}")


__all__ = ["DECODERS", "ENCODERS", "MLP", "BatchedLinear", "Stacked", "check_network", "chunks"]
