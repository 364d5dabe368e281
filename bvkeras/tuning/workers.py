"""One search in several processes: KerasTuner's chief and its workers."""

import os
import pathlib
import subprocess
import sys
import time
from concurrent import futures

import grpc
import keras_tuner
from keras_tuner.src import protos
from keras_tuner.src.distribute.oracle_chief import OracleServicer

from bvkeras.errors import RunError
from bvkeras.parent_process import child_environment
from bvkeras.progress import Bar

_ADDRESS, _PORT, _NAME = (
    "KERASTUNER_ORACLE_IP",
    "KERASTUNER_ORACLE_PORT",
    "KERASTUNER_TUNER_ID",
)
_LOOK_SECONDS = 0.2
# How long a chief waits for workers elsewhere to hear that it is over.
_FAREWELL_SECONDS = 60.0
_RESTARTS = 3


class _Worker:
    """A process that runs trials; started again when it dies."""

    def __init__(self, number: int, directory: pathlib.Path, port: int):
        self.name = f"worker{number}"
        self._directory, self._port = directory, port
        self._starts = 0
        self.was_given_up = False
        self.start()

    def start(self) -> None:
        self._starts += 1
        # KerasTuner's client would wait an hour for a chief that was killed.
        environment = child_environment(
            **{
                _ADDRESS: "127.0.0.1",
                _PORT: str(self._port),
                _NAME: self.name,
            }
        )
        log = self._directory / f"{self.name}.log"
        with open(log, "ab") as file:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "bvkeras.tuning.worker"),
                    str(self._directory),
                ],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    def look_after(self, oracle) -> bool:
        """Whether it is still at work; restarts it, or gives it up."""
        status = self.process.poll()
        if status is None:
            return True
        if status == 0:
            return False
        if self._starts <= _RESTARTS:
            # Under the same name it gets the same trials.
            self.start()
            return True
        oracle.release(f"{self.name}-")
        self.was_given_up = True
        return False

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def run_with_workers(
    oracle: keras_tuner.Oracle,
    directory: pathlib.Path,
    count: int,
    bar: Bar,
) -> None:
    """Hands out an oracle's trials to processes on this machine.

    A worker that dies is started again and gets its trials back; one that
    dies too often is given up, and the others get them.

    Args:
        oracle: keras_tuner.Oracle. A `DurableOracle` too.
        directory: path. The search's; workers write their logs there.
        count: int. Processes.
        bar: Bar. Moved as trials end.

    Raises:
        RunError: every worker was given up.
    """
    server, _, port = _server(oracle, "127.0.0.1:0")
    workers: list[_Worker] = []
    try:
        workers += (_Worker(i, directory, port) for i in range(count))
        at_work = workers
        while at_work:
            time.sleep(_LOOK_SECONDS)
            _show(oracle, bar)
            at_work = [w for w in at_work if w.look_after(oracle)]
        _show(oracle, bar)
    finally:
        for worker in workers:
            worker.stop()
        server.stop(0)
    # The last one given up leaves trials that nobody is there to run.
    if oracle._retry_queue or all(worker.was_given_up for worker in workers):
        raise RunError(
            f"{directory}: the workers died again and again, their logs "
            "there say why; the same command goes on from here"
        )


def serve_other_machines(oracle: keras_tuner.Oracle, bar: Bar) -> None:
    """Hands out an oracle's trials at the address in the environment.

    Ends when the oracle has no more trials and all have ended.

    Args:
        oracle: keras_tuner.Oracle. A `DurableOracle` too.
        bar: Bar. Moved as trials end.
    """
    server, servicer, _ = _server(
        oracle, f"{os.environ[_ADDRESS]}:{os.environ[_PORT]}"
    )
    try:
        while not servicer.stop_triggered or oracle.ongoing_trials:
            time.sleep(_LOOK_SECONDS)
            _show(oracle, bar)
        until = time.monotonic() + _FAREWELL_SECONDS
        while oracle.tuner_ids and time.monotonic() < until:
            time.sleep(_LOOK_SECONDS)
    finally:
        server.stop(0)


def _server(oracle, address):
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=1))
    servicer = OracleServicer(oracle)
    protos.get_service_grpc().add_OracleServicer_to_server(servicer, server)
    port = server.add_insecure_port(address)
    server.start()
    return server, servicer, port


def _show(oracle, bar):
    ended, best = oracle.standing()
    if ended > bar.done:
        note = "" if best is None else f"best {best:.4f}"
        bar.advance(ended - bar.done, note)
