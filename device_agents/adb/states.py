"""Device states by their adb names, and the advice for each."""

from search.errors import DeviceError

USABLE = "device"
NO_PERMISSIONS = "no permissions"
UNAUTHORIZED = "unauthorized"
OFFLINE = "offline"
BUSY = "busy"
AMBIGUOUS = "ambiguous"
BROKEN = "broken"

# Advice for each state other than `device`; all but the last three are adb's own names.
ADVICE = {
    UNAUTHORIZED: "unlock it and accept the question about USB debugging",
    "authorizing": "unlock it and accept the question about USB debugging",
    "connecting": "wait a moment, then try again",
    OFFLINE: "unplug it and plug it in again, or restart it; adb reconnect offline may help",
    NO_PERMISSIONS: "this user may not open the USB device: install the udev rules for Android "
    "(Debian: apt install android-sdk-platform-tools-common), add yourself to the group plugdev, "
    "then plug it in again",
    "recovery": "it is in recovery: restart it into Android",
    "sideload": "it waits for an update: restart it into Android",
    "bootloader": "it is in its boot loader: restart it into Android",
    "rescue": "it is in rescue mode: restart it into Android",
    "host": "this is another computer, not a device",
    BUSY: "another program holds its USB interface, most likely an adb server: name that server "
    "with --adb-server HOST:PORT, or close the program (Android Studio, scrcpy, another run)",
    AMBIGUOUS: "another device has the same serial number: update adb, which then tells them apart "
    "by their USB ports, or attach one at a time",
    BROKEN: "see the reason",
}


class Unusable(DeviceError):
    """The device is attached, but in a state in which it cannot be used.

    Args:
        state: A key of `ADVICE`, whose text becomes the remedy.
    """

    def __init__(self, message: str, state: str) -> None:
        advice = ADVICE[state]
        super().__init__(message, f"{advice[0].upper()}{advice[1:]}.")
        self.state = state
