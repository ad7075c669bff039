"""Hand-written fakes of the ports, for tests without servers."""
