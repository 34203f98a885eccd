"""The only room that knows the API of GitHub."""
