import { spawnSync } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { hasPromtool } from './harness/prometheus-server.ts'

const source = await readFile('deploy/alerts.yml', 'utf8')
const cases = await readFile('deploy/alerts.test.yml', 'utf8')
const operating = await readFile('docs/operating.md', 'utf8')
const alerts = [...source.matchAll(/^ +- alert: (\w+)$/gm)].map(([, name]) => name as string)

test.skipIf(!hasPromtool).each([
  ['check', 'config', 'deploy/prometheus.yml'],
  ['check', 'rules', 'deploy/alerts.yml'],
  ['test', 'rules', 'deploy/alerts.test.yml'],
])('promtool %s %s %s', (...args) => {
  const { status, stdout, stderr } = spawnSync('promtool', args, { encoding: 'utf8' })
  expect({ status, output: stdout + stderr }).toEqual({ status: 0, output: expect.stringContaining('SUCCESS') })
})

test('deploy/alerts.yml contains alerts', () => expect(alerts).not.toEqual([]))

test.each(alerts)('%s has a runbook, a test case in which it fires, and one in which it does not', (name) => {
  const expected = cases.split('- alertname: ').filter((text) => text.startsWith(`${name}\n`))
  const firing = expected.filter((text) => text.includes('exp_alerts'))
  expect(firing).not.toEqual([])
  expect(firing.length).toBeLessThan(expected.length)
  expect(source).toContain(`runbook: docs/operating.md#${name.toLowerCase()}\n`)
  expect(operating).toContain(`<a id="${name.toLowerCase()}"></a>\`${name}\``)
})
