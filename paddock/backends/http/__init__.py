"""HTTP to the outside: what Paddock itself sends."""
