"""SELECT only: rows in, frozen answers out."""
