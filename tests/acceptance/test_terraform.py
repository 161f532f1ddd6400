"""Terraform's own AWS provider: what it applies, a second plan finds unchanged, and destroy leaves nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.server import RunningServer, default_runtime, zipped
from tests.support.terraform import Terraform

CONFIGURATION = """
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

variable "endpoint" {}
variable "timeout" { default = 5 }

provider "aws" {
  region                      = "us-east-1"
  access_key                  = "000000000000"
  secret_key                  = "test"
  skip_metadata_api_check     = true
  skip_requesting_account_id  = false
  endpoints {
    lambda = var.endpoint
    iam    = var.endpoint
    sts    = var.endpoint
    logs   = var.endpoint
    cloudwatchevents = var.endpoint
    scheduler        = var.endpoint
    sqs              = var.endpoint
  }
}

resource "aws_iam_role" "role" {
  name               = "terraformed"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "sts:AssumeRole", Principal = { Service = "lambda.amazonaws.com" } }]
  })
}

resource "aws_iam_role_policy_attachment" "logs" {
  role       = aws_iam_role.role.name
  policy_arn = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
}

resource "aws_cloudwatch_log_group" "group" {
  name              = "/terraformed/logs"
  retention_in_days = 7
}

resource "aws_lambda_layer_version" "layer" {
  layer_name          = "terraformed"
  filename            = "layer.zip"
  source_code_hash    = filebase64sha256("layer.zip")
  compatible_runtimes = ["RUNTIME"]
}

resource "aws_lambda_function" "function" {
  function_name    = "terraformed"
  role             = aws_iam_role.role.arn
  runtime          = "RUNTIME"
  handler          = "f.handler"
  filename         = "function.zip"
  source_code_hash = filebase64sha256("function.zip")
  timeout          = var.timeout
  memory_size      = 192
  publish          = true
  layers           = [aws_lambda_layer_version.layer.arn]
  environment { variables = { GREETING = "hello" } }
  logging_config {
    log_format            = "JSON"
    application_log_level = "DEBUG"
    system_log_level      = "WARN"
    log_group             = aws_cloudwatch_log_group.group.name
  }
  tags             = { Team = "blue" }
}

resource "aws_lambda_alias" "live" {
  name             = "live"
  function_name    = aws_lambda_function.function.function_name
  function_version = "1"
  dynamic "routing_config" {
    for_each = aws_lambda_function.function.version == "1" ? [] : [aws_lambda_function.function.version]
    content { additional_version_weights = { (routing_config.value) = 0.25 } }
  }
}

resource "aws_lambda_provisioned_concurrency_config" "live" {
  function_name                     = aws_lambda_function.function.function_name
  qualifier                         = aws_lambda_alias.live.name
  provisioned_concurrent_executions = 1
}

resource "aws_lambda_permission" "bucket" {
  statement_id   = "bucket"
  action         = "lambda:InvokeFunction"
  function_name  = aws_lambda_function.function.function_name
  qualifier      = aws_lambda_alias.live.name
  principal      = "s3.amazonaws.com"
  source_arn     = "arn:aws:s3:::pictures"
  source_account = "000000000000"
}

resource "aws_lambda_function_url" "live" {
  function_name      = aws_lambda_function.function.function_name
  qualifier          = aws_lambda_alias.live.name
  authorization_type = "AWS_IAM"
  invoke_mode        = "RESPONSE_STREAM"
  cors {
    allow_credentials = true
    allow_origins     = ["https://example.com"]
    allow_methods     = ["GET", "POST"]
    allow_headers     = ["x-one"]
    expose_headers    = ["x-two"]
    max_age           = 600
  }
}

resource "aws_lambda_function_url" "public" {
  function_name      = aws_lambda_function.function.function_name
  authorization_type = "NONE"
}

resource "aws_sqs_queue" "letters" {
  name = "terraformed-letters"
}

resource "aws_sqs_queue" "jobs" {
  name                       = "terraformed-jobs"
  visibility_timeout_seconds = 60
  redrive_policy             = jsonencode({ deadLetterTargetArn = aws_sqs_queue.letters.arn, maxReceiveCount = 3 })
  tags                       = { team = "paddock" }
}

resource "aws_lambda_event_source_mapping" "jobs" {
  event_source_arn = aws_sqs_queue.jobs.arn
  function_name    = aws_lambda_function.function.arn
  batch_size       = 5
}

