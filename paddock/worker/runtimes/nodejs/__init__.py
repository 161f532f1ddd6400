"""The managed Node.js runtimes."""
