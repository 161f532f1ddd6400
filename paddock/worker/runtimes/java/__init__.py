"""The managed Java runtimes."""
