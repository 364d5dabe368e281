"""Starting, stopping, being killed, and many clients at once."""

import concurrent.futures
import re
import shutil
import socket
import sys
import time

import pytest

from bvkeras.cli import main as cli
from tests.serving.rest.running_server import RunningServer

_PATH = "/v1/models/tiny:predict"


def _ask(server, text, signature="sst2"):
    body = {"signature_name": signature, "instances": [text]}
    return server.request("POST", _PATH, body)


def test_many_clients_get_their_own_answers(server):
    texts = [f"{'word ' * (n % 9 + 1)}{n}" for n in range(48)]
    expected = [_ask(server, text) for text in texts]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda text: _ask(server, text), texts))
    for (status, answer), (_, alone) in zip(found, expected, strict=True):
        assert status == 200
        [one], [other] = answer["predictions"], alone["predictions"]
        assert one["label"] == other["label"]
        assert one["score"] == pytest.approx(other["score"], abs=1e-5)


@pytest.mark.full
def test_killed_started_again_and_stopped_with_all_answered(exported):
    with RunningServer(exported.directory) as killed:
        assert _ask(killed, "x")[0] == 200
        killed.process.kill()
        killed.process.wait()
    context = "A was first. " * 500
    body = {
        "signature_name": "squad_v2",
        "instances": [{"question": "who?", "context": context}] * 20,
    }
    options = (f"--port={killed.port}", "--max-tokens=1000000")
    with (
        RunningServer(exported.directory, *options) as server,
        concurrent.futures.ThreadPoolExecutor(3) as pool,
    ):
        assert server.port == killed.port
        asked = [
            pool.submit(server.request, "POST", _PATH, body) for _ in range(3)
        ]
        time.sleep(0.3)
        assert not all(answer.done() for answer in asked)
        assert server.stop() == 0
        assert [answer.result()[0] for answer in asked] == [200] * 3
    assert server.log[-1].rstrip().endswith("stopped")


@pytest.mark.full
def test_new_version_is_served_without_a_restart(exported, tmp_path):
    folder = tmp_path / "tiny"
    shutil.copytree(exported.first, folder / "1")
    with RunningServer(folder, "--poll=0.2") as server:
        assert _ask(server, "x")[0] == 200
        body = [{"text": "x", "text_b": "y"}]
        asked = {"signature_name": "mnli", "instances": body}
        assert server.request("POST", _PATH, asked)[0] == 400
        shutil.copytree(exported.second, tmp_path / "2")
        (tmp_path / "2").rename(folder / "2")
        for _ in range(300):
            assert _ask(server, "x")[0] == 200
            if server.request("POST", _PATH, asked)[0] == 200:
                break
            time.sleep(0.1)
        else:
            pytest.fail("version 2 was never served")
        assert server.request("GET", "/v1/models/tiny/versions/2")[0] == 200


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["--name", "a/b"], "name: received 'a/b'"),
        (["--host", "256.1.1.1"], "host, port: cannot listen"),
        (["--port", "70000"], "port: received 70000"),
        (["--max-rows", "0"], "rows: received 0"),
        (["--timeout", "0"], "timeout: received 0"),
        (["--poll", "-1"], "poll: received -1"),
    ],
)
def test_argument_that_cannot_be_used_is_one_line(
    exported, options, part, capsys
):
    assert cli.main(["serve", str(exported.directory), *options]) == 1
    error = capsys.readouterr().err
    assert part in error
    assert error.count("\n") == 1


def test_port_in_use_is_said_before_anything_is_loaded(exported, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        serve = ["serve", str(exported.directory / "none"), "--port", port]
        assert cli.main(serve) == 1
    assert re.search(f"port {port}: .*in use", capsys.readouterr().err)


def test_folder_without_an_export_is_one_line(tmp_path, capsys):
    assert cli.main(["serve", str(tmp_path), "--port", "0"]) == 1
    assert "no export" in capsys.readouterr().err


@pytest.mark.parametrize(
    "package", ["prometheus_client", "starlette", "uvicorn"]
)
def test_missing_extra_is_one_line(exported, package, monkeypatch, capsys):
    for module in list(sys.modules):
        if module.startswith(("bvkeras.serving.rest", f"{package}.")):
            monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    assert cli.main(["serve", str(exported.directory)]) == 1
    error = capsys.readouterr().err
    assert "pip install 'bvkeras[serve]'" in error
    assert error.count("\n") == 1


@pytest.mark.full
def test_one_version_is_served_under_its_folders_name(exported):
    with RunningServer(exported.first, "--access-log") as server:
        status, answer = _ask(server, "x")
        assert (status, answer.keys()) == (200, {"predictions"})
        assert server.stop() == 0
    assert any('"POST /v1/models/tiny' in line for line in server.log)
