"""Telling people: which events, to whom, in what words, and that each is told once."""
