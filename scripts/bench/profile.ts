import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { eventually } from '../../tests/harness/eventually.ts'
import { withResources } from '../../tests/harness/resources.ts'
import type { ServiceProcess } from '../../tests/harness/service-process.ts'
import { createTempDirectory } from '../../tests/harness/temp-directory.ts'

const PROFILER = 'scripts/bench/profiler.ts'

const Node = z.object({
  id: z.int(),
  callFrame: z.object({ functionName: z.string(), url: z.string() }),
  children: z.array(z.int()).default([]),
})

/** `Profiler.Profile` from the Chrome DevTools Protocol. */
const Profile = z.object({ nodes: z.array(Node), samples: z.array(z.int()), timeDeltas: z.array(z.number()) })
type Profile = z.infer<typeof Profile>

/** Each entry's share of the main thread's busy time, keyed by file, package or V8 activity. */
export type Shares = Map<string, number>

type Start = (env: Record<string, string>) => Promise<ServiceProcess>

/** Starts a process that can profile itself. `profileDuring` profiles it while `work` runs. */
export async function startProfiled(start: Start) {
  await using stack = new AsyncDisposableStack()
  const directory = stack.use(await createTempDirectory('profile'))
  const PROFILE = join(directory.path, 'cpuprofile')
  const process = stack.use(await start({ NODE_OPTIONS: `--import ./${PROFILER}`, PROFILE }))
  const signal = async (line: string) => {
    globalThis.process.kill(process.pid(), 'SIGUSR2')
    await eventually(async () => {
      if (!process.lines().includes(line)) throw new Error(`${process.name} did not print "${line}"`)
    })
  }
  async function profileDuring(work: () => Promise<void>): Promise<Shares> {
    await signal('profile: started')
    await work()
    await signal('profile: written')
    return toShares(Profile.parse(JSON.parse(await readFile(PROFILE, 'utf8'))))
  }
  return withResources({ process, profileDuring }, stack)
}

function toShares({ nodes, samples, timeDeltas }: Profile): Shares {
  const byId = new Map(nodes.map((node) => [node.id, node]))
  const places = new Map<number, string>()
  const visit = (id: number, inherited: string): void => {
    const node = byId.get(id)
    if (!node) return
    const place = placeOf(node.callFrame) ?? inherited
    places.set(id, place)
    for (const child of node.children) visit(child, place)
  }
  visit(nodes[0]?.id ?? 0, 'node')
  const shares: Shares = new Map()
  let busy = 0
  samples.forEach((id, n) => {
    const place = places.get(id) ?? 'node'
    if (place === '(idle)' || place === PROFILER) return
    const time = timeDeltas[n] ?? 0
    busy += time
    shares.set(place, (shares.get(place) ?? 0) + time)
  })
  for (const [place, time] of shares) shares.set(place, time / busy)
  return shares
}

/**
 * Returns a project file, a package, or an activity that V8 reports in parentheses. Undefined for code in Node and
 * shared/runtime, because its time counts towards the caller.
 */
function placeOf({ functionName, url }: z.infer<typeof Node>['callFrame']): string | undefined {
  if (/^\((idle|program|garbage collector)\)$/.test(functionName)) return functionName
  if (!url.startsWith('file:')) return undefined
  const [, installed] = /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url) ?? []
  if (installed) return installed
  const file = decodeURI(url.slice(`file://${process.cwd()}/`.length))
  return file.startsWith('shared/runtime/') ? undefined : file
}
