import { describe, expect, test } from 'vitest'
import { startChild } from './harness/child.ts'
import { natsVersion, pathWithNats } from './harness/nats-server.ts'

async function bench(...args: string[]) {
  const env = { PATH: pathWithNats }
  await using child = startChild(process.execPath, ['scripts/bench/main.ts', ...args], { env })
  return { status: await child.ended, lines: child.lines }
}

describe('npm run bench', { timeout: 60_000 }, () => {
  test.skipIf(!natsVersion)('prints a table, and that every play that was answered is counted', async () => {
    const { status, lines } = await bench(
      '--seconds',
      '1',
      '--rounds',
      '1',
      '--connections',
      '4',
      '--no-replay',
      '--observed',
    )
    expect(status).toBe(0)
    const row = (name: string) =>
      lines
        .find((line) => line.includes(`4  ${name} `))
        ?.trim()
        .split(/ {2,}/) ?? []
    const [, , plays, p50, p99, ratio, failed, ...cpu] = row('the system')
    expect(Number(plays?.replaceAll(',', ''))).toBeGreaterThan(100)
    expect(Number(p50)).toBeGreaterThanOrEqual(0)
    expect(Number(p99)).toBeGreaterThanOrEqual(Number(p50))
    expect(Number(ratio)).toBeGreaterThan(0)
    expect(failed).toBe('0')
    expect(cpu.map(Number).filter((microseconds) => microseconds > 0)).toHaveLength(4)
    expect(row('bare Hono')[5]).toBe('1.00')
    expect(Number(row('traced, scraped')[5])).toBeGreaterThan(0)
    const sums = lines.flatMap((line) => [...line.matchAll(/^plays answered ([\d,]+) = views counted ([\d,]+),/g)])
    expect(sums).toHaveLength(2)
    for (const [, answered, counted] of sums) expect(counted).toBe(answered)
    const live = /^live counts .* cost reporting -?[\d.]+ % of a core, .* [\d.]+ events\/s of [\d,]+ bytes to each$/m
    expect(lines.join('\n')).toMatch(live)
  })

  test('an argument that is wrong ends it with status 2 and one line', async () => {
    for (const args of [['--rounds', 'many'], ['--connections', '1,'], ['--fast']]) {
      const { status, lines } = await bench(...args)
      expect(status).toBe(2)
      expect(lines).toEqual([expect.stringContaining(String(args[0]))])
    }
  })
})
