"""Command-line side of prepared folders: write one, or read its records."""

from pathlib import Path

from device_agents.base import DeviceAgent
from device_agents.device import Device
from device_agents.iphone.replay import ReplayAgent
from profiler.campaign.prepared_folder import prepare
from profiler.settings import CampaignSettings
from search.console.output import to_csv, to_json
from search.console.progress import make_progress
from search.errors import UsageError


def prepare_only(
    settings: CampaignSettings,
    device: Device,
    folder: Path,
    jobs: int | None,
    quiet: bool,
    form: str,
) -> None:
    """Write the folder and print what it holds."""
    with make_progress(quiet) as progress:
        job = prepare(settings, device, folder, jobs, progress)
    facts = {
        "folder": str(folder),
        "items": len(job.items) - 1,
        "failed": len(job.failed),
        "megabytes": round(job.bytes / 1e6, 1),
    }
    if form == "json":
        print(to_json(facts))
    elif form == "csv":
        print(to_csv([facts]), end="")
    else:
        print(
            f"prepared {facts['items']} programs ({facts['megabytes']} MB, {facts['failed']} "
            f"failed) in {folder}; nothing was measured. README.txt there says how to run it."
        )


def recorded_agent(device: Device, folder: Path) -> DeviceAgent:
    """The agent of a folder's records.

    Raises:
        UsageError: The device is no iPhone, or the folder holds no records.
    """
    if device.platform != "ios":
        raise UsageError(f"--records is for iPhones; {device.name} is measured directly.")
    return ReplayAgent(device, folder)
