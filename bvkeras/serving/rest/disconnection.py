"""Clients that go before they have their answer."""

from starlette.types import Receive


async def disconnection(receive: Receive) -> None:
    """Returns when a client has closed its connection.

    Args:
        receive: callable. ASGI's; the request's body has been read.
    """
    while (await receive())["type"] != "http.disconnect":
        pass
