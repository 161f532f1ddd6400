"""Event templates against the models of AWS Lambda Powertools: names and types are as functions expect them."""

from __future__ import annotations

from typing import Any

import pytest
from aws_lambda_powertools.utilities.data_classes import (
    active_mq_event,
    aws_config_rule_event,
    cloud_watch_alarm_event,
    code_deploy_lifecycle_hook_event,
    code_pipeline_job_event,
    connect_contact_flow_event,
    rabbit_mq_event,
    secrets_manager_event,
)
from aws_lambda_powertools.utilities.parser import models
from pydantic import TypeAdapter

from tests.unit.cli.test_templates import event

MODELS = {
    "alb": models.AlbModel,
    "apigateway-http": models.APIGatewayProxyEventV2Model,
    "apigateway-http-authorizer": models.ApiGatewayAuthorizerRequestV2,
    "apigateway-rest": models.APIGatewayProxyEventModel,
    "apigateway-rest-authorizer-request": models.ApiGatewayAuthorizerRequest,
    "apigateway-rest-authorizer-token": models.ApiGatewayAuthorizerToken,
    "apigateway-websocket-connect": models.APIGatewayWebSocketConnectEventModel,
    "apigateway-websocket-disconnect": models.APIGatewayWebSocketDisconnectEventModel,
    "apigateway-websocket-message": models.APIGatewayWebSocketMessageEventModel,
    "appsync": models.AppSyncResolverEventModel,
    "bedrock-agent": models.BedrockAgentEventModel,
    "cloudformation-create": models.CloudFormationCustomResourceCreateModel,
    "cloudformation-delete": models.CloudFormationCustomResourceDeleteModel,
    "cloudformation-update": models.CloudFormationCustomResourceUpdateModel,
    "cloudwatch-logs": models.CloudWatchLogsModel,
    "cognito-create-auth-challenge": models.CognitoCreateAuthChallengeTriggerModel,
    "cognito-custom-message": models.CognitoCustomMessageTriggerModel,
    "cognito-define-auth-challenge": models.CognitoDefineAuthChallengeTriggerModel,
    "cognito-migrate-user": models.CognitoMigrateUserTriggerModel,
    "cognito-post-authentication": models.CognitoPostAuthenticationTriggerModel,
    "cognito-post-confirmation": models.CognitoPostConfirmationTriggerModel,
    "cognito-pre-authentication": models.CognitoPreAuthenticationTriggerModel,
    "cognito-pre-sign-up": models.CognitoPreSignupTriggerModel,
    "cognito-pre-token-generation": models.CognitoPreTokenGenerationTriggerModelV1,
    "dynamodb-stream": models.DynamoDBStreamModel,
    "dynamodb-stream-ttl": models.DynamoDBStreamModel,
    "eventbridge": models.EventBridgeModel,
    "eventbridge-ec2-state": models.EventBridgeModel,
    "eventbridge-s3": models.S3EventNotificationEventBridgeModel,
    "firehose": models.KinesisFirehoseModel,
    "function-url": models.LambdaFunctionUrlModel,
    "kafka": models.KafkaSelfManagedEventModel,
    "kinesis": models.KinesisDataStreamModel,
    "msk": models.KafkaMskEventModel,
    "s3-batch-operations": models.S3BatchOperationModel,
    "s3-copy": models.S3Model,
    "s3-delete": models.S3Model,
    "s3-delete-marker": models.S3Model,
    "s3-multipart": models.S3Model,
    "s3-object-lambda": models.S3ObjectLambdaEvent,
    "s3-put": models.S3Model,
    "s3-restore-completed": models.S3Model,
    "schedule": models.EventBridgeModel,
    "ses": models.SesModel,
    "sns": models.SnsModel,
    "sqs": models.SqsModel,
    "sqs-fifo": models.SqsModel,
}


@pytest.mark.parametrize("name", sorted(MODELS))
def test_powertools_parses_it(name: str) -> None:
    model: Any = MODELS[name]
    TypeAdapter(model).validate_python(event(name))


def test_data_classes_read_it() -> None:
    """Where there is no model: what a function reads through a data class is there."""
    active = next(active_mq_event.ActiveMQEvent(event("mq-activemq")).messages)
    assert (active.json_data, active.destination_physicalname) == ({"horse": 7}, "feed")
    (queue, messages), *_ = rabbit_mq_event.RabbitMQEvent(event("mq-rabbitmq")).rmq_messages_by_queue.items()
    assert (queue, messages[0].json_data, messages[0].basic_properties.expiration) == ("feed::/", {"horse": 7}, "60000")
    job = code_pipeline_job_event.CodePipelineJobEvent(event("codepipeline"))
    assert (job.decoded_user_parameters, job.input_bucket_name) == ({"stage": "test"}, "pipeline-artifacts")
    rule = aws_config_rule_event.AWSConfigRuleEvent(event("config-rule"))
    assert (rule.rule_parameters, rule.config_rule_name) == ({"wanted": "encrypted"}, "buckets-are-encrypted")
    assert rule.invoking_event.raw_event["configurationItem"]["resourceId"] == "pictures"
    assert aws_config_rule_event.AWSConfigRuleEvent(event("config-rule-scheduled")).invoking_event.raw_event[
        "recordVersion"
    ]
    rotation = secrets_manager_event.SecretsManagerEvent(event("secretsmanager-rotation"))
    assert (rotation.step, rotation.version_id) == ("createSecret", rotation.client_request_token)
    assert connect_contact_flow_event.ConnectContactFlowEvent(event("connect")).parameters == {"horse": "Juno"}
    assert code_deploy_lifecycle_hook_event.CodeDeployLifecycleHookEvent(
        event("codedeploy-hook")
    ).deployment_id.startswith("d-")
    alarm = cloud_watch_alarm_event.CloudWatchAlarmEvent(event("cloudwatch-alarm"))
    assert (alarm.alarm_data.state.value, alarm.alarm_data.state.reason_data_decoded["threshold"]) == ("ALARM", 1.0)
