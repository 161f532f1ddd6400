"""Ruby functions, on the Ruby that `paddock runtimes add` brings from Debian, in a userland of its own."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from paddock.worker.runtimes import store
from tests.acceptance.test_layers import publish
from tests.support.server import ROLE, RunningServer, zipped
from tests.support.userlands import added

pytestmark = pytest.mark.timeout(1_200)  # the first test may build the userland

NAME = "ruby3.3"
SOURCE = """
CALLS = [0]
def handler(event:, context:)
  CALLS[0] += 1
  puts "at work for #{context.aws_request_id}"
  eval(event["do"]) if event["do"]
end

module App
  class Thing
    def self.echo(event:, context:) = event
  end
end
"""
CONTEXT = """
return { calls: CALLS[0], version: RUBY_VERSION, name: context.function_name, memory: context.memory_limit_in_mb,
         arn: context.invoked_function_arn, left: context.get_remaining_time_in_millis, of: context.function_version,
         root: Dir.pwd, gems: ENV["GEM_PATH"], library: ENV["RUBYLIB"], execution: ENV["AWS_EXECUTION_ENV"],
         handler: ENV["_HANDLER"], release: File.read("/etc/os-release")[/VERSION_CODENAME=(.*)/, 1] }
"""

Make = Callable[..., str]


@pytest.fixture(scope="module")
def userland() -> tuple[Path, store.Userland]:
    return added(NAME)


@pytest.fixture(scope="module")
def ruby(tmp_path_factory: pytest.TempPathFactory, userland: tuple[Path, store.Userland]) -> Iterator[RunningServer]:
    with RunningServer(tmp_path_factory.mktemp("ruby"), runtimes_dir=userland[0], userland="auto") as running:
        yield running


@pytest.fixture
def make(ruby: RunningServer, name: str) -> Make:
    def create(files: dict[str, str | bytes] | None = None, **settings: Any) -> str:
        given = {"Runtime": NAME, "Handler": "app.handler", "Role": ROLE, "MemorySize": 512, "Timeout": 20, **settings}
        client = ruby.client("lambda")
        client.create_function(FunctionName=name, Code={"ZipFile": zipped(files or {"app.rb": SOURCE})}, **given)
        client.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.05})
        return name

    return create


def log_of(answer: dict[str, Any]) -> str:
    return base64.b64decode(answer["LogResult"]).decode()


def test_cold_and_warm(ruby: RunningServer, make: Make, userland: tuple[Path, store.Userland]) -> None:
    name = make()
    for number in (1, 2):
        found, answer = ruby.invoke(name, {"do": CONTEXT}, LogType="Tail")
        assert "FunctionError" not in answer, found
        assert (found["calls"], found["version"]) == (number, userland[1].programs[NAME])
        assert (found["name"], found["memory"], found["of"], found["root"]) == (name, "512", "$LATEST", "/var/task")
        assert found["arn"].endswith(f":function:{name}")
        assert 0 < found["left"] <= 20_000
        assert found["gems"].startswith("/var/task/vendor/bundle/ruby/3.3.0:/opt/ruby/gems/3.3.0")
        assert found["library"] == "/var/task:/var/runtime/lib:/opt/ruby/lib"
        assert (found["execution"], found["handler"]) == (f"AWS_Lambda_{NAME}", "app.handler")
        assert found["release"] == userland[1].release
        assert f"at work for {answer['ResponseMetadata']['RequestId']}" in log_of(answer)


def test_an_error_is_described_and_the_environment_lives(ruby: RunningServer, make: Make) -> None:
    name = make()
    found, answer = ruby.invoke(name, {"do": "raise ArgumentError, 'not that'"}, LogType="Tail")
    assert answer["FunctionError"] == "Unhandled"
    assert (found["errorType"], found["errorMessage"]) == ("Function<ArgumentError>", "not that")
    assert any("app.rb" in line for line in found["stackTrace"])
    assert "Error raised from handler method" in log_of(answer)
    assert ruby.invoke(name, {"do": "return CALLS[0]"})[0] == 2


@pytest.mark.parametrize(
    ("do", "error_type"),
    [
        ("exit 3", "Runtime.ExitError"),
        ("Process.kill(:KILL, Process.pid)", "Runtime.ExitError"),
        ("raise NotImplementedError, 'x'", "Function<NotImplementedError>"),
        ("return Float::NAN", "Function<JSON::GeneratorError>"),
        ("'x' * 6_500_000", "Function.ResponseSizeTooLarge"),
        ("sleep 60", "Sandbox.Timedout"),
    ],
)
def test_what_goes_wrong(ruby: RunningServer, make: Make, do: str, error_type: str) -> None:
    name = make(Timeout=3)
    found, answer = ruby.invoke(name, {"do": do})
    assert (answer.get("FunctionError"), found["errorType"]) == ("Unhandled", error_type)
    assert ruby.invoke(name, {"do": "return 'well'"})[0] == "well"


@pytest.mark.parametrize(
    ("handler", "files", "error_type"),
    [
        ("gone.handler", {}, "Init<LoadError>"),
        ("app.gone", {}, "Init<NameError>"),
        ("app", {}, "Init<ArgumentError>"),
        ("app.App::Gone.echo", {}, "Init<NameError>"),
        ("app.handler", {"app.rb": "def handler(\n"}, "Init<SyntaxError>"),
    ],
)
def test_what_fails_to_load(
    ruby: RunningServer, make: Make, handler: str, files: dict[str, str | bytes], error_type: str
) -> None:
    name = make({"app.rb": SOURCE, **files}, Handler=handler)
    found, answer = ruby.invoke(name, {})
    assert (answer["FunctionError"], found["errorType"]) == ("Unhandled", error_type)


def test_a_class_method_and_what_comes_with_the_code(ruby: RunningServer, make: Make) -> None:
    event = {"text": "grüße", "list": [1, 2.5, None, True], "deep": {"a": {}}}
    assert ruby.invoke(make(Handler="app.App::Thing.echo"), event)[0] == event


def test_settings_that_only_a_fresh_process_can_honour(ruby: RunningServer, make: Make) -> None:
    name = make(Environment={"Variables": {"RUBYOPT": "-rset -W:no-deprecated", "COLOUR": "red"}})
    found, _ = ruby.invoke(name, {"do": 'return [ENV["RUBYOPT"], ENV["COLOUR"], ENV.keys.grep(/PADDOCK/)]'})
    assert found == ["-rset -W:no-deprecated", "red", []]


def test_a_gem_of_a_layer(ruby: RunningServer, make: Make) -> None:
    files = {"ruby/lib/greeting.rb": "GREETING = 'of the layer'"}
    layer = ruby.client("lambda").publish_layer_version(LayerName="greeting", Content={"ZipFile": zipped(files)})
    name = make(Layers=[layer["LayerVersionArn"]])
    assert ruby.invoke(name, {"do": "require 'greeting'; return GREETING"})[0] == "of the layer"


def test_a_wrapper(ruby: RunningServer, make: Make) -> None:
    """See test_wrapper.py, which has the other languages."""
    wrapper = '#!/bin/sh\nexport FROM_WRAPPER="$#"\nruby=$1\nshift\nexec "$ruby" -W0 "$@"\n'
    arn = publish(ruby.client("lambda"), {"wrapper": wrapper}, 0o755)
    variables = {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/wrapper"}
    name = make(Layers=[arn], Environment={"Variables": variables})
    do = 'return [ENV["FROM_WRAPPER"], $VERBOSE, Dir.pwd, CALLS[0]]'
    for number in (1, 2):
        assert ruby.invoke(name, {"do": do})[0] == ["2", None, "/var/task", number]
    client = ruby.client("lambda")
    for missing, status, reason in (("/opt/none", 127, "No such file"), ("/var/task/app.rb", 126, "Permission denied")):
        variables["AWS_LAMBDA_EXEC_WRAPPER"] = missing
        client.update_function_configuration(FunctionName=name, Environment={"Variables": variables})
        client.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.05})
        assert ruby.invoke(name)[0]["errorMessage"].endswith(f"exit status {status}")
        events = ruby.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
        assert any(f"/var/runtime/bootstrap: {missing}: {reason}" in event["message"] for event in events)
