import { sleep } from '../../shared/runtime/sleep.ts'

/** Returns the value of a metric, or NaN if it is missing. `name` includes the labels, if there are any. */
export function toMetric(metrics: string, name: string): number {
  const line = metrics.split('\n').find((line) => line.startsWith(`${name} `))
  return Number(line?.slice(name.length))
}

/** Samples a backlog, and if it is not empty, samples it again a second later to see whether it shrinks. */
export async function sampleTwice<T extends { backlog: number }>(take: () => Promise<T>): Promise<[T, T]> {
  const first = await take()
  if (!(first.backlog > 0)) return [first, first]
  await sleep(1_000)
  return [first, await take()]
}
