import { Agent, request } from 'undici'
import { eventually } from './eventually.ts'

/** Requests to a suspended process time out, because it accepts connections but never responds. */
const TIMEOUT_MS = 5_000

/** Sends a request over a new connection, so that it may reach any of the processes that share the port. */
export async function requestAnew(url: string, method: 'GET' | 'POST' = 'GET') {
  const dispatcher = new Agent({ connections: 1, pipelining: 0 })
  try {
    const { statusCode, body } = await request(url, { method, dispatcher, signal: AbortSignal.timeout(TIMEOUT_MS) })
    return { status: statusCode, text: await body.text() }
  } finally {
    await dispatcher.destroy()
  }
}

/** The metrics of each of the `count` processes that share a port, by process id. */
export async function metricsOfEach(edge: string, count: number): Promise<Map<number, string>> {
  const found = new Map<number, string>()
  await eventually(async () => {
    const { text } = await requestAnew(`${edge}/metrics`)
    found.set(sumOf(text, /^process_pid /), text)
    if (found.size < count) throw new Error(`only ${found.size} of ${count} processes have responded`)
  })
  return found
}

/** The sum of all matching samples over the processes that share a port. */
export async function metricOfAll(edge: string, count: number, line: RegExp): Promise<number> {
  const texts = await metricsOfEach(edge, count)
  return texts.values().reduce((sum, text) => sum + sumOf(text, line), 0)
}

function sumOf(text: string, line: RegExp): number {
  const samples = text.split('\n').filter((sample) => line.test(sample))
  return samples.reduce((sum, sample) => sum + Number(sample.split(' ').at(-1)), 0)
}
