import { describe, expect, test } from 'vitest'
import { hasWrk } from '../scripts/bench/load.ts'
import { startNaivePlay } from '../scripts/bench/targets.ts'
import { startChild } from './harness/child.ts'
import { natsVersion, pathWithNats } from './harness/nats-server.ts'
import { metric, play } from './harness/plays.ts'
import { startSystem } from './harness/system.ts'

async function bench(...args: string[]) {
  const env = { PATH: pathWithNats }
  await using child = startChild(process.execPath, ['scripts/bench/main.ts', ...args], { env })
  return { status: await child.ended, lines: child.lines }
}

/** The cells of each table row, keyed by row name. */
function toRows(lines: string[]): Map<string, string[]> {
  return new Map(
    lines.flatMap((line) => {
      const [connections, name = '', ...cells] = line.trim().split(/ {2,}/)
      return connections === '4' ? [[name, cells]] : []
    }),
  )
}

const SHORT = ['--seconds', '1', '--rounds', '1', '--connections', '4', '--no-replay']

describe('npm run bench', () => {
  test.skipIf(!natsVersion)('prints a table, and checks that every play is counted', async () => {
    const { status, lines } = await bench(...SHORT, '--naive', '--plays', '2', '--capabilities', 'signing,tracing')
    expect(status, lines.join('\n')).toBe(0)
    const rows = toRows(lines)
    const shared = '2 plays on one port'
    const capabilities = ['all of them off', 'URLs signed', 'traced, scraped']
    const naive = ['without the cache', 'without batched lookups', 'without group commit', 'without all three']
    expect([...rows.keys()]).toEqual(['the system', shared, ...naive, 'bare Hono', ...capabilities])

    for (const name of ['the system', shared, ...naive, ...capabilities]) {
      const [plays = '', p50, p99, ratio, failed, sum, ...cpu] = rows.get(name) ?? []
      expect(Number(plays.replaceAll(',', '')), name).toBeGreaterThan(0)
      expect(Number(p99), name).toBeGreaterThanOrEqual(Number(p50))
      expect(Number(ratio), name).toBeGreaterThan(0)
      expect(failed, name).toBe('0')
      expect(
        cpu.map(Number).filter((microseconds) => microseconds > 0),
        name,
      ).toHaveLength(4)
      expect(Number(sum), name).toBeCloseTo(
        cpu.map(Number).reduce((total, each) => total + each),
        0,
      )
    }
    expect(rows.get('bare Hono')?.[3]).toBe('1.00')

    const sums = lines.flatMap((line) => [...line.matchAll(/^plays served ([\d,]+) = views counted ([\d,]+),/g)])
    expect(sums).toHaveLength(3)
    for (const [, served, counted] of sums) expect(counted).toBe(served)
    const live = /^live counts .* cost reporting -?[\d.]+% of a core, .* [\d.]+ events\/s of [\d,]+ bytes to each$/m
    expect(lines.join('\n')).toMatch(live)
  })

  test.skipIf(!natsVersion)('--report measures capabilities, an open-loop load and the layers of a play', async () => {
    const { status, lines } = await bench(...SHORT, '--no-live', '--report', '--capabilities', 'identity,embedded')
    const output = lines.join('\n')
    expect(status, output).toBe(0)
    const rows = toRows(lines)
    for (const name of ['all of them off', 'identity, tokens cached', 'embedded, without NATS']) {
      const [plays = '', , , ratio, failed] = rows.get(name) ?? []
      expect(Number(plays.replaceAll(',', '')), name).toBeGreaterThan(0)
      expect(Number(ratio), name).toBeGreaterThan(0)
      expect(failed, name).toBe('0')
    }

    for (const layer of ['HTTP and routing', 'middleware', 'lookup', 'append']) {
      expect(output).toMatch(new RegExp(`^${layer} +[1-9\\d.]*[1-9]`, 'm'))
    }
    if (hasWrk) {
      expect(output).toMatch(/^the system: p99 \/ p50 = \d+\.\d$/m)
      expect(output).toMatch(
        /^at the same time as 200 requests\/s of bare Hono: p99 [\d.]+ and [\d.]+ ms, ratio [\d.]+, 0 failed$/m,
      )
      const isLinux = process.platform === 'linux'
      expect(output).toMatch(isLinux ? /^play( +\d+\.\d){4} +\d+% +\d+%$/m : /^play( +\d+\.\d){4}$/m)
    }
    const sums = [...output.matchAll(/^plays served ([\d,]+) = views counted ([\d,]+),/gm)]
    expect(sums).toHaveLength(3)
  })

  test.skipIf(!natsVersion)('--disk prints the bytes of disk per view', async () => {
    const { status, lines } = await bench('--disk', '--seconds', '1', '--connections', '2')
    expect(status, lines.join('\n')).toBe(0)
    expect(lines.at(-1)).toMatch(
      /^ +2 connections: +[\d,]+ views, +[\d.]+ per message: +\d+ bytes of disk per view \(\d+ /,
    )
  })

  test.skipIf(!natsVersion)('replaces only the selected strategies with naive ones', async () => {
    await using system = await startSystem()
    const samples = {
      cache: /^catalogue_cache_reads_total\{source="metadata",outcome="miss"/,
      lookups: /^play_group_size_count\{group="lookup"/,
      commit: /^play_group_size_count\{group="append"/,
    }
    for (const replaced of Object.keys(samples)) {
      await using edge = await startNaivePlay(system, replaced)
      await Promise.all(Array.from({ length: 20 }, (_, n) => play(edge.url, '456', `user-${n}`)))
      for (const [strategy, sample] of Object.entries(samples)) {
        const calls = await metric(edge.url, sample)
        if (strategy === replaced) expect(calls, `${strategy} is naive`).toBe(20)
        else expect(calls, `${strategy} beside a naive ${replaced}`).toBeLessThan(20)
      }
    }
  })

  test.each([
    ['--rounds', 'many'],
    ['--connections', '1,'],
    ['--plays', '65'],
    ['--capabilities', 'magic'],
    ['--fast'],
  ])('rejects %s %s with status 2 and one line', async (...args) => {
    const { status, lines } = await bench(...args)
    expect(status).toBe(2)
    expect(lines).toEqual([expect.stringContaining(String(args[0]))])
  })
})
