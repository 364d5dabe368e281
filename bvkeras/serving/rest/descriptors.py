"""How many connections the system lets a process have."""

try:
    import resource
except ModuleNotFoundError:
    # Windows has no such bound; a module's name cannot be None to mypy.
    resource = None  # type: ignore[assignment]

# Files, the model's and others.
_OWN = 256


def most_connections(wanted: int) -> int:
    """Connections to take at a time; the system's bound is raised for them.

    Those that come at once are all taken before the first is refused, so each
    needs room for another.

    Args:
        wanted: int. Most connections.

    Returns:
        `wanted`, or what the system allows.
    """
    if resource is None:
        return wanted
    needed = 2 * wanted + _OWN
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed
        if hard != resource.RLIM_INFINITY:
            soft = min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        return max(1, min(wanted, (soft - _OWN) // 2))
    return wanted
