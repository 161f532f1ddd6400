// See ../README.md.
import { readFileSync } from 'node:fs'

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

if (process.env.AT_INIT === 'raise') throw new RangeError('not today')
if (process.env.AT_INIT === 'sleep') await sleep(60_000)

export const handler = async (event, context) => {
  console.log('a line of the function')
  console.warn('a record')
  switch (event.do) {
    case 'raise':
    case 'panic':
      throw new RangeError('boom')
    case 'exit':
      process.exit(3)
    case 'sleep':
      return await sleep(60_000)
    case 'fill': {
      const all = []
      for (;;) all.push(Buffer.alloc(8 << 20, 1))
    }
    case 'large':
      return 'x'.repeat((6 << 20) + 200)
    case 'read':
      return readFileSync(event.path, 'utf8')
  }
  const leftMs = context.getRemainingTimeInMillis()
  await sleep(20)
  return {
    event,
    id: context.awsRequestId,
    arn: context.invokedFunctionArn,
    left_ms: leftMs,
    later_ms: context.getRemainingTimeInMillis(),
    memory: context.memoryLimitInMB,
    name: context.functionName,
    version: context.functionVersion,
    group: context.logGroupName,
    stream: context.logStreamName,
    custom: context.clientContext?.custom,
    env: { ...process.env },
    runtime: process.version,
  }
}
