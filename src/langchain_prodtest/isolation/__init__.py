"""Isolation: no test talks to the network unseen."""
