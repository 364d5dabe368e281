"""The failure a client is told of."""


class RequestError(Exception):
    """A request that is not answered.

    Args:
        status: int. The HTTP status: 4xx where the request is at fault.
        message: str. One line for the client.
    """

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status = status
