"""A phone's fence, kept on the phone beside the kit's folder.

A folder that holds an empty file for each token; the largest counts. Two hosts that reach one
phone only ever add files, so neither can leave a smaller token than the other wrote.
"""

import shlex

from device_agents.adb.device import AdbDevice
from device_agents.android.file_store import PLANS, ROOT
from device_agents.farm.fence import largest_token
from search.errors import DeviceError

# Not inside the kit's folder: `devices clean` must not open a phone to an earlier holder.
FENCE = f"{ROOT}-fence"
_TRIES = 100
# Ends whatever was started with a plan of this phone, and returns once nothing of it is left. A
# plan's name is drawn at random: a process that names it belongs to this phone and to the kit.
_STOP = f"""
plans=$(ls {shlex.quote(PLANS)} 2>/dev/null) || exit 0
n=0
while [ $n -lt {_TRIES} ]; do
  left=
  for entry in /proc/[0-9]*; do
    [ "$entry" = "/proc/$$" ] && continue
    words=$(tr '\\0' ' ' 2>/dev/null < "$entry/cmdline") || continue
    for plan in $plans; do
      case "$words" in *"/$plan"*) kill -9 "${{entry#/proc/}}" 2>/dev/null; left=1 ;; esac
    done
  done
  [ -z "$left" ] && exit 0
  n=$((n + 1))
done
exit 1
"""

# Whether any such process is there.
_RUNS = f"""
plans=$(ls {shlex.quote(PLANS)} 2>/dev/null) || exit 1
for entry in /proc/[0-9]*; do
  [ "$entry" = "/proc/$$" ] && continue
  words=$(tr '\\0' ' ' 2>/dev/null < "$entry/cmdline") || continue
  for plan in $plans; do
    case "$words" in *"/$plan"*) exit 0 ;; esac
  done
done
exit 1
"""


class PhoneFence:
    """The phone's side of a lease (`device_agents.farm.fence.PhoneSide`), over adb."""

    def __init__(self, device: AdbDevice) -> None:
        self._device = device

    def fence(self) -> int:
        """The largest token that this phone has seen; 0 if none."""
        return largest_token(self._device.run(["ls", FENCE]).text.split())

    def raise_fence(self, token: int) -> int:
        """Keep the larger of both on the phone's disk, and return it.

        Raises:
            DeviceError: The phone cannot write it.
        """
        self._device.check(["mkdir", "-p", FENCE], f"The device cannot make {FENCE}")
        self._device.check(
            ["touch", f"{FENCE}/{token:d}"], f"The device cannot keep a lease in {FENCE}"
        )
        kept = self.fence()
        if kept < token:
            raise DeviceError(
                f"The device did not keep the token {token} in {FENCE}.", "See whether it is full."
            )
        self._device.run(["sync"])
        self._tidy(kept)
        return kept

    def stop_runs(self) -> None:
        """End every runner of the kit on this phone.

        Raises:
            DeviceError: One of them cannot be ended.
        """
        self._device.check(["sh", "-c", _STOP], "An earlier run on the device does not end")

    def is_measuring(self) -> bool:
        """Whether a runner of the kit runs on this phone."""
        return self._device.run(["sh", "-c", _RUNS]).code == 0

    def _tidy(self, kept: int) -> None:
        """Remove tokens below the largest: they tell nothing."""
        old = [
            name
            for name in self._device.run(["ls", FENCE]).text.split()
            if 0 < largest_token([name]) < kept
        ]
        if old:
            self._device.run(["rm", "-f", *(f"{FENCE}/{name}" for name in old)])
