"""Phones whose programs are arm64 ones: qemu runs them wherever the device's shell starts one.

The kernel of this machine refuses such a program, and whoever wanted to start it (`env`,
`timeout`, `nohup` ...) then takes it for a script, as POSIX asks, and gives it to /bin/sh. On
such a phone that is a script of its own, which gives programs to qemu and all else to the
shell. So nothing has to be registered with the kernel, and no rights are needed. Debian's
shell itself does not do so: there programs are started by `env PROGRAM`.
"""

import os
import shlex
import shutil
from pathlib import Path

PROGRAMS = ("qemu-aarch64-static", "qemu-aarch64")
MACHINE = "aarch64"
# What each of qemu's processors has, as the kernel spells it in /proc/cpuinfo.
_OLD = "fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid"
_A76 = f"{_OLD} atomics fphp asimdhp asimdrdm lrcpc dcpop asimddp"
FEATURES = {"cortex-a53": _OLD, "cortex-a76": _A76, "max,sme=off": f"{_A76} i8mm bf16 sve sve2"}

_SHELL = """#!/loopback/host/shell
# /bin/sh of this phone: arm64 programs run under qemu.
case $1 in
  "" | -*) ;;
  *)
    if [ -f "$1" ] && IFS= read -r head < "$1" 2>/dev/null; then
      case $head in ?ELF*) exec {qemu} -cpu {cpu} "$@" ;; esac
    fi ;;
esac
exec /loopback/host/shell "$@"
"""
_UNAME = """#!/bin/sh
# uname [-a | -m | -r | -s]
case $1 in
  -a) echo "Linux localhost 5.10.149-android13-4 #1 SMP PREEMPT {machine} Toybox" ;;
  -m) echo {machine} ;;
  -r) echo 5.10.149-android13-4 ;;
  *) echo Linux ;;
esac
"""


def find_emulator() -> str | None:
    """qemu's program for arm64, if it is installed."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


def write_emulation(cpu: str, machine: str, facts: Path, programs: Path) -> None:
    """Make the phone's programs arm64 ones.

    Args:
        cpu: The processor, by qemu's name.
        machine: What `uname -m` answers.
        facts: The device's folder `loopback`.
        programs: Its folder of programs.

    Raises:
        FileNotFoundError: qemu is not installed.
    """
    emulator = find_emulator()
    if emulator is None:
        raise FileNotFoundError(f"none of {', '.join(PROGRAMS)} is installed")
    host = facts / "host"
    host.mkdir(parents=True)
    shutil.copy(os.path.realpath("/bin/sh"), host / "shell")
    _write_script(host / "sh", _SHELL.format(qemu=shlex.quote(emulator), cpu=shlex.quote(cpu)))
    (programs / "uname").unlink(missing_ok=True)
    _write_script(programs / "uname", _UNAME.format(machine=machine))


def _write_script(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
