"""See ../README.md. Python 3.9 runs it, too."""

import logging
import os
import sys
import threading

if os.environ.get("AT_INIT") == "raise":
    raise ValueError("not today")
if os.environ.get("AT_INIT") == "sleep":
    threading.Event().wait(60)


def handler(event, context):
    print("a line of the function", flush=True)
    logging.getLogger().warning("a record")
    do = event["do"]
    if do in ("raise", "panic"):
        raise ValueError("boom")
    if do == "exit":
        os._exit(3)
    if do == "sleep":
        threading.Event().wait(60)
    if do == "fill":
        filled = [bytearray(b"x") * (8 << 20) for _ in range(1000)]
        return len(filled)
    if do == "large":
        return "x" * ((6 << 20) + 200)
    if do == "read":
        with open(event["path"]) as file:
            return file.read()
    left_ms = context.get_remaining_time_in_millis()
    while context.get_remaining_time_in_millis() >= left_ms:
        pass
    return {
        "event": event,
        "id": context.aws_request_id,
        "arn": context.invoked_function_arn,
        "left_ms": left_ms,
        "later_ms": context.get_remaining_time_in_millis(),
        "memory": context.memory_limit_in_mb,
        "name": context.function_name,
        "version": context.function_version,
        "group": context.log_group_name,
        "stream": context.log_stream_name,
        "custom": context.client_context.custom if context.client_context else None,
        "env": dict(os.environ),
        "runtime": sys.version,
    }
