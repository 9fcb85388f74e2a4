"""The health function: one request, one probe, one verdict, one response."""
