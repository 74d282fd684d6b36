import { relative } from 'node:path'
import { defineConfig } from 'vitest/config'
import type { Reporter, TestModule } from 'vitest/node'

const SLOWEST = 10

/** Tests that need the whole machine, because they measure durations or load. They run one after another. */
const TIMED = [
  'bench',
  'chaos',
  'cluster',
  'console',
  'console-counting',
  'console-identity',
  'console-outages',
  'console-playback',
  'consul',
  'count-limits',
  'count-stores',
  'counting',
  'distant-nats',
  'doctor',
  'live',
  'load-shedding',
  'nats-cluster',
  'nats-outages',
  'overload',
  'pipeline',
  'poison',
  'postgres',
  'postgres-failover',
  'restarts',
  'shared-port',
  'slow-clients',
  'tour',
  'upstreams',
].map((name) => `tests/${name}.test.ts`)

/** Tests that spend most of their time starting, filling and stopping databases. */
const DATABASE = 'reporting/postgres/**/*.test.ts'

/** Shows what a failed test's processes printed. */
const setupFiles = 'tests/harness/failure-output.ts'

export default defineConfig({
  test: {
    // These timeouts only stop tests that hang. A test with a time requirement checks it itself.
    testTimeout: 60_000,
    hookTimeout: 180_000,
    reporters: ['default', createDurationReporter()],
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['**/*.test.ts'],
          exclude: ['node_modules/**', 'data/**', 'tests/**', DATABASE],
          // Unit tests leave no state behind, so they need no isolation. They mostly wait for timers, so they can run
          // in parallel.
          isolate: false,
          maxWorkers: 4,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: 'system',
          setupFiles,
          include: ['tests/**/*.test.ts', DATABASE],
          exclude: TIMED,
          maxWorkers: 2,
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        test: { name: 'timed', setupFiles, include: TIMED, maxWorkers: 1, sequence: { groupOrder: 2 } },
      },
    ],
  },
})

/** Prints the total duration of each project, and the slowest files. */
function createDurationReporter(): Reporter {
  const toSeconds = (ms: number) => `${(ms / 1_000).toFixed(1).padStart(6)} s`
  const durationOf = (files: readonly TestModule[]) => files.reduce((sum, file) => sum + file.diagnostic().duration, 0)
  return {
    onTestRunEnd(files) {
      const byProject = Map.groupBy(files, ({ project }) => project.name)
      const totals = [...byProject].map(
        ([name, inProject]) => `${toSeconds(durationOf(inProject))}  ${name}, ${inProject.length} files`,
      )
      const slowest = files.toSorted((a, b) => durationOf([b]) - durationOf([a])).slice(0, SLOWEST)
      const lines = slowest.map((file) => `${toSeconds(durationOf([file]))}  ${relative('.', file.moduleId)}`)
      console.log([' Time in tests:', ...totals, ` Slowest files:`, ...lines, ''].join('\n'))
    },
  }
}
