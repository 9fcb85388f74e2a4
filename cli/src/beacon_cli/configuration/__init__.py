"""What samconfig.toml deploys, read as SAM reads the file."""
