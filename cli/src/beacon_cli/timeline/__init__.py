"""What has happened to a deployment, as one timeline of all sources."""
