import { expect, test } from 'vitest'
import type { ControlledProcess, Controls } from '../shared/contracts/controls.ts'
import type { SystemStatus } from '../shared/contracts/system-status.ts'
import { runStep } from './page/tour/runner.js'
import { steps } from './page/tour/steps.js'

type TourStep = Parameters<typeof runStep>[0]
type TourDriver = Parameters<typeof runStep>[1]

const nats: ControlledProcess = {
  name: 'nats-1',
  state: 'running',
  pid: 1,
  starts: 1,
  lastExit: null,
  until: null,
  actions: [],
}
const processes = [nats, { ...nats, name: 'play' }]
const on: Controls = { state: 'on', reason: null, can: ['kill'], processes, commands: {} }
const ready: SystemStatus = { status: 'ready', degraded: [], parts: {}, changes: 0 }

function setUp(step: Partial<TourStep> = {}, driver: Partial<TourDriver> = {}) {
  const undone: boolean[] = []
  const complete: TourStep = {
    id: 'step',
    run: async () => undefined,
    check: () => ({ ok: true, sentence: 'It worked.', facts: [] }),
    async undo(_, passed) {
      undone.push(passed)
    },
    ...step,
  }
  const result = runStep(complete, {
    controls: async () => on,
    status: async () => undefined,
    newUser: (id) => id,
    prepare: async () => {},
    untilReady: async () => ready,
    ...driver,
  })
  return { result, undone }
}

const fail = async () => {
  throw new Error('reporting is still down.')
}

test.each<{ name: string; step: Partial<TourStep>; outcome: string; undone: boolean[] }>([
  { name: 'passes', step: {}, outcome: 'passed', undone: [true] },
  {
    name: 'fails',
    step: { check: () => ({ ok: false, sentence: 'It did not work.', facts: [] }) },
    outcome: 'failed',
    undone: [false],
  },
  { name: 'throws', step: { run: fail }, outcome: 'failed', undone: [false] },
])('a step that $name is undone', async ({ step, outcome, undone }) => {
  const run = setUp(step)
  expect(await run.result).toMatchObject({ outcome })
  expect(run.undone).toEqual(undone)
})

test('a step fails if the system does not recover afterwards', async () => {
  expect(await setUp({ undo: fail }).result).toMatchObject({
    outcome: 'failed',
    sentence: 'It worked. The system did not recover: reporting is still down.',
  })
})

test.each<{ name: string; step: Partial<TourStep>; controls: Partial<Controls>; reason: string }>([
  {
    name: 'needs a control on a system without controls',
    step: { needs: ['kill'] },
    controls: { state: 'off', reason: 'All services share one process.', can: [], processes: [] },
    reason: 'All services share one process.',
  },
  {
    name: 'needs a control that is not offered',
    step: { needs: ['replay'] },
    controls: on,
    reason: 'Counts can be replayed only if they are in memory, and if nothing expires from the log.',
  },
  {
    name: 'kills a process that npm start does not run',
    step: { needs: ['kill'], kills: ['play', 'reporting'] },
    controls: on,
    reason: 'npm start does not run reporting here, so the tour cannot kill it.',
  },
])('a step that $name is skipped, and the result says why', async ({ step, controls, reason }) => {
  const run = setUp({ ...step, run: fail }, { controls: async () => ({ ...on, ...controls }) })
  expect(await run.result).toMatchObject({ outcome: 'skipped', sentence: reason })
  expect(run.undone).toEqual([])
})

test('if plays require a user token, a step is skipped before it breaks anything', async () => {
  const run = setUp(
    { run: fail },
    { status: async () => ({ ...ready, parts: { identity: { state: 'down' } } }), untilReady: fail },
  )
  expect(await run.result).toMatchObject({
    outcome: 'skipped',
    sentence: 'Plays require a user token here. To take the tour, start the system without AUTH_JWKS_URL.',
  })
  expect(run.undone).toEqual([])
})

test('a step can kill a service whose processes are numbered', async () => {
  expect(await setUp({ needs: ['kill'], kills: ['nats'] }).result).toMatchObject({ outcome: 'passed' })
})

test('the tour has eight steps, each with one right prediction, and a reason for every option', () => {
  expect(steps).toHaveLength(8)
  for (const { id, predict } of steps) {
    const right = predict.options.filter(({ isRight }) => isRight)
    expect([id, right.length]).toEqual([id, 1])
    expect(predict.options.length).toBeGreaterThan(1)
    for (const { reason } of predict.options) expect(reason).not.toBe('')
  }
})
