import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { createTempDirectory } from '../../../tests/harness/temp-directory.ts'
import type { Supervised } from '../supervised.ts'
import { createControlsApp } from './app.ts'
import { createCheckpointControl } from './checkpoint.ts'
import type { OwnCommand } from './commands.ts'

const reporting: Supervised = {
  name: 'reporting',
  status: async () => ({ name: 'reporting', state: 'running', pid: 1, starts: 1, lastExit: null, until: null }),
  crash: () => true,
  hang: () => true,
  resume: () => true,
  restart: () => {},
}
const command: OwnCommand = {
  status: () => ({ command: 'none', state: 'idle', line: '' }),
  run: () => true,
  stop: () => {},
  [Symbol.asyncDispose]: async () => {},
}

async function createApp() {
  const directory = await createTempDirectory('controls-app')
  onTestFinished(() => directory[Symbol.asyncDispose]())
  const app = createControlsApp({
    isAllowed: () => true,
    processes: [reporting],
    unhangable: new Set(),
    isEdge: () => false,
    checkpoint: createCheckpointControl(directory.path, 'v1'),
    seed: command,
    simulate: command,
    commandArgs: [],
    prefetch: async () => ({ sent: 0, answered: 0, views: 0 }),
    tour: () => ({ granted: true, step: '' }),
  })
  return { app, directory: directory.path }
}

test.each(['stop', 'kill', 'replay'])('POST /controls/%s, which names no process, returns 404', async (name) => {
  const { app } = await createApp()
  const response = await app.request(`/controls/${name}`, { method: 'POST' })
  expect(response.status).toBe(404)
  expect(await response.json()).toMatchObject({ errors: [{ path: 'controls', message: expect.any(String) }] })
})

test('if a checkpoint cannot be deleted, the response is 503, and the supervisor does not crash', async () => {
  const { app, directory } = await createApp()
  await mkdir(join(directory, 'checkpoint-reporting.bin.replayed'))
  const response = await app.request('/controls/reporting/keep', { method: 'POST' })
  expect(response.status).toBe(503)
  expect(await response.json()).toMatchObject({ errors: [{ message: expect.stringContaining('directory') }] })
})
