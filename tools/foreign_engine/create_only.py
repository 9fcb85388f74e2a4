"""Which changed properties make a new resource; tests/foreign compares each list with the schema."""

from __future__ import annotations

__all__ = ["CREATE_ONLY"]

CREATE_ONLY = {
    "AWS::Route53::HealthCheck": ("Type", "RequestInterval", "MeasureLatency"),  # within HealthCheckConfig
    "AWS::WAFv2::IPSet": ("Name", "Scope"),
    "AWS::WAFv2::WebACLAssociation": ("ResourceArn", "WebACLArn"),
}
