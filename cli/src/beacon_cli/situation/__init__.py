"""Everything that an operator sees of a deployment, as one value, and what it means. Pure."""
