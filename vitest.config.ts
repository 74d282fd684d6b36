import { relative } from 'node:path'
import { defineConfig } from 'vitest/config'
import type { Reporter, TestModule } from 'vitest/node'

const SLOWEST = 10

export default defineConfig({
  test: {
    testTimeout: 20_000,
    hookTimeout: 60_000,
    reporters: ['default', createDurationReporter()],
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['**/*.test.ts'],
          exclude: ['node_modules/**', 'data/**', 'tests/**'],
          // Unit tests mostly wait for timers, and leave no state behind.
          isolate: false,
          maxWorkers: 4,
          sequence: { groupOrder: 0 },
        },
      },
      { extends: true, test: { name: 'system', include: ['tests/**/*.test.ts'], sequence: { groupOrder: 1 } } },
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
      const totals = [...byProject].map(([name, own]) => `${toSeconds(durationOf(own))}  ${name}, ${own.length} files`)
      const slowest = files.toSorted((a, b) => durationOf([b]) - durationOf([a])).slice(0, SLOWEST)
      const lines = slowest.map((file) => `${toSeconds(durationOf([file]))}  ${relative('.', file.moduleId)}`)
      console.log([' Time in tests:', ...totals, ` Slowest files:`, ...lines, ''].join('\n'))
    },
  }
}
