"""How far Regions are from one another, in milliseconds of round trip: the lab's own plausible numbers, not
AWS's.

The checkers' network distance and the latency records both read this table. It also says which Region a
client is in. Each Region owns one private test subnet, 10.<n>.0.0/16, where n is its place in ``REGIONS``,
counted from 1: 10.1.0.0/16 is us-east-1, 10.2.0.0/16 us-east-2.
"""

from __future__ import annotations

import ipaddress
from itertools import combinations

#: Where Beacon can run (the Regions of DSQL's multi-Region sets) and where Route 53's checkers stand.
REGIONS = (
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
    "sa-east-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "eu-central-1",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-southeast-1",
    "ap-southeast-2",
)

SAME_REGION_MS = 1.0

# Row by row, the distance from one Region of REGIONS to each Region after it.
_ROWS: tuple[tuple[int, ...], ...] = (
    (12, 62, 66, 114, 68, 76, 80, 92, 148, 172, 156, 216, 198),
    (50, 49, 124, 80, 86, 90, 101, 136, 160, 143, 206, 188),
    (21, 174, 130, 138, 142, 150, 107, 134, 113, 171, 139),
    (176, 124, 131, 136, 145, 97, 122, 102, 162, 141),
    (178, 186, 192, 203, 256, 284, 263, 322, 310),
    (11, 18, 25, 202, 228, 208, 176, 256),
    (9, 15, 210, 236, 216, 166, 262),
    (10, 216, 242, 222, 158, 270),
    (224, 222, 230, 160, 272),
    (34, 9, 70, 104),
    (26, 72, 136),
    (76, 112),
    (92,),
)

_ROUND_TRIP_MS: dict[frozenset[str], float] = dict(
    zip(
        (frozenset(pair) for pair in combinations(REGIONS, 2)),
        (float(ms) for row in _ROWS for ms in row),
        strict=True,
    )
)


def round_trip_ms(one: str, other: str) -> float:
    """The round trip between two Regions, the same both ways. KeyError for a Region outside ``REGIONS``."""
    if one not in REGIONS or other not in REGIONS:
        raise KeyError(f"no distance is known between {one} and {other}")
    return SAME_REGION_MS if one == other else _ROUND_TRIP_MS[frozenset((one, other))]


def client_subnet(region: str) -> ipaddress.IPv4Network:
    """The test subnet whose addresses count as clients in ``region``. KeyError for an unknown Region."""
    if region not in REGIONS:
        raise KeyError(f"{region} has no test subnet")
    return ipaddress.IPv4Network(f"10.{REGIONS.index(region) + 1}.0.0/16")


def region_of_client(address: str) -> str | None:
    """The Region whose test subnet holds ``address``; None for any other address and for what is none."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    return next((region for region in REGIONS if parsed in client_subnet(region)), None)
