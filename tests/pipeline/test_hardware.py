import getpass
import platform

from bvkeras.pipeline.hardware import hardware


def test_it_says_what_is_there_and_not_whose():
    found = hardware()
    assert int(found["logical cores"]) >= 1
    assert found["memory"].endswith(" GiB")
    assert found["processor"]
    text = " ".join(found.values())
    assert platform.node() not in text
    assert getpass.getuser() not in text.split()
