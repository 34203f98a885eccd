"""Tells sockets what happens, from the event log."""
