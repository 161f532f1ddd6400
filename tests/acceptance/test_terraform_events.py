"""Terraform and topics, buses, rules, targets and schedules: applied, found unchanged, changed, destroyed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.server import RunningServer, default_runtime, zipped
from tests.support.terraform import Terraform, provider

SERVICES = ("lambda", "iam", "sts", "logs", "cloudwatchevents", "scheduler", "sns")

CONFIGURATION = """
variable "least" {
  type    = number
  default = 100
}
variable "text" { default = "orders" }

resource "aws_iam_role" "role" {
  name               = "tf-events"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "sts:AssumeRole", Principal = { Service = "lambda.amazonaws.com" } }]
  })
}

resource "aws_lambda_function" "function" {
  function_name    = "tf-events"
  role             = aws_iam_role.role.arn
  runtime          = "RUNTIME"
  handler          = "f.handler"
  filename         = "function.zip"
  source_code_hash = filebase64sha256("function.zip")
}

resource "aws_lambda_permission" "topic" {
  statement_id  = "topic"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.function.function_name
  principal     = "sns.amazonaws.com"
  source_arn    = aws_sns_topic.topic.arn
}

locals {
  inbox   = "arn:aws:sqs:us-east-1:000000000000:tf-events-inbox"
  letters = "arn:aws:sqs:us-east-1:000000000000:tf-events-letters"
  ordered = "arn:aws:sqs:us-east-1:000000000000:tf-events-ordered.fifo"
}

resource "aws_sns_topic" "topic" {
  name              = "tf-events"
  display_name      = var.text
  signature_version = 2
  delivery_policy = jsonencode({
    http = {
      defaultHealthyRetryPolicy = {
        minDelayTarget = 1, maxDelayTarget = 5, numRetries = 4, numMaxDelayRetries = 0, numNoDelayRetries = 1,
        numMinDelayRetries = 1, backoffFunction = "linear"
      }
      disableSubscriptionOverrides = false
    }
  })
  tags = { Team = "blue" }
}

resource "aws_sns_topic" "ordered" {
  name                        = "tf-events-ordered.fifo"
  fifo_topic                  = true
  content_based_deduplication = true
}

resource "aws_sns_topic_policy" "topic" {
  arn = aws_sns_topic.topic.arn
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect = "Allow", Action = "SNS:Publish", Resource = aws_sns_topic.topic.arn
      Principal = { Service = "events.amazonaws.com" }
    }]
  })
}

resource "aws_sns_topic_subscription" "function" {
  topic_arn = aws_sns_topic.topic.arn
  protocol  = "lambda"
  endpoint  = aws_lambda_function.function.arn
}

resource "aws_sns_topic_subscription" "queue" {
  topic_arn            = aws_sns_topic.topic.arn
  protocol             = "sqs"
  endpoint             = local.inbox
  raw_message_delivery = true
  filter_policy        = jsonencode({ total = [{ numeric = [">", var.least] }] })
  redrive_policy       = jsonencode({ deadLetterTargetArn = local.letters })
}

resource "aws_sns_topic_subscription" "ordered" {
  topic_arn           = aws_sns_topic.ordered.arn
  protocol            = "sqs"
  endpoint            = local.ordered
  filter_policy       = jsonencode({ kind = ["order"] })
  filter_policy_scope = "MessageBody"
}

resource "aws_cloudwatch_event_bus" "bus" {
  name        = "tf-events"
  description = var.text
  tags        = { Team = "blue" }
}

resource "aws_cloudwatch_event_rule" "orders" {
  name           = "tf-orders"
  event_bus_name = aws_cloudwatch_event_bus.bus.name
  description    = var.text
  event_pattern  = jsonencode({ source = ["shop"], detail = { total = [{ numeric = [">", var.least] }] } })
}

resource "aws_cloudwatch_event_target" "queue" {
  rule           = aws_cloudwatch_event_rule.orders.name
  event_bus_name = aws_cloudwatch_event_bus.bus.name
  arn            = local.inbox
  input_transformer {
    input_paths    = { total = "$.detail.total" }
    input_template = "{\\"total\\": <total>, \\"by\\": \\"tf\\"}"
  }
  dead_letter_config { arn = local.letters }
  retry_policy {
    maximum_retry_attempts       = 2
    maximum_event_age_in_seconds = 120
  }
}

