"""The faults that an operator of the lab can put into a Region, by the names the command line uses."""

from enum import StrEnum, unique

__all__ = ["FaultKind"]


@unique
class FaultKind(StrEnum):
    """One way in which a Region breaks; the value is what `beacon-lab fault REGION KIND` takes."""

    DSQL_REFUSE = "dsql-refuse"
    """The database endpoint refuses connections; open ones are reset."""
    DSQL_FREEZE = "dsql-freeze"
    """The database endpoint accepts connections and then stays silent, on open ones too."""
    DSQL_SLOW = "dsql-slow"
    """Each message from the database is late."""
    DSQL_RESET = "dsql-reset"
    """Connections, open and new, are answered with RST."""
    DSQL_DENY = "dsql-deny"
    """Logins are denied; open connections are terminated."""
    DSQL_HALFOPEN = "dsql-halfopen"
    """Open connections swallow every byte for ever; new ones work."""
    GATEWAY_DOWN = "gateway-down"
    """The Region's API Gateway refuses connections."""
    LAMBDA_ERROR = "lambda-error"
    """Every invocation in the Region ends in a function error."""
    SSM_DOWN = "ssm-down"
    """Parameter Store of the Region answers with server errors."""
    REGION_DOWN = "region-down"
    """All of it at once."""

    @property
    def is_dsql(self) -> bool:
        """Whether a DSQL front alone can carry the fault out."""
        return self.value.startswith("dsql-")
