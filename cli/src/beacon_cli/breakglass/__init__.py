"""Break glass: taking a Region out of DNS without the database, by inverting its health check, and back."""
