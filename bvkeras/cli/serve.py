"""`bvkeras serve`: answers over HTTP from an export or a run."""

import argparse
import logging
import pathlib

from bvkeras.errors import MissingPackageError

SUMMARY = (
    "answer requests over HTTP from an export or a run, with TensorFlow "
    "Serving's REST paths, and a page to try it"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `bvkeras serve`."""
    parser.add_argument(
        "directory",
        metavar="DIR",
        type=pathlib.Path,
        help="what export wrote: all versions (the newest is served, and "
        "newer ones when they appear) or one; or a finished run or a saved "
        "classifier, which is served as it is",
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen at (127.0.0.1: this machine alone; there is "
        "no password)",
    )
    parser.add_argument(
        "--port", type=int, default=8501, help="0 takes a free one (8501)"
    )
    parser.add_argument(
        "--name", help="the model's name in paths (the folder's name)"
    )
    parser.add_argument(
        "--all-versions",
        action="store_true",
        help="serve every version, not the newest alone",
    )
    parser.add_argument(
        "--poll",
        metavar="SECONDS",
        type=float,
        default=2.0,
        help="how often to look for new versions; 0: never (2)",
    )
    parser.add_argument(
        "--batch-rows",
        metavar="N",
        type=int,
        default=16,
        help="most rows computed together; 1 computes each row alone (16)",
    )
    parser.add_argument(
        "--batch-tokens",
        metavar="N",
        type=int,
        default=2048,
        help="most tokens computed together, padding counted: what still runs "
        "when a request's time is over (2048)",
    )
    parser.add_argument(
        "--batch-wait",
        metavar="SECONDS",
        type=float,
        default=0.0,
        help="how long the first request of a batch waits for others (0)",
    )
    parser.add_argument(
        "--max-body-bytes",
        metavar="N",
        type=int,
        default=1 << 20,
        help="of a request; more is refused with status 413 (1 MiB)",
    )
    parser.add_argument(
        "--max-rows",
        metavar="N",
        type=int,
        default=64,
        help="of a request; more is refused with status 400 (64)",
    )
    parser.add_argument(
        "--max-text-bytes",
        metavar="N",
        type=int,
        default=20_000,
        help="of a text; more is refused with status 400 (20000)",
    )
    parser.add_argument(
        "--max-tokens",
        metavar="N",
        type=int,
        default=16_384,
        help="of a request, padding counted; more is refused with status 400 "
        "(16384)",
    )
    parser.add_argument(
        "--max-values",
        metavar="N",
        type=int,
        default=1 << 20,
        help="numbers and texts in an answer; more is refused with status 400, "
        "before it is computed (1048576)",
    )
    parser.add_argument(
        "--max-waiting-rows",
        metavar="N",
        type=int,
        default=1024,
        help="more are refused with status 503 (1024)",
    )
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=float,
        default=30.0,
        help="for a request to arrive, then to be computed, and then for its "
        "answer to be taken (30)",
    )
    parser.add_argument(
        "--allowed-host",
        metavar="NAME",
        action="append",
        default=[],
        help="a name that requests may give this server, beside --host, "
        "localhost and addresses; *: any (only those, unless others than this "
        "machine can connect: then any)",
    )
    parser.add_argument(
        "--threads", type=int, default=0, help="of TensorFlow (one a core)"
    )
    parser.add_argument(
        "--allow-unusual",
        action="store_true",
        help="serve what `bvkeras inspect` warns of: it can do anything to "
        "this machine that you can",
    )
    parser.add_argument(
        "--access-log",
        action="store_true",
        help="log a line for each request, without its texts",
    )


def run(options: argparse.Namespace) -> None:
    """Serves an export until it is told to stop.

    Raises:
        BvkerasError: an argument or the export cannot be used, or a package
            is missing.
    """
    try:
        from bvkeras.serving.rest.server import serve
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0].replace("_", "-")
        if package not in ("prometheus-client", "starlette", "uvicorn"):
            raise
        raise MissingPackageError(
            f"serve needs {package}: pip install 'bvkeras[serve]'"
        ) from None
    import tensorflow as tf

    from bvkeras.serving.rest.limits import Limits

    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    if options.threads:
        tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    serve(
        options.directory,
        host=options.host,
        port=options.port,
        name=options.name,
        limits=Limits(
            batch_rows=options.batch_rows,
            batch_tokens=options.batch_tokens,
            batch_wait=options.batch_wait,
            body_bytes=options.max_body_bytes,
            rows=options.max_rows,
            text_bytes=options.max_text_bytes,
            tokens=options.max_tokens,
            values=options.max_values,
            waiting_rows=options.max_waiting_rows,
            timeout=options.timeout,
        ),
        keep_all=options.all_versions,
        allow_unusual=options.allow_unusual,
        poll=options.poll,
        access_log=options.access_log,
        allowed_hosts=options.allowed_host,
    )
