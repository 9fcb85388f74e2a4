"""API Gateway on one machine: a regional REST API over HTTPS."""
