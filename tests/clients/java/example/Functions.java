// See ../../README.md.
package example;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import com.amazonaws.services.lambda.runtime.logging.LogLevel;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

public class Functions implements RequestHandler<Map<String, Object>, Object> {
  static {
    String what = System.getenv("AT_INIT");
    if ("raise".equals(what)) throw new IllegalStateException("not today");
    if ("sleep".equals(what)) sleep();
  }

  private static void sleep() {
    sleep(60_000);
  }

  private static void sleep(int milliseconds) {
    try {
      Thread.sleep(milliseconds);
    } catch (InterruptedException error) {
      throw new IllegalStateException(error);
    }
  }

  public Object handleRequest(Map<String, Object> event, Context context) {
    System.out.println("a line of the function");
    context.getLogger().log("a record", LogLevel.WARN);
    switch ((String) event.get("do")) {
      case "raise":
      case "panic":
        throw new IllegalArgumentException("boom");
      case "exit":
        Runtime.getRuntime().halt(3);
      case "sleep":
        sleep();
        return null;
      case "fill":
        List<byte[]> all = new ArrayList<>();
        for (; ; ) {
          byte[] one = new byte[8 << 20];
          Arrays.fill(one, (byte) 1);
          all.add(one);
        }
      case "large":
        return "x".repeat((6 << 20) + 200);
      case "read":
        try {
          return Files.readString(Path.of((String) event.get("path")));
        } catch (IOException error) {
          throw new IllegalStateException(error);
        }
      default:
    }
    Map<String, Object> found = new HashMap<>();
    found.put("event", event);
    found.put("id", context.getAwsRequestId());
    found.put("arn", context.getInvokedFunctionArn());
    found.put("left_ms", context.getRemainingTimeInMillis());
    sleep(20);
    found.put("later_ms", context.getRemainingTimeInMillis());
    found.put("memory", String.valueOf(context.getMemoryLimitInMB()));
    found.put("name", context.getFunctionName());
    found.put("version", context.getFunctionVersion());
    found.put("group", context.getLogGroupName());
    found.put("stream", context.getLogStreamName());
    found.put("custom", context.getClientContext() == null ? null : context.getClientContext().getCustom());
    found.put("env", System.getenv());
    return found;
  }
}
