// See ../README.md.
import { readFileSync } from 'node:fs'

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

if (process.env.AT_INIT === 'raise') throw new RangeError('not today')
if (process.env.AT_INIT === 'sleep') await sleep(60_000)

export const handler = async (event, context) => {
  console.log('a line of the function')
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
  return {
    event,
    id: context.awsRequestId,
    arn: context.invokedFunctionArn,
    left_ms: context.getRemainingTimeInMillis(),
    own: process.env.OWN,
    memory: process.env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    name: process.env.AWS_LAMBDA_FUNCTION_NAME,
    runtime: process.version,
  }
}
