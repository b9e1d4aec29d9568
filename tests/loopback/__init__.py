"""A loopback Android device: the device's side of the ADB protocol. Not a phone."""

from tests.loopback.connection import MODERN, OLD, Wire
from tests.loopback.device import LoopbackDevice
from tests.loopback.faults import HOSTILE, Faults
from tests.loopback.phone import Cluster, Phone, hostile, pixel_like, this_host

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
