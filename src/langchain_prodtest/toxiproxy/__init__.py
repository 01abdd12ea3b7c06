"""Toxiproxy: an embedded server, a client for it and for the real one, and faults that never stay behind."""
