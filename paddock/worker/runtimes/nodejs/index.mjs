// The managed Node.js runtime: what AWS's runtime client does, over frames on an inherited socket.
//
// The process boots ahead of time and blocks on the channel until it is assigned to a function; see
// ../python/bootstrap.py for the frames. During an event the channel does not keep the event loop alive, so that
// Node.js itself tells, by `beforeExit`, when a function has nothing left to wait for.

import { spawnSync } from "node:child_process";
import fs from "node:fs";
import inspector from "node:inspector";
import { createRequire, Module } from "node:module";
import net from "node:net";
import path from "node:path";
import { Writable } from "node:stream";
import { pathToFileURL } from "node:url";
import util from "node:util";
import v8 from "node:v8";

const [ASSIGN, INVOKE, NEXT, RESPONSE, ERROR, FAILED, BEGIN, CHUNK] = Buffer.from("AINREFBC");
const HEADER_BYTES = 8;
const RESPONSE_BYTES_MAX = 6 * 1024 * 1024 + 100;
const HEAD_BYTES_MAX = 65535;
const CHUNK_BYTES_MAX = 65536;
const TASK = "/var/task";
const EXIT_REJECTION = 128;
const EXIT_EXCEPTION = 129;
// A wrapper (../wrapper.py) may have started this process, with the script as its only argument.
const isWrapped = process.argv.length === 2;
const channelFd = Number(process.argv[2] ?? 3);
const telemetryFd = Number(process.argv[3] ?? 4);
const require = createRequire(import.meta.url);
const majorVersion = Number(process.versions.node.split(".")[0]);

// -- frames

function frame(kind, head, body) {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32BE(head.length + body.length, 0);
  header.writeUInt8(kind, 4);
  header.writeUInt16BE(head.length, 6);
  return Buffer.concat([header, head, body]);
}

function readExactly(size) {
  const data = Buffer.alloc(size);
  for (let at = 0; at < size; ) {
    const got = fs.readSync(channelFd, data, at, size - at);
    if (got === 0) process.exit(0); // Paddock is gone: nothing is left to serve
    at += got;
  }
  return data;
}

/** Blocks until the function is known. Reads not one byte more than that frame. */
function assignment() {
  const header = readExactly(HEADER_BYTES);
  const body = readExactly(header.readUInt32BE(0)).subarray(header.readUInt16BE(6));
  if (header[4] !== ASSIGN) throw new Error(`unexpected frame ${header[4]}`);
  return JSON.parse(body.toString());
}

/** For last words: everything is written when it returns. */
function writeNow(data) {
  for (let at = 0; at < data.length; ) {
    try {
      at += fs.writeSync(channelFd, data, at);
    } catch (error) {
      if (error.code === "EPIPE") return;
      if (error.code !== "EAGAIN") throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1); // the other side is reading
    }
  }
}

// -- a second start, for what only a fresh process can honour

const isReadAtStart = (name) => /^(NODE_|UV_|LD_|MALLOC_)/.test(name) && name !== "NODE_PATH" && name !== "NODE_ENV";

/** Settings that this process, which has started already, cannot honour: they need a process of their own. */
function startAgain(settings) {
  const environment = settings.environment;
  const heapMb = Math.floor(Number(environment.AWS_LAMBDA_FUNCTION_MEMORY_SIZE) * 0.9);
  const isTight = heapMb * 1024 * 1024 > v8.getHeapStatistics().heap_size_limit;
  const differs = Object.keys(environment).some((name) => isReadAtStart(name) && environment[name] !== process.env[name]);
  const wrapper = environment.AWS_LAMBDA_EXEC_WRAPPER;
  if (!isTight && !differs && !settings.data_bytes_max && !wrapper) return;
  const script = import.meta.filename ?? "/var/runtime/index.mjs";
  const options = isTight ? [`--max-old-space-size=${heapMb}`] : [];
  const runtime = [process.execPath, ...options, script];
  let command = wrapper ? [wrapper, ...runtime] : [...runtime, String(channelFd), String(telemetryFd)];
  if (wrapper) process.chdir(TASK);
  if (settings.data_bytes_max) {
    const limit = Math.floor(settings.data_bytes_max / 1024);
    command = ["/bin/sh", "-c", `ulimit -d ${limit}; exec "$@"`, "sh", ...command];
  }
  const given = { ...settings, data_bytes_max: undefined };
  const outlives = () => {}; // it is for the function's process, which gets it, too
  process.on("SIGTERM", outlives);
  const ended = spawnSync(command[0], command.slice(1), {
    stdio: ["inherit", "inherit", "inherit", channelFd, telemetryFd],
    env: wrapper ? environment : { ...environment, _PADDOCK_SETTINGS: JSON.stringify(given) },
  });
  process.off("SIGTERM", outlives);
  if (ended.signal) process.kill(process.pid, ended.signal);
  if (ended.error) {
    const reason = { ENOENT: "No such file or directory", EACCES: "Permission denied" }[ended.error.code];
    process.stderr.write(`/var/runtime/bootstrap: ${command[0]}: ${reason ?? ended.error.code}\n`);
  }
  process.exit(ended.status ?? (ended.error?.code === "ENOENT" ? 127 : 126)); // as the shell does on Lambda
}

