"""The room where everything is put together: the only one that names concrete backends.

launch          `up` becomes the jailer, which starts the server without privilege as `serve`
application     everything that lives as long as the server, made, started and stopped in order
the others      one part each: what it is made of, and what it hands to the rest
"""

from paddock.app import bring
from paddock.app.ground import time_and_chance
from paddock.app.launch import serve, up

__all__ = ["bring", "serve", "time_and_chance", "up"]
