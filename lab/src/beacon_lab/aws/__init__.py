"""The AWS APIs behind one endpoint URL: moto, and the answers that the lab gives itself."""
