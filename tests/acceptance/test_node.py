"""Node.js functions: handlers of every form, errors as AWS's client words them, logs, context, and every bad end."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Mapping
from typing import Any

import pytest

from tests.support.server import ROLE, RunningServer, zipped


def newest_runtime() -> str:
    """The runtime of the Node.js on this machine, or "" where there is none."""
    try:
        shown = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""
    name = f"nodejs{shown.strip().removeprefix('v').split('.')[0]}.x"
    return name if name in ("nodejs20.x", "nodejs22.x", "nodejs24.x") else ""


RUNTIME = newest_runtime()

pytestmark = pytest.mark.skipif(not RUNTIME, reason="no Node.js 20, 22 or 24 on this machine")


def create(server: RunningServer, name: str, source: str | Mapping[str, str], **settings: Any) -> None:
    client = server.client("lambda")
    files = {"index.js": source} if isinstance(source, str) else source
    given = {"Runtime": RUNTIME, "Handler": "index.handler", "Role": ROLE, "Timeout": 20, "MemorySize": 1769}
    client.create_function(FunctionName=name, Code={"ZipFile": zipped(files)}, **{**given, **settings})
    waiter = client.get_waiter("function_active_v2")
    waiter.wait(FunctionName=name, WaiterConfig={"Delay": 0.05, "MaxAttempts": 400})


def tail(answer: dict[str, Any]) -> str:
    return base64.b64decode(answer["LogResult"]).decode()


def test_forms_of_handlers(server: RunningServer, name: str) -> None:
    source = """
const later = (value) => new Promise((resolve) => setTimeout(resolve, 5, value));
exports.a = { deep: { handler: async (event) => ({ ...event, calls: await later(1) }) } };
exports.promise = (event) => later(event);
exports.callback = (event, context, callback) => { setTimeout(() => callback(null, event), 5); };
exports.succeed = (event, context) => context.succeed(event);
exports.nothing = async () => {};
exports.loop = (event) => { setTimeout(() => {}, 5); return event; };
exports.circular = async () => { const it = {}; it.it = it; return it; };
"""
    forms: list[tuple[str, Any]] = [
        ("a.deep.handler", {"k": "grüße", "calls": 1}),
        ("promise", {"k": "grüße"}),
        ("nothing", None),
    ]
    if RUNTIME != "nodejs24.x":
        forms += [("callback", {"k": "grüße"}), ("succeed", {"k": "grüße"}), ("loop", None)]
    create(server, name, source)
    client = server.client("lambda")
    for form, expected in forms:
        client.update_function_configuration(FunctionName=name, Handler=f"index.{form}")
        client.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.05})
        for _ in range(2):
            found, answer = server.invoke(name, {"k": "grüße"})
            assert "FunctionError" not in answer, (form, found)
            assert found == expected, form
    client.update_function_configuration(FunctionName=name, Handler="index.circular")
    client.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.05})
    assert server.invoke(name)[0]["errorMessage"] == "Unable to stringify response body"


@pytest.mark.skipif(RUNTIME == "nodejs24.x", reason="callbacks are gone")
def test_whether_a_callback_waits_for_the_event_loop(server: RunningServer, name: str) -> None:
    source = """
let fired = 0;
exports.handler = (event, context, callback) => {
  context.callbackWaitsForEmptyEventLoop = event;
  const timer = setTimeout(() => { fired += 1; }, event ? 20 : 3600000);
  const answer = { get fired() { return fired; } };
  callback(null, answer);
};
"""
    create(server, name, source)
    assert server.invoke(name, True)[0] == {"fired": 1}
    assert server.invoke(name, False)[0] == {"fired": 1}


@pytest.mark.parametrize(
    ("files", "handler"),
    [
        ({"index.mjs": "await 1; export const handler = async () => import.meta.url;"}, "index.handler"),
        ({"package.json": '{"type": "module"}', "a/b.js": "export const go = async () => import.meta.url;"}, "a/b.go"),
        ({"index.cjs": "exports.handler = async () => __filename;"}, "index.handler"),
        ({"node_modules/dep/index.js": "exports.go = async () => __filename;"}, "dep.go"),
    ],
)
def test_modules(server: RunningServer, name: str, files: Mapping[str, str], handler: str) -> None:
    create(server, name, files, Handler=handler)
    file = next(file for file in files if file.endswith("js") and file != "package.json")
    assert server.invoke(name)[0].removeprefix("file://") == f"/var/task/{file}"


def test_context_and_environment(server: RunningServer, name: str) -> None:
    source = """
