"""Calls to hosts that are neither GitHub's API nor ours: only public ones, at the very address that was looked at."""
