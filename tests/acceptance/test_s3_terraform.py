"""Buckets by Terraform's own AWS provider, with every companion resource that buckets usually have."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.support.server import RunningServer, default_runtime, zipped
from tests.support.terraform import Terraform

CONFIGURATION = """
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

variable "endpoint" {}
variable "changed" { default = false }

provider "aws" {
  region                  = "us-east-1"
  access_key              = "000000000000"
  secret_key              = "test"
  skip_metadata_api_check = true
  s3_use_path_style       = true
  endpoints {
    lambda = var.endpoint
    iam    = var.endpoint
    sts    = var.endpoint
    sqs    = var.endpoint
    s3     = var.endpoint
  }
}

resource "aws_s3_bucket" "pictures" {
  bucket = "terraformed-pictures"
  tags   = { Team = var.changed ? "red" : "blue" }
}

resource "aws_s3_bucket_versioning" "pictures" {
  bucket = aws_s3_bucket.pictures.id
  versioning_configuration { status = "Enabled" }
}

resource "aws_s3_bucket_public_access_block" "pictures" {
  bucket                  = aws_s3_bucket.pictures.id
  block_public_acls       = true
  ignore_public_acls      = true
  block_public_policy     = false
  restrict_public_buckets = var.changed
}

resource "aws_s3_bucket_policy" "pictures" {
  bucket     = aws_s3_bucket.pictures.id
  depends_on = [aws_s3_bucket_public_access_block.pictures]
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{
      Sid = "read", Effect = "Allow", Principal = "*", Action = "s3:GetObject"
      Resource = "${aws_s3_bucket.pictures.arn}/public/*"
    }]
  })
}

resource "aws_s3_bucket_cors_configuration" "pictures" {
  bucket = aws_s3_bucket.pictures.id
  cors_rule {
    allowed_headers = ["*"]
    allowed_methods = var.changed ? ["GET", "PUT"] : ["GET"]
    allowed_origins = ["https://shop.example"]
    expose_headers  = ["ETag"]
    max_age_seconds = 3000
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "pictures" {
  bucket     = aws_s3_bucket.pictures.id
  depends_on = [aws_s3_bucket_versioning.pictures]
  rule {
    id     = "logs"
    status = "Enabled"
    filter { prefix = "logs/" }
    expiration { days = 30 }
    abort_incomplete_multipart_upload { days_after_initiation = 7 }
  }
  rule {
    id     = "old"
    status = "Enabled"
    filter {
      and {
        prefix = "tmp/"
        tags   = { kind = "draft" }
      }
    }
    noncurrent_version_expiration {
      noncurrent_days           = 10
      newer_noncurrent_versions = 3
    }
  }
}

resource "aws_s3_bucket_ownership_controls" "pictures" {
  bucket = aws_s3_bucket.pictures.id
  rule { object_ownership = "BucketOwnerEnforced" }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "pictures" {
  bucket = aws_s3_bucket.pictures.id
  rule {
    apply_server_side_encryption_by_default { sse_algorithm = "AES256" }
  }
}

resource "aws_s3_object" "hello" {
  bucket       = aws_s3_bucket.pictures.id
  key          = "public/a b.txt"
  content      = var.changed ? "hello again" : "hello"
  content_type = "text/plain"
  depends_on   = [aws_s3_bucket_versioning.pictures]
  tags         = { kind = "greeting" }
}

resource "aws_iam_role" "role" {
  name               = "terraformed-pictures"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "sts:AssumeRole", Principal = { Service = "lambda.amazonaws.com" } }]
  })
}

resource "aws_lambda_function" "seeing" {
  function_name = "terraformed-seeing"
  role          = aws_iam_role.role.arn
  runtime       = "RUNTIME"
  handler       = "f.handler"
  filename      = "function.zip"
}

resource "aws_lambda_permission" "pictures" {
  statement_id   = "bucket"
  action         = "lambda:InvokeFunction"
  function_name  = aws_lambda_function.seeing.function_name
  principal      = "s3.amazonaws.com"
  source_arn     = aws_s3_bucket.pictures.arn
  source_account = "000000000000"
}

resource "aws_sqs_queue" "gone" {
  name   = "terraformed-gone"
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{
      Effect = "Allow", Principal = { Service = "s3.amazonaws.com" }, Action = "sqs:SendMessage"
      Resource = "arn:aws:sqs:us-east-1:000000000000:terraformed-gone"
      Condition = { ArnEquals = { "aws:SourceArn" = aws_s3_bucket.pictures.arn } }
    }]
  })
}

resource "aws_s3_bucket_notification" "pictures" {
  bucket      = aws_s3_bucket.pictures.id
  eventbridge = var.changed
  lambda_function {
    lambda_function_arn = aws_lambda_function.seeing.arn
    events              = ["s3:ObjectCreated:*"]
    filter_prefix       = "in/"
    filter_suffix       = ".jpg"
  }
  queue {
    queue_arn = aws_sqs_queue.gone.arn
    events    = ["s3:ObjectRemoved:*"]
  }
  depends_on = [aws_lambda_permission.pictures]
}
"""


@pytest.mark.timeout(900)
def test_buckets_are_applied_found_unchanged_changed_and_destroyed(
    tmp_path: Path, server: RunningServer, terraform: Terraform
) -> None:
    (tmp_path / "function.zip").write_bytes(zipped({"f.py": "def handler(event, context):\n    return 1\n"}))
    (tmp_path / "main.tf").write_text(CONFIGURATION.replace("RUNTIME", default_runtime()))
    changed = ("-var", "changed=true")
    terraform("init", "-input=false")
    terraform("apply", "-input=false", "-auto-approve")
    terraform("plan", "-input=false", "-detailed-exitcode")
    s3, bucket = server.client("s3"), "terraformed-pictures"
    assert s3.get_object(Bucket=bucket, Key="public/a b.txt")["Body"].read() == b"hello"
    terraform("apply", "-input=false", "-auto-approve", *changed)
    terraform("plan", "-input=false", "-detailed-exitcode", *changed)
    assert s3.get_object(Bucket=bucket, Key="public/a b.txt")["Body"].read() == b"hello again"
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == [{"Key": "Team", "Value": "red"}]
    assert s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"][0]["Expiration"] == {"Days": 30}
    assert json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])["Statement"][0]["Sid"] == "read"
    assert s3.get_bucket_cors(Bucket=bucket)["CORSRules"][0]["AllowedMethods"] == ["GET", "PUT"]
    notified = s3.get_bucket_notification_configuration(Bucket=bucket)
    assert (len(notified["QueueConfigurations"]), "EventBridgeConfiguration" in notified) == (1, True)
    terraform("destroy", "-input=false", "-auto-approve", *changed)
    with pytest.raises(ClientError, match="404"):
        s3.head_bucket(Bucket=bucket)