exports.handler = async (event, context) => ({ context, left: context.getRemainingTimeInMillis(),
  env: process.env, cwd: process.cwd(), argv: process.argv.length, heap: require("v8").getHeapStatistics() });
"""
    create(server, name, source, Environment={"Variables": {"MINE": "1"}})
    given = base64.b64encode(b'{"custom": {"a": 1}}').decode()
    found, answer = server.invoke(name, ClientContext=given)
    context, env = found["context"], found["env"]
    assert context["awsRequestId"] == answer["ResponseMetadata"]["RequestId"]
    assert context["functionName"] == name
    assert context["memoryLimitInMB"] == "1769"
    assert context["invokedFunctionArn"].endswith(f":function:{name}")
    assert context["logStreamName"] == env["AWS_LAMBDA_LOG_STREAM_NAME"]
    assert context["clientContext"] == {"custom": {"a": 1}}
    assert 0 < found["left"] <= 20_000
    assert (env["MINE"], env["AWS_EXECUTION_ENV"], found["cwd"]) == ("1", f"AWS_Lambda_{RUNTIME}", "/var/task")
    assert env["NODE_PATH"].startswith("/opt/nodejs/node")
    assert env["_X_AMZN_TRACE_ID"].startswith("Root=1-")
    assert "PYTHONPATH" not in env
    assert not [key for key in env if key.startswith("_PADDOCK")]


def test_settings_that_only_a_fresh_process_honours(server: RunningServer, name: str) -> None:
    source = "exports.handler = async () => [process.execArgv, process.env.NODE_OPTIONS, process.title];"
    create(server, name, source, Environment={"Variables": {"NODE_OPTIONS": "--title=chosen"}})
    assert server.invoke(name)[0] == [[], "--title=chosen", "chosen"]
    assert server.invoke(name)[0] == [[], "--title=chosen", "chosen"]


FAILURES = """
class Mine extends Error { constructor(text) { super(text); this.name = "Mine"; this.code = 7; } }
exports.handler = async (event) => {
  if (event === "throw") throw new Mine("as told");
  if (event === "string") throw "a string";
  if (event === "uncaught") { setImmediate(() => { throw new Mine("loose"); }); await new Promise(() => {}); }
  if (event === "rejected") { Promise.reject(new Mine("nobody")); await new Promise((r) => setTimeout(r, 5000)); }
  if (event === "exit") process.exit(7);
  if (event === "kill") process.kill(process.pid, "SIGKILL");
  if (event === "big") return "x".repeat(6291557);
  if (event === "sleep") await new Promise((r) => setTimeout(r, 60000));
  if (event === "spin") for (;;) ;
  return event;
};
"""


def test_errors_and_bad_ends(server: RunningServer, name: str) -> None:
    """After each of them the function answers again."""
    create(server, name, FAILURES, Timeout=2)

    def bad(event: str) -> tuple[dict[str, Any], str]:
        found, answer = server.invoke(name, event, LogType="Tail")
        assert answer["FunctionError"] == "Unhandled", event
        assert server.invoke(name, "fine")[0] == "fine"
        return found, tail(answer)

    found, log = bad("throw")
    assert (found["errorType"], found["errorMessage"], found["trace"][0]) == ("Mine", "as told", "Mine: as told")
    line = next(line for line in log.splitlines() if "Invoke Error" in line)
    _, _, level, title, record = line.split("\t")
    assert (level, title) == ("ERROR", "Invoke Error ")
    shown = json.loads(record)
    assert (shown["errorType"], shown["code"], shown["stack"][0]) == ("Mine", 7, "Mine: as told")
    assert bad("string")[0] == {"errorType": "string", "errorMessage": "a string", "trace": []}
    found, log = bad("uncaught")
    assert (found["errorType"], found["errorMessage"]) == ("Mine", "loose")
    assert "\tERROR\tUncaught Exception \t{" in log
    found, log = bad("rejected")
    assert (found["errorType"], found["errorMessage"]) == ("Runtime.UnhandledPromiseRejection", "Mine: nobody")
    found, _ = bad("exit")
    assert found["errorType"] == "Runtime.ExitError"
    assert found["errorMessage"].endswith("Runtime exited with error: exit status 7")
    assert bad("kill")[0]["errorMessage"].endswith("Runtime exited with error: signal: killed")
    assert bad("big")[0]["errorType"] == "Function.ResponseSizeTooLarge"
    for event in ("sleep", "spin"):
        assert bad(event)[0]["errorMessage"].endswith("Task timed out after 2.00 seconds")


def test_out_of_memory(server: RunningServer, name: str) -> None:
    source = """
