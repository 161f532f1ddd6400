"""Java functions on AWS's own runtime client: handlers of every form, errors, logs, context, and every bad end."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from paddock.worker.runtimes import choose, jars
from tests.support.server import ROLE, RunningServer, zipped

RELEASE_MIN = "17"
RUNTIMES = [r.name for r in choose.runtimes() if r.family.family == "java" and r.interpreter is not None]
CORE = sorted(jars.home().glob("aws-lambda-java-core-*.jar"))

pytestmark = pytest.mark.skipif(
    not (RUNTIMES and CORE and shutil.which("javac")), reason="no JVM, compiler or runtime client for Java here"
)

SOURCE = """
package example;

import com.amazonaws.services.lambda.runtime.*;
import java.io.*;
import java.util.*;

public class Functions implements RequestHandler<Map<String, Object>, Map<String, Object>> {
  private static int calls = 0;
  private static final boolean FAILS = "yes".equals(System.getenv("FAILS_AT_INIT"));
  static { if (FAILS) throw new IllegalStateException("not today"); }

  public static class Order {
    private String name; private int count;
    public String getName() { return name; }  public void setName(String it) { name = it; }
    public int getCount() { return count; }   public void setCount(int it) { count = it; }
  }

  public Map<String, Object> handleRequest(Map<String, Object> event, Context context) {
    Map<String, Object> found = new HashMap<>();
    context.getLogger().log("a line by the logger\\nand its second");
    System.out.println("a line by print");
    found.put("event", event);
    found.put("calls", ++calls);
    found.put("id", context.getAwsRequestId());
    found.put("arn", context.getInvokedFunctionArn());
    found.put("name", context.getFunctionName());
    found.put("version", context.getFunctionVersion());
    found.put("memory", context.getMemoryLimitInMB());
    found.put("group", context.getLogGroupName());
    found.put("stream", context.getLogStreamName());
    found.put("left", context.getRemainingTimeInMillis());
    found.put("environment", System.getenv("AWS_EXECUTION_ENV"));
    found.put("own", System.getenv("OWN"));
    found.put("heap", Runtime.getRuntime().maxMemory());
    found.put("archive", uses("client.jsa"));
    found.put("directory", System.getProperty("user.dir"));
    if (context.getClientContext() != null) found.put("custom", context.getClientContext().getCustom());
    return found;
  }
  private static boolean uses(String name) {
    try (java.util.stream.Stream<String> lines = java.nio.file.Files.lines(java.nio.file.Path.of("/proc/self/maps"))) {
      return lines.anyMatch(line -> line.endsWith(name));
    } catch (IOException error) { return false; }
  }
  public Order order(Order it) { it.setCount(it.getCount() + 1); return it; }
  public int twice(int it) { return 2 * it; }
  public void stream(InputStream in, OutputStream out) throws IOException { out.write(in.readAllBytes()); }
  public String raise(String it) { throw new IllegalArgumentException("boom " + it); }
  public String leave(String it) { System.exit(3); return it; }
  public String sleep(int it) throws InterruptedException { Thread.sleep(it); return "late"; }
  public String large(int it) { return "x".repeat(it); }
  public String fill(int it) {
    List<byte[]> all = new ArrayList<>();
    while (true) { byte[] one = new byte[8 << 20]; Arrays.fill(one, (byte) 1); all.add(one); }
  }
}
"""


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, bytes]:
    home = tmp_path_factory.mktemp("java")
    (home / "Functions.java").write_text(SOURCE)
    command = ["javac", "--release", RELEASE_MIN, "-cp", str(CORE[-1]), "-d", str(home / "out"), "Functions.java"]
    subprocess.run(command, cwd=home, check=True)
    return {str(path.relative_to(home / "out")): path.read_bytes() for path in (home / "out").rglob("*.class")}


Create = Callable[..., str]


@pytest.fixture
def create(server: RunningServer, name: str, classes: Mapping[str, bytes]) -> Create:
    """Makes a function of a method of Functions, and returns its name."""

    def make(method: str = "", package: bytes | None = None, **settings: Any) -> str:
        client = server.client("lambda")
        one = f"{name}-{method or 'handleRequest'}"
        handler = "example.Functions" + (f"::{method}" if method else "")
        given = {"Runtime": RUNTIMES[-1], "Handler": handler, "Role": ROLE, "Timeout": 20, "MemorySize": 1769}
        code = {"ZipFile": zipped(classes) if package is None else package}
        client.create_function(FunctionName=one, Code=code, **{**given, **settings})
        waiter = client.get_waiter("function_active_v2")
        waiter.wait(FunctionName=one, WaiterConfig={"Delay": 0.05, "MaxAttempts": 400})
        return one

    return make


def tail(answer: dict[str, Any]) -> str:
    return base64.b64decode(answer["LogResult"]).decode()


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_context_logs_and_environment(server: RunningServer, create: Create, runtime: str) -> None:
    one = create(Runtime=runtime, MemorySize=512, Environment={"Variables": {"OWN": "grüße"}})
    context = base64.b64encode(json.dumps({"custom": {"a": "b"}}).encode()).decode()
    found, answer = server.invoke(one, {"k": "grüße"}, LogType="Tail", ClientContext=context)
    assert "FunctionError" not in answer, found
    assert found["event"] == {"k": "grüße"}
    assert found["id"] == answer["ResponseMetadata"]["RequestId"]
    assert found["arn"].endswith(f":function:{one}")
    assert (found["name"], found["version"], found["memory"]) == (one, "$LATEST", 512)
    assert found["group"] == f"/aws/lambda/{one}"
    assert "[$LATEST]" in found["stream"]
    assert 0 < found["left"] <= 20_000
    assert found["environment"] == f"AWS_Lambda_{runtime}"
    assert (found["own"], found["directory"], found["custom"]) == ("grüße", "/var/task", {"a": "b"})
    assert 300 << 20 < found["heap"] < 512 << 20
    assert found["archive"] == bool(sorted(jars.home().glob(f"{runtime}-*.jsa")))
    log = tail(answer)
    assert "a line by print" in log
    assert "a line by the logger\nand its second\n" in log
    assert "Init Duration" in log
    again, answer = server.invoke(one, {})
    assert again["calls"] == 2


def test_forms_of_handlers(server: RunningServer, create: Create) -> None:
    assert server.invoke(create("order"), {"name": "screws", "count": 4})[0] == {"name": "screws", "count": 5}
    assert server.invoke(create("twice"), 21)[0] == 42
    assert server.invoke(create("stream"), {"k": "grüße"})[0] == {"k": "grüße"}


def test_errors_of_a_handler(server: RunningServer, create: Create) -> None:
    one = create("raise")
    found, answer = server.invoke(one, "loudly")
    assert answer["FunctionError"] == "Unhandled"
    assert (found["errorMessage"], found["errorType"]) == ("boom loudly", "java.lang.IllegalArgumentException")
    assert found["stackTrace"][0].startswith("example.Functions.raise(")
    found, answer = server.invoke(create("nothing"), {})
    assert answer["FunctionError"] == "Unhandled"
    assert "nothing" in found["errorMessage"]
    found, answer = server.invoke(create(package=zipped({"x.txt": "x"})), {})
    assert found["errorType"] == "java.lang.ClassNotFoundException"
    assert found["errorMessage"] == "Class not found: example.Functions"


def test_bad_ends(server: RunningServer, create: Create) -> None:
    leaving = create("leave")
    for _ in range(2):
        found, answer = server.invoke(leaving, "now")
        assert answer["FunctionError"] == "Unhandled"
        assert found["errorType"] == "Runtime.ExitError"
        assert found["errorMessage"].endswith("Runtime exited with error: exit status 3")
    sleeping = create("sleep", Timeout=3)
    found, answer = server.invoke(sleeping, 60_000, LogType="Tail")
    assert found["errorMessage"].endswith("Task timed out after 3.00 seconds")
    assert server.invoke(sleeping, 1)[0] == "late"
    found, answer = server.invoke(create("large"), (6 << 20) + 200)
    assert found["errorType"] == "Function.ResponseSizeTooLarge"
    found, answer = server.invoke(create("fill", MemorySize=256), 0)
    assert answer["FunctionError"] == "Unhandled"
    assert found["errorType"] in ("java.lang.OutOfMemoryError", "Runtime.OutOfMemory")
    failing = create("order", Environment={"Variables": {"FAILS_AT_INIT": "yes"}})
    found, answer = server.invoke(failing, {})
    assert answer["FunctionError"] == "Unhandled"
    assert found["errorType"] == "java.lang.ExceptionInInitializerError"


def test_jars_in_the_package_and_in_layers(
    server: RunningServer, create: Create, classes: Mapping[str, bytes], name: str
) -> None:
    jar = zipped(classes)
    assert server.invoke(create("twice", zipped({"lib/own.jar": jar})), 2)[0] == 4
    layer = server.client("lambda").publish_layer_version(
        LayerName=f"{name}-jars", Content={"ZipFile": zipped({"java/lib/own.jar": jar})}
    )
    one = create("order", zipped({"x.txt": "x"}), Layers=[layer["LayerVersionArn"]])
    assert server.invoke(one, {"count": 1})[0]["count"] == 2
