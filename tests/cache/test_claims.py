import os
import time

import pytest

from bvkeras import fileio
from bvkeras.cache.claims import Claims

# A process that cannot be: Linux has no number as high.
_NOBODY = 2**30


def write_claim(directory, host, process=_NOBODY):
    path = directory / "00000.claim"
    fileio.write_json(
        path, {"owner": "another", "host": host, "process": process}
    )
    return path


def test_one_of_two_gets_it(tmp_path):
    with Claims(tmp_path) as first, Claims(tmp_path) as second:
        assert first.take("00000")
        assert not second.take("00000")
        assert second.take("00001")
        assert (first.holds("00000"), second.holds("00000")) == (True, False)
        second.drop("00000")
        assert first.holds("00000")
        first.drop("00000")
        assert second.take("00000")
    assert not list(tmp_path.iterdir())


def test_claim_of_another_machine_runs_out_untouched(tmp_path):
    path = write_claim(tmp_path, "elsewhere")
    with Claims(tmp_path, seconds=0.2) as claims:
        assert not claims.take("00000")
        time.sleep(0.15)
        os.utime(path)
        assert not claims.take("00000")
        time.sleep(0.15)
        assert not claims.take("00000")
        time.sleep(0.1)
        assert claims.take("00000")
        assert claims.holds("00000")


def test_clocks_that_disagree_do_not_matter(tmp_path):
    for seconds in (-1e6, 1e6):
        path = write_claim(tmp_path, "elsewhere")
        os.utime(path, (time.time() + seconds,) * 2)
        with Claims(tmp_path, seconds=5) as claims:
            assert not claims.take("00000")


def test_claim_of_a_dead_process_of_this_machine_is_free(tmp_path):
    write_claim(tmp_path, fileio.HOST)
    with Claims(tmp_path) as claims:
        assert claims.take("00000")


def test_half_written_claim_runs_out(tmp_path):
    (tmp_path / "00000.claim").touch()
    with Claims(tmp_path, seconds=0.1) as claims:
        assert not claims.take("00000")
        time.sleep(0.15)
        assert claims.take("00000")


def test_claim_stays_while_its_process_works(tmp_path):
    with Claims(tmp_path, seconds=0.3) as first:
        assert first.take("00000")
        with Claims(tmp_path, seconds=0.3) as second:
            end = time.monotonic() + 1
            while time.monotonic() < end:
                assert not second.take("00000")
                time.sleep(0.05)


def test_lost_claim_is_known_as_lost(tmp_path):
    with Claims(tmp_path) as claims:
        assert claims.take("00000")
        write_claim(tmp_path, "elsewhere")
        assert not claims.holds("00000")
    assert (tmp_path / "00000.claim").exists()


def test_folder_that_is_gone(tmp_path):
    with (
        Claims(tmp_path / "none") as claims,
        pytest.raises(FileNotFoundError),
    ):
        claims.take("00000")