// -- console

const LEVELS = { trace: "TRACE", debug: "DEBUG", info: "INFO", log: "INFO", warn: "WARN", error: "ERROR", fatal: "FATAL" };
const ORDER = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];
let currentId; // of the event inside, undefined before the first one
let currentTenant;

function jsonOf(error) {
  const stack = typeof error.stack === "string" ? error.stack.split("\n") : [];
  return { errorType: error.constructor?.name ?? "UnknownError", errorMessage: error.message, stackTrace: stack };
}

function jsonLine(level, now, values) {
  const record = { timestamp: now.toISOString(), level, requestId: currentId };
  if (currentTenant) record.tenantId = currentTenant;
  if (values.length === 1 && !(values[0] instanceof Error)) {
    try {
      const replaced = (_, value) => (value instanceof Error ? jsonOf(value) : value);
      return JSON.stringify({ ...record, message: values[0] }, replaced);
    } catch {
      return JSON.stringify({ ...record, message: util.format(values[0]) });
    }
  }
  const error = values.find((value) => value instanceof Error);
  return JSON.stringify({ ...record, message: util.format(...values), ...(error ? jsonOf(error) : {}) });
}

function patchConsole(environment) {
  const isJson = environment.AWS_LAMBDA_LOG_FORMAT === "JSON";
  const least = isJson ? ORDER.indexOf(environment.AWS_LAMBDA_LOG_LEVEL ?? "INFO") : 0;
  for (const [name, level] of Object.entries(LEVELS)) {
    const kind = ((isJson ? 0xa55a0002 : 0xa55a0003) + ((ORDER.indexOf(level) + 1) << 2)) >>> 0;
    const write = (...values) => {
      const now = new Date();
      const text = isJson
        ? jsonLine(level, now, values)
        : `${now.toISOString()}\t${currentId}\t${level}\t${util.format(...values)}`;
      const body = Buffer.from(`${text}\n`);
      const header = Buffer.alloc(16);
      header.writeUInt32BE(kind, 0);
      header.writeUInt32BE(body.length, 4);
      header.writeBigUInt64BE(BigInt(now.getTime()) * 1000n, 8);
      const whole = Buffer.concat([header, body]);
      for (let at = 0; at < whole.length; ) at += fs.writeSync(telemetryFd, whole, at);
    };
    console[name] = ORDER.indexOf(level) < least ? () => {} : write;
  }
}

// -- errors, as AWS's client words them

function runtimeError(type, message, extra = {}) {
  const error = Object.assign(new Error(message), extra);
  error.name = type;
  error.stack = `${type}: ${message}` + (error.stack ?? "").slice((error.stack ?? "").indexOf("\n    at "));
  return error;
}

function isError(value) {
  return value instanceof Error || util.types.isNativeError(value);
}

function toResponse(error) {
  if (!isError(error)) {
    return { errorType: typeof error, errorMessage: String(error), trace: [] };
  }
  return { errorType: error.name, errorMessage: error.message, trace: String(error.stack ?? "").split("\n") };
}

function withProperties(value) {
  if (!isError(value)) return value;
  const { name, message, code, stack } = value;
  return { errorType: name, errorMessage: message, code, ...value, name: undefined, stack: String(stack ?? "").split("\n") };
}

function toLog(error) {
  try {
    return `\t${JSON.stringify(error, (_, value) => withProperties(value))}`;
  } catch {
    return `\t${JSON.stringify(toResponse(error))}`;
  }
}

