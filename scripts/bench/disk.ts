import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { DEAD_LETTERS, STREAM } from '../../shared/event-log/stream.ts'
import { eventually } from '../../tests/harness/eventually.ts'
import { metric } from '../../tests/harness/plays.ts'
import { startSystem } from '../../tests/harness/system.ts'
import { playFor } from './load.ts'
import { seed } from './seed.ts'

const SETTLE_MS = 60_000

type Options = { connections: number[]; seconds: number }

/** Measures how many bytes of disk a view takes in the log, for each number of concurrent connections. */
export async function* measureDisk({ connections, seconds }: Options): AsyncGenerator<string> {
  for (const count of connections) {
    await using system = await startSystem()
    await seed(system)
    await playFor({ url: system.play.url, connections: count, seconds })
    await eventually(async () => {
      if ((await metric(system.play.url, /^outbox_waiting_views /)) > 0) throw new Error('the outbox is not empty')
    }, SETTLE_MS)
    const views = await metric(system.play.url, /^recorded_views_total/)
    const { state, config } = await system.nats.use(async (connection) => {
      const jsm = await connection.jetstreamManager()
      return jsm.streams.info(STREAM, { subjects_filter: DEAD_LETTERS })
    })
    const bytes = await sizeOf(system.nats.directoryOf(STREAM))
    const perMessage = (views / state.messages).toFixed(1).padStart(5)
    yield `${String(count).padStart(5)} connections: ${text(views).padStart(9)} views, ${perMessage} per message: \
${text(bytes / views).padStart(3)} bytes of disk per view (${text(state.bytes / views)} before compression: ${config.compression ?? 'none'})`
  }
}

/** The total size of the files in a directory and its subdirectories. */
export async function sizeOf(directory: string): Promise<number> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile())
  const sizes = await Promise.all(files.map(async ({ parentPath, name }) => (await stat(join(parentPath, name))).size))
  return sizes.reduce((sum, size) => sum + size, 0)
}

function text(count: number): string {
  return Math.round(count).toLocaleString('en')
}