resource "aws_lambda_function_event_invoke_config" "events" {
  function_name                = aws_lambda_function.function.function_name
  maximum_retry_attempts       = 1
  maximum_event_age_in_seconds = 600
  destination_config {
    on_failure {
      destination = aws_sqs_queue.letters.arn
    }
  }
}

resource "aws_cloudwatch_event_bus" "bus" {
  name        = "terraformed"
  description = "orders"
  tags        = { Team = "blue" }
}

resource "aws_cloudwatch_event_rule" "orders" {
  name           = "orders"
  event_bus_name = aws_cloudwatch_event_bus.bus.name
  event_pattern  = jsonencode({ source = ["shop"], detail = { total = [{ numeric = [">", 100] }] } })
}

resource "aws_cloudwatch_event_target" "function" {
  rule           = aws_cloudwatch_event_rule.orders.name
  event_bus_name = aws_cloudwatch_event_bus.bus.name
  target_id      = "function"
  arn            = aws_lambda_function.function.arn
  input_transformer {
    input_paths    = { total = "$.detail.total" }
    input_template = <<-END
      {"total": <total>}
    END
  }
  retry_policy {
    maximum_retry_attempts       = 3
    maximum_event_age_in_seconds = 600
  }
}

resource "aws_cloudwatch_event_rule" "nightly" {
  name                = "nightly"
  schedule_expression = "cron(0 3 * * ? *)"
  state               = "DISABLED"
}

resource "aws_scheduler_schedule_group" "group" {
  name = "terraformed"
}

resource "aws_scheduler_schedule" "weekly" {
  name                         = "weekly"
  group_name                   = aws_scheduler_schedule_group.group.name
  schedule_expression          = "cron(0 9 ? * MON *)"
  schedule_expression_timezone = "Europe/Berlin"
  flexible_time_window {
    mode                      = "FLEXIBLE"
    maximum_window_in_minutes = 15
  }
  target {
    arn      = aws_lambda_function.function.arn
    role_arn = aws_iam_role.role.arn
    input    = jsonencode({ report = true })
  }
}
"""


@pytest.mark.timeout(900)
def test_a_configuration_is_applied_found_unchanged_and_destroyed(
    tmp_path: Path, server: RunningServer, terraform: Terraform, aws: Any
) -> None:
    (tmp_path / "function.zip").write_bytes(
        zipped({"f.py": "import os\ndef handler(event, context):\n    return os.environ['GREETING']\n"})
    )
    (tmp_path / "layer.zip").write_bytes(zipped({"python/shared.py": "X = 1\n"}))
    runtime = default_runtime()
    (tmp_path / "main.tf").write_text(CONFIGURATION.replace("RUNTIME", runtime))
    terraform("init", "-input=false")
    terraform("apply", "-input=false", "-auto-approve")
    assert server.invoke("terraformed")[0] == "hello"
    provisioned = aws.get_provisioned_concurrency_config(FunctionName="terraformed", Qualifier="live")
    assert (provisioned["Status"], provisioned["RequestedProvisionedConcurrentExecutions"]) == ("READY", 1)
    terraform("plan", "-input=false", "-detailed-exitcode")
    # A change: a second version, to which the alias gives a quarter of its invocations.
    terraform("apply", "-input=false", "-auto-approve", "-var", "timeout=6")
    alias = aws.get_alias(FunctionName="terraformed", Name="live")
    assert alias["RoutingConfig"] == {"AdditionalVersionWeights": {"2": 0.25}}
    terraform("plan", "-input=false", "-detailed-exitcode", "-var", "timeout=6")
    terraform("destroy", "-input=false", "-auto-approve")
    assert "terraformed" not in [one["FunctionName"] for one in aws.list_functions()["Functions"]]
    assert "terraformed" not in [one["LayerName"] for one in aws.list_layers()["Layers"]]
    groups = server.client("logs").describe_log_groups(logGroupNamePrefix="/terraformed")["logGroups"]
    assert groups == []
    buses = server.client("events").list_event_buses()["EventBuses"]
    assert "terraformed" not in [bus["Name"] for bus in buses]
    assert server.client("sqs").list_queues(QueueNamePrefix="terraformed").get("QueueUrls", []) == []
    groups = server.client("scheduler").list_schedule_groups()["ScheduleGroups"]
    assert "terraformed" not in [group["Name"] for group in groups]