function errorHead(id, response) {
  const cause = JSON.stringify({
    working_directory: process.cwd(),
    exceptions: [{ type: response.errorType, message: response.errorMessage, stack: [] }],
    paths: [],
  });
  const head = Buffer.from(JSON.stringify({ id, cause }));
  return head.length <= HEAD_BYTES_MAX ? head : Buffer.from(JSON.stringify({ id }));
}

// -- the function's code

const badHandler = (text) => runtimeError("Runtime.MalformedHandlerName", text);

function isModule(file) {
  for (let folder = path.dirname(file); ; folder = path.dirname(folder)) {
    try {
      return JSON.parse(fs.readFileSync(path.join(folder, "package.json"))).type === "module";
    } catch (error) {
      if (error.code !== "ENOENT" && error.code !== "ENOTDIR") return false;
    }
    if (folder === path.dirname(folder)) return false;
  }
}

const isFile = (name) => fs.statSync(name, { throwIfNoEntry: false })?.isFile() ?? false;
const imported = (file) => import(pathToFileURL(file).href);

async function load(root, name) {
  const place = path.resolve(TASK, root, name);
  if (isFile(place)) return require(place);
  if (isFile(`${place}.js`)) return isModule(`${place}.js`) ? imported(`${place}.js`) : require(`${place}.js`);
  if (isFile(`${place}.mjs`)) return imported(`${place}.mjs`);
  if (isFile(`${place}.cjs`)) return require(`${place}.cjs`);
  return require(require.resolve(name, { paths: [TASK, path.resolve(TASK, root)] }));
}

async function findHandler(full) {
  if (full.includes("..")) {
    const advice = "Use absolute paths when specifying root directories in handler names.";
    throw badHandler(`'${full}' is not a valid handler name. ${advice}`);
  }
  const base = path.basename(full);
  const parts = /^([^.]*)\.(.*)$/.exec(base);
  if (!parts) throw badHandler("Bad handler");
  let module;
  try {
    module = await load(full.slice(0, full.length - base.length), parts[1]);
  } catch (error) {
    if (error instanceof SyntaxError) throw runtimeError("Runtime.UserCodeSyntaxError", String(error), { stack: error.stack });
    if (error?.code === "MODULE_NOT_FOUND") throw runtimeError("Runtime.ImportModuleError", String(error));
    throw error;
  }
  const handler = parts[2].split(".").reduce((value, name) => value?.[name], module);
  if (!handler) throw runtimeError("Runtime.HandlerNotFound", `${full} is undefined or not exported`);
  if (typeof handler !== "function") throw runtimeError("Runtime.HandlerNotFound", `${full} is not a function`);
  if (majorVersion >= 24 && !handler[STREAMING] && handler.length >= 3) {
    const text = "Callback-based function handlers are not supported: write an async handler instead.";
    throw runtimeError("Runtime.CallbackHandlerDeprecated", text);
  }
  return handler;
}

// -- streaming handlers; a buffered invocation gets what they wrote, as one, any other as they write it

const STREAMING = Symbol.for("aws.lambda.runtime.handler.streaming");
const METADATA_TYPE = "application/vnd.awslambda.http-integration-response";

class Collected extends Writable {
  parts = [];
  size = 0;
  contentType = "application/octet-stream";
  setContentType(type) {
    this.contentType = type;
  }
  _write(chunk, encoding, done) {
    this.size += chunk.length;
    if (this.size <= RESPONSE_BYTES_MAX + 1) this.parts.push(chunk); // the rest cannot be returned anyway
    done();
  }
  write(chunk, ...rest) {
    const isData = typeof chunk === "string" || chunk instanceof Uint8Array;
    return super.write(isData ? chunk : JSON.stringify(chunk), ...rest);
  }
}

