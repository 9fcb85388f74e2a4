"""A PostgreSQL proxy on this machine for programs that do not use the library."""
