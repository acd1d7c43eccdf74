"""The networks, by name. A new one is a file beside this and a row here."""

from edgeseg.models.deeplabv3plus import DeepLabV3Plus
from edgeseg.models.enet import ENet
from edgeseg.models.layers import SegmentationNetwork

MODELS: dict[str, type[SegmentationNetwork]] = {
    "enet": ENet,
    "deeplabv3plus-mobilenetv2": DeepLabV3Plus,
}

__all__ = ["MODELS", "DeepLabV3Plus", "ENet", "SegmentationNetwork"]
