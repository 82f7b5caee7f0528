"""Client of the hash equivalence server. The server itself is a program of its own."""

from _hz_services import is_valid_unihash


def create_client(addr, username=None, password=None):
    """A client connected to `unix://PATH` or `HOST:PORT`."""
    from hashserv.client import Client

    client = Client(addr, username, password)
    client.connect()
    return client
