"""A clock that stands still until it is told to go, and phones as a host sees them."""

from device_agents.farm.model import Sighting


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def sighting(name: str = "a", **facts: object) -> Sighting:
    given = {
        "host": "shelf",
        "address": f"{name}-usb",
        "connection": "usb",
        "marks": frozenset({name}),
        "model": "pixel",
    }
    return Sighting(**{**given, **facts})  # type: ignore[arg-type]
