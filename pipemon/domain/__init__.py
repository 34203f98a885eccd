"""What things are: records and decisions, from the standard library alone."""
