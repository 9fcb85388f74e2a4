"""Aurora DSQL on one machine: PostgreSQL, and one front for each Region."""
