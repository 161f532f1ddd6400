// See ../README.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

func handle(ctx context.Context, event map[string]any) (any, error) {
	fmt.Println("a line of the function")
	switch event["do"] {
	case "raise":
		return nil, errors.New("boom")
	case "panic":
		panic("boom")
	case "exit":
		os.Exit(3)
	case "sleep":
		time.Sleep(time.Minute)
	case "fill":
		var all [][]byte
		for {
			one := make([]byte, 8<<20)
			for i := range one {
				one[i] = 1
			}
			all = append(all, one)
		}
	case "large":
		return strings.Repeat("x", (6<<20)+200), nil
	case "read":
		content, err := os.ReadFile(event["path"].(string))
		return string(content), err
	}
	it, _ := lambdacontext.FromContext(ctx)
	deadline, _ := ctx.Deadline()
	left := time.Until(deadline)
	time.Sleep(20 * time.Millisecond)
	environment := map[string]string{}
	for _, one := range os.Environ() {
		name, value, _ := strings.Cut(one, "=")
		environment[name] = value
	}
	return map[string]any{
		"event": event, "id": it.AwsRequestID, "arn": it.InvokedFunctionArn,
		"left_ms": left.Milliseconds(), "later_ms": time.Until(deadline).Milliseconds(),
		"memory": fmt.Sprint(lambdacontext.MemoryLimitInMB), "name": lambdacontext.FunctionName,
		"version": lambdacontext.FunctionVersion, "group": lambdacontext.LogGroupName,
		"stream": lambdacontext.LogStreamName, "custom": it.ClientContext.Custom, "env": environment,
	}, nil
}

func main() {
	switch os.Getenv("AT_INIT") {
	case "raise":
		panic("not today")
	case "sleep":
		time.Sleep(time.Minute)
	}
	lambda.Start(handle)
}
