"""The public shapes: what is asked and what is answered, each written once."""