const kept = [];
exports.handler = async (event) => {
  while (event) kept.push(Buffer.alloc(16 << 20, 1));
  return kept.length;
};
"""
    create(server, name, source, MemorySize=192)
    found, answer = server.invoke(name, 1)
    assert answer["FunctionError"] == "Unhandled"
    assert found["errorType"] == "Runtime.OutOfMemory" or "signal: killed" in found["errorMessage"]
    assert server.invoke(name, 0)[0] == 0


@pytest.mark.parametrize(
    ("source", "handler", "kind", "text"),
    [
        ("exports.x = 1;", "index.handler", "Runtime.HandlerNotFound", "index.handler is undefined or not exported"),
        ("exports.x = 1;", "index.x", "Runtime.HandlerNotFound", "index.x is not a function"),
        ("exports.", "index.x", "Runtime.UserCodeSyntaxError", "SyntaxError: Unexpected end of input"),
        (
            "require('absent')",
            "index.x",
            "Runtime.ImportModuleError",
            "Error: Cannot find module 'absent'\nRequire stac",
        ),
        (
            "",
            "absent.x",
            "Runtime.ImportModuleError",
            "Error: Cannot find module 'absent'\nRequire stack:\n- /var/runti",
        ),
        ("throw new TypeError('early')", "index.x", "TypeError", "early"),
        ("", "index", "Runtime.MalformedHandlerName", "Bad handler"),
        ("", "../index.x", "Runtime.MalformedHandlerName", "'../index.x' is not a valid handler name."),
        ("process.exit(3)", "index.x", "Runtime.ExitError", "RequestId: "),
    ],
)
def test_failed_inits(server: RunningServer, name: str, source: str, handler: str, kind: str, text: str) -> None:
    create(server, name, source, Handler=handler)
    found, answer = server.invoke(name)
    assert answer["FunctionError"] == "Unhandled"
    assert found["errorType"] == kind
    assert found["errorMessage"].startswith(text)


def test_console_lines(server: RunningServer, name: str) -> None:
    source = """
exports.handler = async () => {
  console.log("first", { a: 1 }, "\\nsecond line");
  for (const level of ["trace", "debug", "info", "warn", "error"]) console[level](level);
  console.error("failed:", new RangeError("far"));
  process.stdout.write("plain\\n");
};
"""
    create(server, name, source)
    _, answer = server.invoke(name, LogType="Tail")
    request_id = answer["ResponseMetadata"]["RequestId"]
    log = tail(answer)
    assert f"Z\t{request_id}\tINFO\tfirst {{ a: 1 }} \nsecond line" in log
    for level in ("TRACE", "DEBUG", "INFO", "WARN", "ERROR"):
        assert f"\t{request_id}\t{level}\t{level.lower()}" in log
    assert "\nplain\n" in log


def test_console_lines_in_json(server: RunningServer, name: str) -> None:
    source = """
exports.handler = async () => {
  console.debug("dropped");
  console.info({ a: 1 });
  console.warn("kept %d", 3);
  console.error("failed:", new RangeError("far"));
};
"""
    create(server, name, source, LoggingConfig={"LogFormat": "JSON", "ApplicationLogLevel": "INFO"})
    _, answer = server.invoke(name, LogType="Tail")
    request_id = answer["ResponseMetadata"]["RequestId"]
    records = [json.loads(line) for line in tail(answer).splitlines()]
    mine = [record for record in records if record.get("requestId") == request_id]
    assert [(record["level"], record["message"]) for record in mine[:2]] == [("INFO", {"a": 1}), ("WARN", "kept 3")]
    assert (mine[2]["level"], mine[2]["errorType"], mine[2]["errorMessage"]) == ("ERROR", "RangeError", "far")
    assert "dropped" not in tail(answer)


def test_a_streaming_handler_invoked_for_one_result(server: RunningServer, name: str) -> None:
    source = """
exports.handler = awslambda.streamifyResponse(async (event, stream, context) => {
  if (event === "fail") throw new RangeError("no stream");
  stream = awslambda.HttpResponseStream.from(stream, { statusCode: 201 });
  stream.write("one ");
  await new Promise((resolve) => setTimeout(resolve, 5));
  stream.write("two");
  stream.end();
});
"""
    create(server, name, source)
    client = server.client("lambda")
    body = client.invoke(FunctionName=name, Payload=b"{}")["Payload"].read()
    assert body == b'{"statusCode":201}' + bytes(8) + b"one two"
    assert server.invoke(name, "fail")[0]["errorType"] == "RangeError"
