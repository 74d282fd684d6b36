import { spawnSync } from 'node:child_process'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { unlessCiNeeds } from './harness/ci-needs.ts'
import { eventually } from './harness/eventually.ts'
import { natsVersion } from './harness/nats-server.ts'
import { play } from './harness/plays.ts'
import { type System, startSystem } from './harness/system.ts'

const hasPromtool = unlessCiNeeds('promtool', spawnSync('promtool', ['--version']).status === 0)

describe.skipIf(!natsVersion || !hasPromtool)('metrics', { timeout: 30_000 }, () => {
  let system: System
  beforeAll(async () => {
    system = await startSystem()
    await eventually(async () => expect((await play(system.play.url, '456', 'measured')).status).toBe(200))
  }, 30_000)
  afterAll(() => system?.[Symbol.asyncDispose]())

  test.each(['metadata', 'cdnurl', 'reporting', 'listener', 'play'] as const)(
    'promtool finds nothing in those of %s',
    async (name) => {
      const response = await fetch(`${system[name].url}/metrics`)
      expect(response.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/)
      const input = await response.text()
      expect(input).toContain('http_server_request_duration_seconds')
      expect(input).not.toMatch(/measured|="456"/)
      const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], { input, encoding: 'utf8' })
      expect({ status, found: stdout + stderr }).toEqual({ status: 0, found: '' })
    },
  )
})
