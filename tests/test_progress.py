import io

import pytest
import rich.console

from bvkeras import progress


@pytest.fixture
def lines(monkeypatch):
    """Makes bars write to a file that is no terminal; gives what they wrote."""
    output = io.StringIO()
    make_console = rich.console.Console

    def console(**kwargs):
        kwargs.pop("stderr")
        return make_console(
            file=output, force_terminal=False, width=40, **kwargs
        )

    monkeypatch.setattr(rich.console, "Console", console)
    return lambda: output.getvalue().splitlines()


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves."""

    class Clock:
        seconds = 100.0

    monkeypatch.setattr(progress.time, "monotonic", lambda: Clock.seconds)
    return Clock


def test_line_without_a_terminal(lines, clock):
    with progress.progress_bar("read [x]", 3000, "rows") as bar:
        clock.seconds += 20
        bar.advance(1000, note="loss 0.5")
    assert lines() == [
        "read [x]: 1,000/3,000 rows · 50.0/s · 0:20 gone, 0:40 left · loss 0.5"
    ]


def test_names_do_not_reach_the_terminal_as_they_are(lines, clock):
    with progress.progress_bar("read \x1b[2J\nb", 10, "rows") as bar:
        clock.seconds += 1
        bar.advance(10, note="best \x07")
    assert lines()[0].startswith("read \\x1b[2J b: 10/10 rows")
    assert lines()[0].endswith("best \\x07")


def test_a_line_every_30_seconds(lines, clock):
    with progress.progress_bar("read", 100, "rows") as bar:
        for _ in range(7):
            clock.seconds += 10
            bar.advance()
        assert len(lines()) == 2
    assert len(lines()) == 3


def test_rate_counts_this_process_only(lines, clock):
    with progress.progress_bar("read", 100, "rows", done=90) as bar:
        clock.seconds += 5
        bar.advance(5)
    assert lines() == ["read: 95/100 rows · 1.0/s · 0:05 gone, 0:05 left"]


def test_nothing_done_yet(lines, clock):
    with progress.progress_bar("read", 100, "rows"):
        pass
    assert lines() == ["read: 0/100 rows · 0.0/s · 0:00 gone, --:-- left"]


def test_hours(lines, clock):
    with progress.progress_bar("read", 3, "rows") as bar:
        clock.seconds += 3600 + 62
        bar.advance(3)
    assert lines()[-1].endswith("1:01:02 gone, 0:00 left")


def test_last_line_stands_after_an_error(lines):
    with (
        pytest.raises(KeyboardInterrupt),
        progress.progress_bar("read", 100, "rows", done=7),
    ):
        raise KeyboardInterrupt
    assert lines()[-1].startswith("read: 7/100 rows")
