"""Blobs as files in one directory."""
