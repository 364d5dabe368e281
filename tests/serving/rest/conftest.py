"""One server of the tiny export's four tasks, with narrow limits."""

import pytest

from tests.serving.rest.running_server import RunningServer

LIMITS = {
    "max-rows": 8,
    "max-text-bytes": 2_000,
    "max-body-bytes": 20_000,
}


@pytest.fixture(scope="session")
def server(exported):
    options = [f"--{name}={value}" for name, value in LIMITS.items()]
    with RunningServer(exported.directory, *options) as running:
        yield running
