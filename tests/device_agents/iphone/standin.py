"""Stand-ins for xcrun and pymobiledevice3: they record their exact arguments and play a phone.

One script serves both. It reads `script.json` beside it: `documents` is the
folder that plays the app's Documents, `fail` maps a substring of the arguments
to what is said before exit code 1. Copying behaves as the programs do (that of
pymobiledevice3 is compared with the program's own code in
`test_real_program.py`). Launching runs the plan with programs of constant time,
or starts the command `agent` with the folder and the job.
"""

import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

UDID = "00008030-000A1B2C3D4E802E"

_PROGRAM = r"""
import json, shutil, subprocess, sys
from pathlib import Path
here = Path(__file__).parent
script = json.loads((here / "script.json").read_text())
words = [Path(sys.argv[0]).name, *sys.argv[1:]]
with (here / "calls.jsonl").open("a") as log:
    log.write(json.dumps(words) + "\n")
said = " ".join(words)
for part, text in script["fail"].items():
    if part in said:
        sys.stderr.write(text)
        sys.exit(1)
documents = Path(script["documents"])

def option(name):
    return words[words.index(name) + 1]

def stop(text):
    sys.stderr.write(text)
    sys.exit(1)

def copy(source, target, missing):
    if not source.exists():
        stop(missing)
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        shutil.copyfile(source, target)

def afc(path):
    if not path.startswith("Documents"):
        stop("ERROR Opcode: MAKE_DIR failed with status: 10 (AFC status PERM_DENIED).")
    return documents.parent / path

def afc_push(source, remote):
    target = afc(remote)
    if source.is_dir():
        shutil.copytree(source, target / source.name, dirs_exist_ok=True)
    elif target.is_dir():
        shutil.copyfile(source, target / source.name)
    elif target.parent.is_dir():
        shutil.copyfile(source, target)
    else:
        stop("ERROR No such file on the device: " + remote + " (AFC status READ_ERROR).")

def afc_pull(remote, target):
    source = afc(remote)
    if not source.exists():
        stop("ERROR No such file on the device: " + remote + " (AFC status READ_ERROR).")
    shutil.copyfile(source, target / source.name if target.is_dir() else target)

def launch(nonce):
    if script.get("agent"):
        part = documents / "jobs" / nonce / "records" / "open.part"
        if script.get("cut_lines") and part.exists():
            with part.open("a") as log:
                log.write('{"type":"sam')
        log = (here / "agent.log").open("a")
        subprocess.Popen([*script["agent"], "--job", nonce], stdout=log, stderr=log)
        return
    plan = json.loads((documents / "jobs" / nonce / "plan.json").read_text())
    lines = []
    emit = lambda **record: lines.append(json.dumps(record))
    emit(type="hello", schema_version=1, nonce=nonce, runner="coreml-agent",
         runtime="coreml", runtime_version="16.7", backend=plan["backend"], threads=1,
         device_model="iPhone12,1")
    for item in plan["items"]:
        emit(type="begin", item=item["id"], sha256=item["sha256"])
        assert (documents / item["file"]).exists(), item
        emit(type="loaded", item=item["id"], load_ns=5, loops=item["loops"] or 1,
             sha256=item["sha256"])
    samples = 0
    for number in range(plan["rounds"]):
        for item in plan["items"]:
            emit(type="sample", item=item["id"], round=number, loops=1, ns=1000 + number,
                 at_ns=samples, thermal_state="nominal")
            samples += 1
    emit(type="bye", samples=samples, sentinels=0, failures=0)
    records = documents / "jobs" / nonce / "records"
    records.mkdir(exist_ok=True)
    kept = lines[: int(len(lines) * script.get("cut", 1.0))]
    for number, start in enumerate(range(0, len(kept), 4), 1):
        text = "\n".join(kept[start : start + 4]) + "\n"
        (records / f"{number:06d}.jsonl").write_text(text)

answer = {}
if words[0] == "xcrun":
    if words[2:4] == ["list", "devices"]:
        answer = {"result": {"devices": script["devices"]}}
    elif words[3:5] == ["copy", "to"]:
        copy(Path(option("--source")), documents.parent / option("--destination"), "no source")
    elif words[3:5] == ["copy", "from"]:
        copy(documents.parent / option("--source"), Path(option("--destination")),
             "ERROR: The file could not be copied. (No such file or directory)")
    elif words[3:5] == ["process", "launch"]:
        assert words[-4] == "--", words
        launch(words[-1])
    elif words[3:5] == ["info", "apps"]:
        answer = {"result": {"apps": [{"bundleIdentifier": "x"}] if script["app"] else []}}
    elif words[2:] == ["--version"]:
        print("397.21")
        sys.exit(0)
    else:
        sys.exit(64)
    if not script.get("mute"):
        Path(option("--json-output")).write_text(json.dumps(answer))
else:
    if "usbmux" in words:
        print("not json" if script.get("mute") else json.dumps(script["listed"]))
    elif words[1:] == ["version"]:
        print(script["version"])
    elif words[2:4] == ["amfi", "developer-mode-status"]:
        print(json.dumps(script["mode"]))
    elif words[2:4] == ["mounter", "list"]:
        print(json.dumps([{"ImageSignature": "00"}] if script["image"] else []))
    elif words[2:4] == ["apps", "query"]:
        print(json.dumps({words[-1]: {}} if script["app"] else {}))
    elif words[1:3] == ["apps", "push"]:
        afc_push(Path(words[-2]), words[-1])
    elif words[1:3] == ["apps", "pull"]:
        afc_pull(words[-2], Path(words[-1]))
    elif words[1:4] == ["developer", "dvt", "launch"]:
        launch(words[-1].split()[-1])
    else:
        sys.exit(64)
"""


