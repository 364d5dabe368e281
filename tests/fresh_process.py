"""Processes as new as those that Python starts, without their seconds.

To import Keras takes longer than most of what such a process is started for.
So they are forked from one that has imported Keras and what else of others
bvkeras needs, and has done nothing with it; nothing of bvkeras is imported
there. What is told of such a process must not depend on who imported Keras:
else let it be started by `subprocess`.
"""

import multiprocessing
import os
import pathlib
import runpy
import subprocess
import sys
import threading
import types

_PRELOADED = (
    *("keras", "keras_hub", "keras_tuner", "tensorflow_text"),
    *("scipy.special", "scipy.stats", "sklearn.linear_model"),
    *("sklearn.metrics", "tokenizers", "safetensors.numpy"),
)
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(list(_PRELOADED))


class FreshProcess:
    """What `subprocess.Popen` gives of `python ARGUMENT...`, with text.

    Args:
        *arguments: str or path. As Python's own: `-c` and a script, `-m` and a
            module, or a file; then the program's arguments.
        cwd: path. Defaults to the folder this process is in.
        stdout: bool. Whether anybody reads it. Defaults to `True`.
    """

    def __init__(self, *arguments, cwd=None, stdout=True):
        self.stdout, out = _pipe() if stdout else (None, None)
        self.stderr, err = _pipe()
        self.args = [str(argument) for argument in arguments]
        folder = str(cwd or pathlib.Path.cwd())
        self._process = _context.Process(
            target=_main, args=(self.args, folder, dict(os.environ), out, err)
        )
        self._process.start()
        for end in filter(None, (out, err)):
            end.close()
        self.pid = self._process.pid

    @property
    def returncode(self):
        return self._process.exitcode

    def poll(self):
        return self._process.exitcode

    def wait(self, timeout=None):
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self.args, timeout)
        return self.returncode

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self):
        self._process.kill()

    def communicate(self, timeout=None):
        """Waits for its end; what it wrote, `(stdout, stderr)`."""
        written = [None, None]

        def read(place, stream):
            with stream:
                written[place] = stream.read()

        streams = enumerate((self.stdout, self.stderr))
        readers = [
            threading.Thread(target=read, args=one, daemon=True)
            for one in streams
            if one[1] is not None and not one[1].closed
        ]
        for reader in readers:
            reader.start()
        self.wait(timeout)
        for reader in readers:
            reader.join(timeout)
        return tuple(written)


def run(*arguments, cwd=None, check=False):
    """Runs `python ARGUMENT...` to its end, as `subprocess.run` does.

    Args:
        *arguments: str or path. As for `FreshProcess`.
        cwd: path. Defaults to the folder this process is in.
        check: bool. Whether a status other than 0 is an error, which shows
            what was written to the standard error.

    Returns:
        subprocess.CompletedProcess, with the output as text.
    """
    process = FreshProcess(*arguments, cwd=cwd)
    out, err = process.communicate()
    if check:
        assert process.returncode == 0, err[-3000:]
    return subprocess.CompletedProcess(
        process.args, process.returncode, out, err
    )


def _pipe():
    reader, writer = _context.Pipe(duplex=False)
    with reader:
        return os.fdopen(os.dup(reader.fileno()), encoding="utf-8"), writer


def _main(arguments, folder, environment, out, err):
    """What runs in the new process."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for number, end in ((1, out), (2, err)):
        os.dup2(end.fileno() if end else nowhere, number)
        if end:
            end.close()
    os.close(nowhere)
    # What the first process wrote, and kept, is not this one's to write.
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(
        2, "w", buffering=1, errors="backslashreplace", closefd=False
    )
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    option, *rest = arguments
    if option == "-c":
        sys.argv = [option, *rest[1:]]
        sys.path.insert(0, "")
        exec(compile(rest[0], "<string>", "exec"), main.__dict__)
    elif option == "-m":
        sys.argv = rest
        sys.path.insert(0, folder)
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv = arguments
        sys.path.insert(0, str(pathlib.Path(option).parent))
        runpy.run_path(option, run_name="__main__")
