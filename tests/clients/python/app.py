"""See ../README.md."""

import os
import sys
import threading

if os.environ.get("AT_INIT") == "raise":
    raise ValueError("not today")
if os.environ.get("AT_INIT") == "sleep":
    threading.Event().wait(60)


def handler(event, context):
    print("a line of the function", flush=True)
    match event["do"]:
        case "raise" | "panic":
            raise ValueError("boom")
        case "exit":
            os._exit(3)
        case "sleep":
            threading.Event().wait(60)
        case "fill":
            filled = [bytearray(b"x") * (8 << 20) for _ in range(1000)]
            return len(filled)
        case "large":
            return "x" * ((6 << 20) + 200)
        case "read":
            with open(event["path"]) as file:
                return file.read()
    return {
        "event": event,
        "id": context.aws_request_id,
        "arn": context.invoked_function_arn,
        "left_ms": context.get_remaining_time_in_millis(),
        "own": os.environ.get("OWN"),
        "memory": os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"],
        "name": os.environ["AWS_LAMBDA_FUNCTION_NAME"],
        "runtime": sys.version,
    }
