"""Taking in what GitHub says; everything ends in `apply`."""
