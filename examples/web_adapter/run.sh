#!/bin/sh
# What the Web Adapter starts in the place of the managed runtime: the server, as one would start it anywhere.
exec python3 -m uvicorn "${APP:-app:app}" --port "${PORT:-8080}" --log-level warning
