from pathlib import Path

import pytest

from edgeseg.report.device import describe_device, name_device, temperature_c, throttling, was_throttled

RASPBERRY = {
    "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
    "proc/cpuinfo": "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd0b\n\nprocessor\t: 1\nCPU part\t: 0xd0c\n",
    "proc/meminfo": "MemTotal:        8245252 kB\nMemFree:         7000000 kB\n",
    "etc/os-release": 'NAME="Debian GNU/Linux"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand\n",
    "sys/class/thermal/thermal_zone0/temp": "51250\n",
    "sys/class/thermal/thermal_zone1/temp": "48000\n",
}
LAPTOP = {"proc/cpuinfo": "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: Intel(R) Core(TM) i5\n"}


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_raspberry_pi(tmp_path):
    device = describe_device(tree(tmp_path, RASPBERRY))
    assert device["board"] == "Raspberry Pi 5 Model B Rev 1.0"
    assert device["cpu"] == "Arm implementer 0x41 part 0xd0b"
    assert device["memory_bytes"] == 8245252 * 1024
    assert device["governor"] == "ondemand"
    assert device["temperature_c"] == 51.25
    assert device["os"].startswith("Debian GNU/Linux 12 (bookworm), ")
    assert name_device(device).startswith("Raspberry Pi 5 Model B Rev 1.0, ")
    assert "7.9 GiB" in name_device(device)


def test_laptop_without_sensors(tmp_path):
    device = describe_device(tree(tmp_path, LAPTOP))
    assert device["cpu"] == "Intel(R) Core(TM) i5"
    assert [device[key] for key in ("board", "memory_bytes", "governor", "temperature_c")] == [None] * 4
    assert name_device(device).startswith("Intel(R) Core(TM) i5, ")


def test_nothing_can_be_read(tmp_path):
    device = describe_device(tmp_path)
    assert name_device(device)
    assert temperature_c(tmp_path) is None


@pytest.mark.parametrize("key", ["python", "versions", "cores", "architecture"])
def test_this_machine_has(key):
    assert describe_device()[key]


def test_versions_name_what_takes_part():
    versions = describe_device()["versions"]
    assert {"edgeseg", "numpy"} <= versions.keys()


PI = "sys/devices/platform/soc/soc:firmware/get_throttled"
COUNT = "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count"
COOLING = "sys/class/thermal/cooling_device0"
THROTTLED = [
    ("a machine that does not tell", {}, {}, None),
    ("a Pi at ease", {PI: "0"}, {PI: "0"}, False),
    ("a Pi that was once too hot", {PI: "20000"}, {PI: "20000"}, False),
    ("a Pi that is capped", {PI: "0"}, {PI: "20002"}, True),
    ("a PC at ease", {COUNT: "5"}, {COUNT: "5"}, False),
    ("a PC that was slowed", {COUNT: "5"}, {COUNT: "6"}, True),
    (
        "a Jetson that was taken down",
        {f"{COOLING}/type": "cpufreq-cpu0", f"{COOLING}/cur_state": "0"},
        {f"{COOLING}/type": "cpufreq-cpu0", f"{COOLING}/cur_state": "3"},
        True,
    ),
    (
        "a fan is no processor",
        {f"{COOLING}/type": "pwm-fan"},
        {f"{COOLING}/type": "pwm-fan", f"{COOLING}/cur_state": "4"},
        None,
    ),
]


@pytest.mark.parametrize(("before", "after", "expected"), [c[1:] for c in THROTTLED], ids=[c[0] for c in THROTTLED])
def test_throttling(tmp_path, before, after, expected):
    readings = [throttling(tree(tmp_path / name, files)) for name, files in (("before", before), ("after", after))]
    assert was_throttled(*readings) is expected


def test_the_frequency(tmp_path):
    folder = "sys/devices/system/cpu/cpu0/cpufreq"
    device = describe_device(tree(tmp_path, {f"{folder}/scaling_cur_freq": "600000", f"{folder}/cpuinfo_max_freq": "1800000"}))
    assert (device["frequency_mhz"], device["frequency_max_mhz"]) == (600, 1800)
