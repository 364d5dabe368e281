"""Bugs planted in bvkeras: the tests they name must fail.

Each patch beside this file says what it breaks, and which test must see it.
"""

import pytest

from tests.mutants.planted import ROOT, all_mutants, run_tests

MUTANTS = all_mutants()


@pytest.fixture(scope="module")
def good():
    """The tests pass without a mutant, so that a failure means the mutant."""
    done = run_tests(sorted({mutant.test for mutant in MUTANTS}))
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_can_be_planted(tmp_path):
    assert len(MUTANTS) >= 20
    for mutant in MUTANTS:
        folder = tmp_path / mutant.path.stem
        mutant.plant(folder)
        planted = folder / "planted" / mutant.source
        compile(planted.read_text("utf-8"), planted, "exec")
        file, name = mutant.test.split("::")
        assert f"\ndef {name}(" in (ROOT / file).read_text("utf-8")


@pytest.mark.full
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda one: one.path.stem)
def test_each_is_caught(good, mutant, tmp_path):
    mutant.plant(tmp_path)
    done = run_tests([mutant.test], "-x", folder=tmp_path)
    # Failed, and not for an error in front of it.
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"FAILED {mutant.test}" in done.stdout