class Standin:
    """The two programs on the PATH, and what they were called with."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.documents = folder / "phone" / "Documents"
        self.documents.mkdir(parents=True)
        for name in ("xcrun", "pymobiledevice3"):
            path = folder / name
            path.write_text(f"#!{sys.executable} -IS\n{_PROGRAM}")
            path.chmod(path.stat().st_mode | stat.S_IEXEC)
        patch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        self.script: dict[str, Any] = {
            "documents": str(self.documents),
            "fail": {},
            "version": "11.45.0",
            "mode": True,
            "image": True,
            "app": True,
            "devices": [coredevice()],
            "listed": [listed()],
        }
        self.write()

    def write(self, **changes: Any) -> None:
        self.script |= changes
        (self.folder / "script.json").write_text(json.dumps(self.script))

    def calls(self) -> list[list[str]]:
        path = self.folder / "calls.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()]


def coredevice(**changes: Any) -> dict[str, Any]:
    """A device as devicectl lists it."""
    return {
        "identifier": "A-B-C",
        "hardwareProperties": {
            "udid": UDID,
            "deviceType": changes.get("kind", "iPhone"),
            "productType": changes.get("model", "iPhone12,1"),
        },
        "deviceProperties": {
            "osVersionNumber": "18.1",
            "osBuildUpdate": "22B83",
            "developerModeStatus": changes.get("mode", "enabled"),
        },
        "connectionProperties": {
            "pairingState": changes.get("pairing", "paired"),
            "transportType": changes.get("transport", "wired"),
            "tunnelState": changes.get("tunnel", "disconnected"),
        },
    }


def listed(**changes: Any) -> dict[str, Any]:
    """A device as pymobiledevice3 lists it."""
    return {
        "BuildVersion": "20H350",
        "ConnectionType": "USB",
        "DeviceName": "a phone",
        "Identifier": UDID,
        "ProductType": "iPhone10,3",
        "ProductVersion": "16.7.10",
        "UniqueDeviceID": UDID,
        **changes,
    }