resource "aws_cloudwatch_event_target" "topic" {
  rule           = aws_cloudwatch_event_rule.orders.name
  event_bus_name = aws_cloudwatch_event_bus.bus.name
  target_id      = "topic"
  arn            = aws_sns_topic.topic.arn
  input_path     = "$.detail"
}

resource "aws_cloudwatch_event_archive" "kept" {
  name             = "tf-events"
  event_source_arn = aws_cloudwatch_event_bus.bus.arn
  description      = var.text
  retention_days   = 7
  event_pattern    = jsonencode({ source = ["shop"] })
}

resource "aws_scheduler_schedule_group" "group" {
  name = "tf-events"
  tags = { Team = "blue" }
}

resource "aws_scheduler_schedule" "daily" {
  name                         = "tf-daily"
  group_name                   = aws_scheduler_schedule_group.group.name
  description                  = var.text
  schedule_expression          = "cron(30 7 ? * MON-FRI *)"
  schedule_expression_timezone = "America/New_York"
  end_date                     = "2199-01-01T00:00:00Z"
  flexible_time_window { mode = "OFF" }
  target {
    arn      = local.ordered
    role_arn = aws_iam_role.role.arn
    input    = jsonencode({ least = var.least })
    sqs_parameters { message_group_id = "daily" }
    dead_letter_config { arn = local.letters }
    retry_policy {
      maximum_retry_attempts       = 5
      maximum_event_age_in_seconds = 600
    }
  }
}
"""


@pytest.mark.timeout(900)
def test_topics_buses_and_schedules(tmp_path: Path, server: RunningServer, terraform: Terraform) -> None:
    # The queues are made here: Terraform waits half a minute for each, and another test does that.
    sqs, events = server.client("sqs"), server.client("events")
    allowed = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    inbox = sqs.create_queue(QueueName="tf-events-inbox", Attributes={"Policy": policy})["QueueUrl"]
    source = "def handler(event, context):\n    return event\n"
    (tmp_path / "function.zip").write_bytes(zipped({"f.py": source}))
    configuration = provider(SERVICES) + CONFIGURATION.replace("RUNTIME", default_runtime())
    (tmp_path / "main.tf").write_text(configuration)
    terraform("init", "-input=false")
    terraform("apply", "-input=false", "-auto-approve")
    terraform("plan", "-input=false", "-detailed-exitcode")

    # What was applied works: an event through the bus to the queue, and through the topic's filter, raw.
    entry = {"Source": "shop", "DetailType": "d", "EventBusName": "tf-events", "Detail": '{"total": 150}'}
    events.put_events(Entries=[entry])
    [message] = sqs.receive_message(QueueUrl=inbox, WaitTimeSeconds=20)["Messages"]
    assert json.loads(message["Body"]) == {"total": 150, "by": "tf"}
    total = {"total": {"DataType": "Number", "StringValue": "150"}}
    topic = "arn:aws:sns:us-east-1:000000000000:tf-events"
    server.client("sns").publish(TopicArn=topic, Message="raw", MessageAttributes=total)
    bodies: set[str] = set()
    while "raw" not in bodies:
        bodies |= {one["Body"] for one in sqs.receive_message(QueueUrl=inbox, WaitTimeSeconds=20)["Messages"]}

    assert events.describe_archive(ArchiveName="tf-events")["EventCount"] == 1
    changes = ("-var", "least=200", "-var", "text=changed")
    terraform("apply", "-input=false", "-auto-approve", *changes)
    terraform("plan", "-input=false", "-detailed-exitcode", *changes)
    assert events.describe_rule(Name="tf-orders", EventBusName="tf-events")["Description"] == "changed"
    terraform("destroy", "-input=false", "-auto-approve", *changes)
    assert not [one for one in server.client("sns").list_topics()["Topics"] if "tf-events" in one["TopicArn"]]
    assert not [one for one in server.client("sns").list_subscriptions()["Subscriptions"]
                if "tf-events" in one["TopicArn"]]  # fmt: skip
    assert "tf-events" not in [bus["Name"] for bus in events.list_event_buses()["EventBuses"]]
    assert events.list_archives(NamePrefix="tf-events")["Archives"] == []
    groups = server.client("scheduler").list_schedule_groups()["ScheduleGroups"]
    assert "tf-events" not in [group["Name"] for group in groups]
