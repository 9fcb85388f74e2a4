"""Which address of the Internet each loopback source address stands for.

| source | stands for | public address |
| --- | --- | --- |
| 127.53.x.y | a Route 53 checker | one inside Route 53's published checker ranges |
| 127.0.0.1 | the operator at this machine | 198.51.100.10 |
| any other of 127.0.0.0/8 | a stranger | one of 203.0.113.0/24 |

198.51.100.0/24 and 203.0.113.0/24 are set aside for documentation (RFC 5737). The checker ranges are the
ROUTE53_HEALTHCHECKS entries of ip-ranges.amazonaws.com.
"""

from ipaddress import IPv4Address, IPv4Network

__all__ = ["CHECKER_RANGES", "OPERATOR_ADDRESS", "checker_source", "public_address"]

OPERATOR_ADDRESS = "198.51.100.10"
_STRANGERS = IPv4Network("203.0.113.0/24")
_LOOPBACK = IPv4Network("127.0.0.0/8")
_CHECKERS = IPv4Network("127.53.0.0/16")
_OPERATOR = IPv4Address("127.0.0.1")

CHECKER_RANGES: dict[str, tuple[IPv4Network, ...]] = {
    place: tuple(IPv4Network(text) for text in ranges)
    for place, ranges in {
        "us-east-1": ("107.23.255.0/26", "54.243.31.192/26"),
        "us-west-1": ("54.183.255.128/26", "54.241.32.64/26"),
        "us-west-2": ("54.244.52.192/26", "54.245.168.0/26"),
        "eu-west-1": ("176.34.159.192/26", "54.228.16.0/26"),
        "ap-southeast-1": ("54.251.31.128/26", "54.255.254.192/26"),
        "ap-southeast-2": ("54.252.254.192/26", "54.252.79.128/26"),
        "ap-northeast-1": ("54.248.220.0/26", "54.250.253.192/26"),
        "sa-east-1": ("177.71.207.128/26", "54.232.40.64/26"),
        "GLOBAL": ("15.177.0.0/18",),
    }.items()
}
_RANGES = [(place, network) for place, networks in CHECKER_RANGES.items() for network in networks]


def checker_source(place: str, index: int) -> str:
    """The source address for a checker: the index-th (0-99) of a checker Region, or of GLOBAL.

    The checkers of one place alternate between its published ranges. Raises ValueError for an unknown
    place or index.
    """
    positions = [position for position, (name, _) in enumerate(_RANGES) if name == place]
    if not positions or not 0 <= index < 100:
        raise ValueError(f"no checker {index} in {place!r}")
    return f"127.53.{positions[index % len(positions)]}.{index // len(positions) + 1}"


def public_address(source: str) -> str:
    """The public address that a loopback source stands for. Raises ValueError for any other source."""
    address = IPv4Address(source)
    if address not in _LOOPBACK:
        raise ValueError(f"{source} is not a loopback address")
    if address == _OPERATOR:
        return OPERATOR_ADDRESS
    number, last = divmod(int(address) & 0xFFFF, 256)
    if address in _CHECKERS:
        _, network = _RANGES[number % len(_RANGES)]
        return str(network[last % network.num_addresses])
    return str(_STRANGERS[last])
