"""What fills a situation in: one reader for each source, each of which may fail alone."""
