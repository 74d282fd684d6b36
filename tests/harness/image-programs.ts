import { execFileSync } from 'node:child_process'
import { programs } from '../../deploy/image/programs.ts'
import { serviceEntries } from '../../services.ts'
import { serviceNames } from './each-service.ts'

/** The memory that a service needs outside its heap, in MiB, including 10 MiB for a health check. */
const NODE_MIB = 36

const settings = Object.fromEntries(serviceNames.map((name) => [name, settingsOf(name)]))
/** Operator commands also read the URLs of services that no other service calls. */
const allSettings = new Set([
  ...Object.values(settings).flatMap((names) => [...names]),
  ...serviceEntries.map(({ urlSetting }) => urlSetting),
])

/** Returns one line for each variable that is not a setting of the program in the image. */
export function findUnknownSettings(program = '', variables: readonly string[]): string[] {
  if (!programs.has(program)) return [`the image has no program ${program}`]
  // NODE_OPTIONS is one of Node's own settings.
  const known = (settings[program] ?? allSettings).union(new Set(['NODE_OPTIONS']))
  return variables.filter((name) => !known.has(name)).map((name) => `${program} has no setting ${name}`)
}

/** The settings in the output of `--help`, with their `_FILE` variants. */
function settingsOf(name: string): Set<string> {
  const help = execFileSync(process.execPath, [`${name}/main.ts`, '--help'], { encoding: 'utf8' })
  const lines = [...help.matchAll(/^ {2}(?:--\w+, )?([A-Z_]+)(\[_FILE\])? /gm)]
  return new Set(lines.flatMap(([, setting = '', file]) => (file ? [setting, `${setting}_FILE`] : [setting])))
}

/** True if V8 reaches its heap limit, and collects garbage, before the kernel enforces the container's memory limit. */
export function heapFits(nodeOptions: string | undefined, limitMib: number): boolean {
  const { old, semi } =
    /^--max-old-space-size=(?<old>\d+) --max-semi-space-size=(?<semi>\d+)$/.exec(nodeOptions ?? '')?.groups ?? {}
  return Number(old) + 3 * Number(semi) + NODE_MIB <= limitMib
}