/** What a handler writes leaves at once; `write` calls back when it has left, so a slow reader slows the handler. */
class Streamed extends Writable {
  contentType = "application/octet-stream";
  constructor(id, options) {
    super(options);
    this.id = id;
  }
  setContentType(type) {
    this.contentType = type;
  }
  _begin() {
    if (this.hasBegun) return;
    this.hasBegun = true;
    socket.write(frame(BEGIN, Buffer.from(JSON.stringify({ id: this.id, type: this.contentType })), Buffer.alloc(0)));
  }
  _write(chunk, encoding, done) {
    this._begin();
    const head = Buffer.from(JSON.stringify({ id: this.id }));
    for (let at = 0; at + CHUNK_BYTES_MAX < chunk.length; at += CHUNK_BYTES_MAX) {
      socket.write(frame(CHUNK, head, chunk.subarray(at, at + CHUNK_BYTES_MAX)));
    }
    const last = Math.max(0, Math.ceil(chunk.length / CHUNK_BYTES_MAX) - 1) * CHUNK_BYTES_MAX;
    socket.write(frame(CHUNK, head, chunk.subarray(last)), () => done()); // no more before this one has left
  }
  _final(done) {
    this._begin();
    done();
  }
  write(chunk, ...rest) {
    const isData = typeof chunk === "string" || chunk instanceof Uint8Array;
    return super.write(isData ? chunk : JSON.stringify(chunk), ...rest);
  }
}

globalThis.awslambda = {
  streamifyResponse(handler, options) {
    handler[STREAMING] = "response";
    if (options?.highWaterMark !== undefined) handler.highWaterMark = options.highWaterMark;
    return handler;
  },
  HttpResponseStream: {
    from(stream, metadata) {
      stream.setContentType(METADATA_TYPE);
      stream.write(Buffer.concat([Buffer.from(JSON.stringify(metadata)), Buffer.alloc(8)]));
      return stream;
    },
  },
};

// -- events

let socket;
let whenIdle; // what to do when the event loop has nothing left during an event

function contextOf(request, environment) {
  const clientContext = request.client_context ? JSON.parse(request.client_context) : undefined;
  return {
    callbackWaitsForEmptyEventLoop: true,
    functionVersion: environment.AWS_LAMBDA_FUNCTION_VERSION,
    functionName: environment.AWS_LAMBDA_FUNCTION_NAME,
    memoryLimitInMB: environment.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: environment.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: environment.AWS_LAMBDA_LOG_STREAM_NAME,
    clientContext,
    identity: undefined,
    invokedFunctionArn: request.arn,
    awsRequestId: request.id,
    tenantId: request.tenant,
    getRemainingTimeInMillis: () => request.deadline_ms - Date.now(),
  };
}

function askNext(...frames) {
  whenIdle = undefined;
  socket.ref();
  socket.write(Buffer.concat([...frames, frame(NEXT, Buffer.alloc(0), Buffer.alloc(0))]));
}

function fail(id, error) {
  console.error("Invoke Error", toLog(error));
  const response = toResponse(error);
  askNext(frame(ERROR, errorHead(id, response), Buffer.from(JSON.stringify(response))));
}

function succeed(id, result) {
  let body;
  try {
    if (result instanceof Streamed) body = Buffer.alloc(0);
    else body = result instanceof Collected ? Buffer.concat(result.parts) : Buffer.from(JSON.stringify(result ?? null) ?? "null");
  } catch {
    fail(id, new Error("Unable to stringify response body"));
    return;
  }
  const type = result instanceof Collected ? result.contentType : "application/json";
  askNext(frame(RESPONSE, Buffer.from(JSON.stringify({ id, type })), body));
}

function invoke(handler, environment, request, body) {
  const id = request.id;
  currentId = id;
  currentTenant = request.tenant;
  if (request.trace) process.env._X_AMZN_TRACE_ID = request.trace;
  else delete process.env._X_AMZN_TRACE_ID;
  let isOver = false;
  const over = (answer, value) => {
    if (isOver) return;
    isOver = true;
    answer(id, value);
  };
  socket.unref();
  whenIdle = () => over(succeed, null);
  let event, context;
  try {
    event = JSON.parse(body.toString());
    context = contextOf(request, environment);
  } catch (error) {
    over(fail, error);
    return;
  }
  const callback = (error, result) => {
    const [answer, value] = error === undefined || error === null ? [succeed, result] : [fail, error];
    if (context.callbackWaitsForEmptyEventLoop) whenIdle = () => over(answer, value);
    else setImmediate(over, answer, value);
  };
  const now = (error, result) => {
    context.callbackWaitsForEmptyEventLoop = false;
    callback(error, result);
  };
  try {
    if (handler[STREAMING]) {
      stream(handler, event, context, over, request.stream ? id : "");
      return;
    }
    if (majorVersion < 24) {
      context.done = now;
      context.succeed = (result) => now(null, result);
      context.fail = (error) => now(error ?? "handled");
    }
    const result = handler(event, context, majorVersion < 24 ? callback : undefined);
    if (typeof result?.then === "function") {
      result.then(
        (value) => over(succeed, value),
        (error) => over(fail, error ?? "handled"),
      );
    } else if (majorVersion >= 24) {
      over(succeed, result);
    }
  } catch (error) {
    over(fail, error ?? "handled");
  }
}

