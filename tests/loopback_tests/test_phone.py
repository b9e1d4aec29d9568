"""What the device's tools say and change."""

import platform

import pytest

from tests.loopback import Cluster, LoopbackDevice, Phone, pixel_like
from tests.loopback.tools import ranges
from tests.loopback_tests.conftest import MakeDevice
from tests.loopback_tests.host_side import Host

FIXED = "cmd power set-fixed-performance-mode-enabled"


def text(host: Host, command: str) -> str:
    return host.v2(command)[1].decode()


def test_properties_are_told_one_by_one_and_all_together(host: Host) -> None:
    assert text(host, "getprop ro.product.manufacturer") == "fbnet-kit\n"
    assert text(host, "getprop ro.no.such") == "\n"
    assert text(host, "getprop ro.no.such other") == "other\n"
    assert "[ro.product.model]: [Loopback]\n" in text(host, "getprop")
    wanted = {"x86_64": "x86_64", "aarch64": "arm64-v8a"}.get(platform.machine())
    assert wanted in (None, text(host, "getprop ro.product.cpu.abi").strip())


def test_clusters_are_read_as_on_a_phone(make_device: MakeDevice, ground: str) -> None:
    device = make_device(phone=pixel_like(), ground=ground)
    top = "/sys/devices/system/cpu"
    with Host(device.port).connect() as host:
        assert text(host, f"cat {top}/online") == "0-7\n"
        assert text(host, f"cat {top}/cpu5/cpufreq/related_cpus") == "4 5\n"
        assert text(host, f"cat {top}/cpu*/cpu_capacity").split() == [
            *["124"] * 4,
            *["427"] * 2,
            *["1024"] * 2,
        ]
        assert text(host, f"cat {top}/cpu7/cpufreq/cpuinfo_max_freq") == "2850000\n"
        parts = text(host, "grep 'CPU part' /proc/cpuinfo").splitlines()
        assert [line.split()[-1] for line in parts[3:5]] == ["0xd05", "0xd41"]
        assert text(host, "nproc") == "8\n"
        assert text(host, "cat /sys/class/thermal/thermal_zone1/temp") == "38000\n"


def test_hidden_files_are_missing(make_device: MakeDevice) -> None:
    cluster = Cluster(cpus=(0,), capacity=None, governor=None)
    device = make_device(phone=Phone(clusters=(cluster,)))
    with Host(device.port).connect() as host:
        assert host.v2("cat /sys/devices/system/cpu/cpu0/cpu_capacity")[0] == 1
        assert host.v2("ls /sys/devices/system/cpu/cpu0/cpufreq")[0] != 0


def test_fixed_performance_mode_is_kept_and_its_history_too(
    host: Host, device: LoopbackDevice
) -> None:
    assert not device.settings.fixed_performance
    assert host.v2(f"{FIXED} true") == (0, b"", b"")
    assert device.settings.fixed_performance
    assert host.v2(f"{FIXED} perhaps")[0] == 255
    host.v2(f"{FIXED} false; svc power stayon usb")
    assert not device.settings.fixed_performance
    assert device.settings.stay_on == 2
    words = ["true", "false"]
    assert device.settings.history() == [
        *(f"cmd power set-fixed-performance-mode-enabled {word}" for word in words),
        "svc power stayon usb",
    ]


@pytest.mark.parametrize(
    ("phone", "words"),
    [
        (Phone(fixed_performance=False), b"Failed to set FIXED_PERFORMANCE mode"),
        (Phone(sdk=29), b"Unknown command"),
    ],
)
def test_fixed_performance_mode_may_be_missing(
    make_device: MakeDevice, phone: Phone, words: bytes
) -> None:
    device = make_device(phone=phone)
    with Host(device.port).connect() as host:
        code, out, _ = host.v2(f"{FIXED} true")
    assert code == 255
    assert words in out
    assert not device.settings.fixed_performance


def test_stay_on_and_low_power_are_read_where_android_has_them(host: Host) -> None:
    assert text(host, "settings get global low_power") == "0\n"
    assert text(host, "settings get global no_such") == "null\n"
    host.v2("svc power stayon true; settings put global low_power 1")
    assert text(host, "settings get global stay_on_while_plugged_in") == "7\n"
    assert "mStayOnWhilePluggedInSetting=7" in text(host, "dumpsys power")
    assert text(host, "settings get global low_power") == "1\n"


def test_reports_say_what_the_phone_is_like(make_device: MakeDevice) -> None:
    phone = Phone(
        thermal_status=3,
        temperatures_c=(("skin", 44.5),),
        battery_percent=12,
        battery_c=41.5,
        usb_powered=False,
        wakefulness="Asleep",
        deep_idle="IDLE",
    )
    device = make_device(phone=phone)
    with Host(device.port).connect() as host:
        heat = text(host, "dumpsys thermalservice")
        assert "Thermal Status: 3\n" in heat
        assert "Temperature{mValue=44.5, mType=3, mName=skin, mStatus=3}" in heat
        battery = text(host, "dumpsys battery")
        assert "  level: 12\n" in battery
        assert "  temperature: 415\n" in battery
        assert "  USB powered: false\n" in battery
        assert "mWakefulness=Asleep\n" in text(host, "dumpsys power")
        assert text(host, "dumpsys deviceidle get deep") == "IDLE\n"
        assert text(host, "cmd deviceidle get deep") == "IDLE\n"
        assert text(host, "dumpsys nonsense") == "Can't find service: nonsense\n"


def test_old_androids_have_no_thermal_service(make_device: MakeDevice) -> None:
    device = make_device(phone=Phone(sdk=28))
    with Host(device.port).connect() as host:
        assert "Can't find service" in text(host, "dumpsys thermalservice")


def test_taskset_takes_a_hexadecimal_mask_and_no_list(host: Host, device: LoopbackDevice) -> None:
    cpu = device.phone.cpus[-1]
    read = "grep Cpus_allowed_list /proc/self/status"
    for mask in (f"{1 << cpu:x}", f"{1 << cpu:X}", f"0x{1 << cpu:x}"):
        assert text(host, f"taskset {mask} {read}").split()[-1] == str(cpu)
    for wrong in ("-c 0", "g", "0", f"{2 << cpu:x}"):
        code, _, errors = host.v2(f"taskset {wrong} true")
        assert code != 0
        assert b"taskset: " in errors
    assert host.v2(f"taskset -p {1 << cpu:x} $$ >/dev/null; {read}")[1].split()[-1] == b"%d" % cpu


def test_other_tools_answer_as_on_a_phone(host: Host) -> None:
    assert text(host, "whoami") == "shell\n"
    assert text(host, "id").startswith("uid=2000(shell)")
    assert host.v2("am force-stop org.example")[0] == 0
    assert host.v2("cmd nonsense")[0] == 20
    assert text(host, "echo hi >/sdcard/x; sha256sum /sdcard/x").split() == [
        "98ea6e4f216f2fb4b69fff9b3a44842c38686ca685f3f55dc48c5d3fb1107be4",
        "/sdcard/x",
    ]


@pytest.mark.parametrize(
    ("numbers", "wanted"), [((), ""), ((3,), "3"), ((0, 1, 2, 5), "0-2,5"), ((1, 3), "1,3")]
)
def test_cpu_lists_are_written_as_the_kernel_writes_them(
    numbers: tuple[int, ...], wanted: str
) -> None:
    assert ranges(numbers) == wanted
