"""A loopback Android device: the device's side of the ADB protocol. Not a phone."""

from .connection import MODERN, OLD, Wire
from .device import LoopbackDevice
from .faults import HOSTILE, Faults
from .phone import Cluster, Phone, hostile, pixel_like, this_host

__all__ = [
    "HOSTILE",
    "MODERN",
    "OLD",
    "Cluster",
    "Faults",
    "LoopbackDevice",
    "Phone",
    "Wire",
    "hostile",
    "pixel_like",
    "this_host",
]
