"""A request that is not answered, as its client is told."""

from starlette.responses import JSONResponse, Response


def failure(status: int, message: str, *, close: bool = False) -> Response:
    """A response of one line, `{"error": …}`.

    Args:
        status: int. The HTTP status.
        message: str. The line.
        close: bool. Whether the connection ends with it. Defaults to `False`.
    """
    headers = {}
    if status == 503:
        headers["Retry-After"] = "1"
    if close:
        headers["Connection"] = "close"
    return JSONResponse({"error": message}, status, headers)
