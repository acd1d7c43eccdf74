"""Sensors are files: trees of them stand for machines."""

import os
import time

import pytest

from edgeseg.report.energy import Meter, find_meter
from tests.report.test_device import tree

HWMON = "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon3"
JETSON = {
    f"{HWMON}/in1_label": "VDD_IN\n",
    f"{HWMON}/in1_input": "5000\n",  # mV
    f"{HWMON}/curr1_input": "1000\n",  # mA
    f"{HWMON}/in2_label": "VDD_CPU_GPU_CV\n",
    f"{HWMON}/in2_input": "5000\n",
    f"{HWMON}/curr2_input": "300\n",
}
NANO = "sys/bus/i2c/drivers/ina3221x/6-0040/iio:device0"
OLD_JETSON = {f"{NANO}/rail_name_0": "POM_5V_IN\n", f"{NANO}/in_power0_input": "2500\n"}  # mW
RAPL = "sys/class/powercap/intel-rapl:0"
LAPTOP = {
    f"{RAPL}/energy_uj": "1000000\n",
    f"{RAPL}/max_energy_range_uj": "262143328850\n",
    f"{RAPL}:0/energy_uj": "77\n",  # a part of the package
}


def test_a_jetson_tells_volts_and_amperes(tmp_path):
    meter = find_meter(tree(tmp_path, JETSON))
    assert meter.source == "INA3221 VDD_IN"
    assert meter.read() == 5_000_000  # 5 W
    start = time.monotonic()
    joules = meter.joules(lambda: time.sleep(0.05))
    assert 0.05 * 5 <= joules <= (time.monotonic() - start) * 5


def test_an_older_jetson_tells_watts(tmp_path):
    meter = find_meter(tree(tmp_path, OLD_JETSON))
    assert (meter.source, meter.read()) == ("INA3221 POM_5V_IN", 2_500_000)


def test_a_laptop_counts_joules(tmp_path):
    meter = find_meter(tree(tmp_path, LAPTOP))
    counter = tmp_path / RAPL / "energy_uj"
    assert meter.source == "RAPL package"
    assert meter.joules(lambda: counter.write_text("3500000")) == 2.5


def test_a_count_that_begins_again():
    counts = iter([900_000, 100_000])
    assert Meter("x", lambda: next(counts), False, wraps_at=1_000_000).joules(lambda: None) == 0.2


def test_no_sensor_is_a_reason(tmp_path):
    assert "no sensor" in find_meter(tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="permissions")
def test_a_counter_for_root_only_is_a_reason(tmp_path):
    root = tree(tmp_path, LAPTOP)
    (root / RAPL / "energy_uj").unlink()
    (root / RAPL / "energy_uj").mkdir()  # cannot be read, not even by root
    assert "chmod" in find_meter(root)
