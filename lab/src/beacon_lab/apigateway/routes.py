"""Which resource of a REST API a path is: literal segments, ``{name}`` for one, ``{name+}`` for the rest."""

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote

from beacon_lab.apigateway.proxy_event import Match
from beacon_lab.stack.model import Route

__all__ = ["RouteMatch", "find_route"]


@dataclass(frozen=True, slots=True)
class RouteMatch:
    """The route of a request and how its path matched."""

    route: Route
    match: Match


def find_route(routes: Iterable[Route], *, method: str, path: str) -> RouteMatch | None:
    """The route for a path without its stage, or None. A literal segment is preferred to a parameter."""
    segments = [unquote(segment) for segment in path.split("/")[1:]]
    if not path.startswith("/") or any("/" in segment or segment in ("", ".", "..") for segment in segments):
        return None
    plain = "/" + "/".join(segments)
    candidates = []
    for route in routes:
        if route.method.upper() not in (method, "ANY"):
            continue
        parameters = _parameters(route.path.split("/")[1:], segments)
        if parameters is not None:
            rank = (
                tuple(segment.startswith("{") for segment in route.path.split("/")),
                route.method.upper() == "ANY",
            )
            candidates.append((rank, RouteMatch(route, Match(route.path, plain, parameters))))
    return min(candidates, key=lambda candidate: candidate[0])[1] if candidates else None


def _parameters(pattern: list[str], segments: list[str]) -> dict[str, str] | None:
    found: dict[str, str] = {}
    for position, wanted in enumerate(pattern):
        if wanted.startswith("{") and wanted.endswith("+}"):
            rest = segments[position:]
            return {**found, wanted[1:-2]: "/".join(rest)} if rest else None
        if position >= len(segments):
            return None
        if wanted.startswith("{") and wanted.endswith("}"):
            found[wanted[1:-1]] = segments[position]
        elif wanted != segments[position]:
            return None
    return found if len(pattern) == len(segments) else None
