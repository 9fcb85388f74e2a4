"""A first deployment and the next ones: the file of `beacon init`, and the steps of `beacon deploy`."""
