"""README.txt of a prepared folder: commands that reach the phone that it is for."""

from device_agents.device import Device
from device_agents.iphone.transport import BUNDLE

_HEAD = """\
Run this job on {title} with the agent app on it (how to build, sign and install it:
device_agents/runners/coreml/README.md). The commands begin in this folder.
"""

# devicectl reaches phones from iOS 17 on.
_DEVICECTL = """\
From a Mac with Xcode 15 or later. UDID is the phone's: xcrun devicectl list devices

  xcrun devicectl device copy to --device UDID --domain-type appDataContainer \\
    --domain-identifier {bundle} --source models --destination Documents/models
  xcrun devicectl device copy to --device UDID --domain-type appDataContainer \\
    --domain-identifier {bundle} --source plan.json --destination Documents/{job}/plan.json
  xcrun devicectl device process launch --device UDID --terminate-existing -- \\
    {bundle} --job {nonce}

Started again, or from its icon, the app goes on. When it says "done":

  xcrun devicectl device copy from --device UDID --domain-type appDataContainer \\
    --domain-identifier {bundle} --source Documents/{job}/records.jsonl \\
    --destination records.jsonl
"""

_PYMOBILEDEVICE = """\
From any computer with the program pymobiledevice3 ({version} or later: pipx install
pymobiledevice3). UDID is the phone's: pymobiledevice3 usbmux list --usb

  mkdir -p jobs/{nonce} && cp plan.json jobs/{nonce}/
  pymobiledevice3 apps push --udid UDID --documents {bundle} models Documents
  pymobiledevice3 apps push --udid UDID --documents {bundle} jobs Documents

Then open the app by its icon: it goes on with the job that lies there, also after it was ended.
(Or, with the developer image mounted by "pymobiledevice3 mounter auto-mount":
  pymobiledevice3 developer dvt launch --udid UDID --kill-existing "{bundle} --job {nonce}")
When it says "done":

  pymobiledevice3 apps pull --udid UDID --documents {bundle} \\
    Documents/{job}/records.jsonl records.jsonl

Without any program: on a Mac, drag the folders models and jobs to the app in Finder's list of
the phone's files, open the app, and drag jobs/{nonce}/records.jsonl back.
"""

_TAIL = """\

Then, where the kit is, with the options that prepared this folder:

  python -m profiler --device {device} --records THIS_FOLDER
"""

OLDEST_PYMOBILEDEVICE = "11.0"


def instructions(device: Device, nonce: str) -> str:
    """The text for a device's prepared folder, whose plan has this nonce."""
    own = _PYMOBILEDEVICE if device.options.get("transport") == "pymobiledevice3" else _DEVICECTL
    both = _DEVICECTL + "\nOr without a Mac. " + _PYMOBILEDEVICE if own is _DEVICECTL else own
    return (_HEAD + "\n" + both + _TAIL).format(
        title=device.title,
        bundle=str(device.options.get("bundle", BUNDLE)),
        device=device.name,
        nonce=nonce,
        job=f"jobs/{nonce}",
        version=OLDEST_PYMOBILEDEVICE,
    )
