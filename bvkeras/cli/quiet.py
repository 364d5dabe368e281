"""TensorFlow's notices of its import, kept from the terminal."""

import contextlib
import importlib.abc
import importlib.util
import os
import sys
import tempfile
from collections.abc import Iterator


def quiet_tensorflow() -> None:
    """Lets TensorFlow be imported without a word, whenever that will be.

    It writes on GPUs that are not there before its own switches for that are
    read. An import that fails shows all that was written.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if "tensorflow" not in sys.modules:
        sys.meta_path.insert(0, _Finder())


class _Finder(importlib.abc.MetaPathFinder):
    """Finds TensorFlow where it is, and silences its first import."""

    def find_spec(self, name, path, target=None):
        if name != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def quietly(module):
                with _errors_held():
                    execute(module)

            spec.loader.exec_module = quietly
        return spec


@contextlib.contextmanager
def _errors_held() -> Iterator[None]:
    """Holds what the process writes to file 2, and shows it on a failure."""
    with tempfile.TemporaryFile() as held:
        earlier = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        except Exception:
            os.dup2(earlier, 2)
            held.seek(0)
            os.write(2, held.read())
            raise
        finally:
            os.dup2(earlier, 2)
            os.close(earlier)
