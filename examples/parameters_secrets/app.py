"""A function that reads a parameter and a secret through the extension beside it, without an SDK."""

import json
import os
import urllib.parse
import urllib.request


def get(path, **query):
    request = urllib.request.Request(
        f"http://localhost:2773{path}?{urllib.parse.urlencode(query)}",
        headers={"X-Aws-Parameters-Secrets-Token": os.environ["AWS_SESSION_TOKEN"]},
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def handler(event, context):
    parameter = get("/systemsmanager/parameters/get", name=event["parameter"], withDecryption="true")
    secret = get("/secretsmanager/get", secretId=event["secret"])
    return {"parameter": parameter["Parameter"]["Value"], "secret": secret["SecretString"]}
