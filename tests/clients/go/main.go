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
	return map[string]any{
		"event": event, "id": it.AwsRequestID, "arn": it.InvokedFunctionArn,
		"left_ms": time.Until(deadline).Milliseconds(), "own": os.Getenv("OWN"),
		"memory": fmt.Sprint(lambdacontext.MemoryLimitInMB), "name": lambdacontext.FunctionName,
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
