import { resolve } from 'node:path'
import { serviceEntries } from '../../services.ts'
import { startChild } from './child.ts'
import { pausedTime, runningTime } from './running-time.ts'

const UNSET = Object.fromEntries(serviceEntries.map(({ urlSetting }) => [urlSetting, '']))

type Report = { status: unknown; text: string; ms: number; of: (name: string) => string[] }

/** Shorter pauses do not matter, because the doctor waits longer than this for a response. */
const LONG_PAUSE_MS = 500
const MAX_RUNS = 3

/**
 * Runs the doctor with only these settings. Reruns it if the machine paused for long during the run. `of` returns
 * the findings with a given name. On a loaded machine, the doctor may report a slow service as hung, so a test that
 * expects services to respond should repeat the run.
 */
export async function doctor(env: Record<string, string>, args: string[] = [], cwd = '.'): Promise<Report> {
  for (let run = 1; ; run += 1) {
    const pausedBefore = pausedTime()
    const report = await runDoctor(env, args, cwd)
    if (run === MAX_RUNS || pausedTime() - pausedBefore < LONG_PAUSE_MS) return report
  }
}

async function runDoctor(env: Record<string, string>, args: string[], cwd: string): Promise<Report> {
  const startedAt = runningTime()
  await using child = startChild(process.execPath, [resolve('scripts/doctor/main.ts'), ...args], {
    cwd,
    env: {
      ...UNSET,
      NATS_URL: '',
      EVENTS_MAX_AGE: '',
      CONSUL_HTTP_ADDR: '',
      DATABASE_URL: '',
      DATA_DIR: '/nowhere',
      ...env,
    },
  })
  const status = await child.ended
  const ms = runningTime() - startedAt
  const of = (name: string) =>
    child.lines.flatMap((line) => {
      const [, severity, about, text] = /^(ok|warn|FAIL) +(\S+) +(.*)$/.exec(line) ?? []
      return about === name ? [`${severity} ${text}`] : []
    })
  return { status, text: child.lines.join('\n'), ms, of }
}
