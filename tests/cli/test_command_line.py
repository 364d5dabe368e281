import pytest

from bvkeras.cli.command_line import command_line


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["run", "rte", "--seed", "3"], "bvkeras run rte --seed 3"),
        (["--names", "a b"], "bvkeras --names 'a b'"),
        (["--output-dir", "runs/rte"], "bvkeras --output-dir runs/rte"),
        # Whose machine it was is nobody's business.
        (["--data-dir", "/home/me/glue"], "bvkeras --data-dir '…/glue'"),
        (["--data-dir=/home/me/glue"], "bvkeras '--data-dir=…/glue'"),
    ],
)
def test_command_line(arguments, expected):
    assert command_line("bvkeras", arguments) == expected