/** The event lasts until the handler is done and the stream has ended, whichever is later. */
function stream(handler, event, context, over, id) {
  const highWaterMark = handler.highWaterMark;
  const collected = id ? new Streamed(id, highWaterMark === undefined ? {} : { highWaterMark }) : new Collected();
  const result = handler(event, collected, context);
  if (typeof result?.then !== "function") {
    throw runtimeError("Runtime.MalformedStreamingHandler", "Streaming handler does not return a promise");
  }
  const ended = new Promise((resolve, reject) => collected.on("finish", resolve).on("error", reject));
  Promise.all([ended, result]).then(
    () => over(succeed, collected),
    (error) => over(fail, error ?? "handled"),
  );
}

/** Frames out of the stream of bytes. */
function receive(onFrame) {
  let parts = [];
  let size = 0;
  let needed = HEADER_BYTES;
  return (data) => {
    parts.push(data);
    size += data.length;
    while (size >= needed) {
      const buffer = parts.length === 1 ? parts[0] : Buffer.concat(parts);
      parts = [buffer];
      const end = HEADER_BYTES + buffer.readUInt32BE(0);
      needed = end;
      if (size < end) return;
      const headEnd = HEADER_BYTES + buffer.readUInt16BE(6);
      parts = [buffer.subarray(end)];
      size -= end;
      needed = HEADER_BYTES;
      onFrame(buffer[4], buffer.subarray(HEADER_BYTES, headEnd), buffer.subarray(headEnd, end));
    }
  };
}

/** The process cannot be trusted after this: it says why, and ends. */
function die(error, title, code) {
  console.error(title, toLog(error));
  const response = toResponse(error);
  const body = Buffer.from(JSON.stringify(response));
  writeNow(
    currentId === undefined
      ? frame(FAILED, Buffer.from(JSON.stringify({ type: response.errorType })), body)
      : frame(ERROR, errorHead(currentId, response), body),
  );
  process.exit(code);
}

/** Waits until one is there, where one is to come. */
function letDebuggerIn() {
  const port = Number(process.env._PADDOCK_DEBUG_PORT ?? 0);
  delete process.env._PADDOCK_DEBUG_PORT;
  if (!port) return;
  console.log("Waiting for a debugger.");
  inspector.open(port, "169.254.100.1", true);
}

async function main() {
  const again = process.env._PADDOCK_SETTINGS;
  let settings = again === undefined ? undefined : JSON.parse(again);
  if (isWrapped) settings = { environment: { ...process.env }, handler: process.env._HANDLER };
  if (settings === undefined) startAgain((settings = assignment()));
  const environment = settings.environment;
  for (const name of Object.keys(process.env)) if (!(name in environment)) delete process.env[name];
  Object.assign(process.env, environment);
  Module._initPaths(); // NODE_PATH was another when the process started
  process.argv.splice(2);
  process.chdir(TASK);
  patchConsole(environment);
  letDebuggerIn();
  process.on("uncaughtException", (error) => die(error, "Uncaught Exception", EXIT_EXCEPTION));
  process.on("unhandledRejection", (reason, promise) => {
    const text = reason?.toString();
    die(runtimeError("Runtime.UnhandledPromiseRejection", text, { reason, promise }), "Unhandled Promise Rejection", EXIT_REJECTION);
  });
  process.on("beforeExit", () => whenIdle?.());
  const handler = await findHandler(settings.handler);
  socket = new net.Socket({ fd: channelFd, readable: true, writable: true });
  socket.on("error", () => process.exit(0));
  socket.on("close", () => process.exit(0));
  socket.on("data", receive((kind, head, body) => {
    if (kind !== INVOKE) throw new Error(`unexpected frame ${kind}`);
    invoke(handler, environment, JSON.parse(head.toString()), body);
  }));
  askNext();
}

main().catch((error) => die(error, "Uncaught Exception", EXIT_EXCEPTION));
