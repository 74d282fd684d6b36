import { rmSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { z } from 'zod'
import { View } from '../shared/contracts/view.ts'
import type { NewView } from '../shared/event-log/event-log.ts'
import type { Logger } from '../shared/runtime/log.ts'
import { toReason } from '../shared/runtime/reason.ts'

/** Longer paths do not fit into a socket address. */
const MAX_PATH_BYTES = 103
const TIMEOUT_MS = 1_000
const MAX_REQUEST = 2_048

/** A view in one process's outbox, as that process sends it to another. */
export type WaitingView = Pick<View, 'id' | 'assetId' | 'userId' | 'at'>

const { id, assetId, userId, at } = View.shape
const Found = z.object({ found: z.object({ id, assetId, userId, at }).nullable() })

type Find = (id: string, signal: AbortSignal) => Promise<NewView | undefined>

/**
 * Lets other processes search this outbox, which they cannot open while this process has it locked. Only the process
 * with the lock creates a socket, so a socket that already exists was left behind by a killed process.
 */
export function serveOutbox(file: string, find: Find, log: Logger): Disposable {
  const path = socketOf(file)
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.setTimeout(TIMEOUT_MS, () => socket.destroy())
    socket.on('error', () => {})
    respond(socket, find).catch(() => socket.destroy())
  })
  const warn = (error: unknown) =>
    log.warn({ file, reason: toReason(error) }, 'other processes cannot search this outbox')
  if (Buffer.byteLength(path) > MAX_PATH_BYTES) {
    warn(new Error(`the path of its socket is longer than ${MAX_PATH_BYTES} bytes`))
    return { [Symbol.dispose]() {} }
  }
  server.on('error', warn)
  rmSync(path, { force: true })
  server.listen(path).unref()
  return { [Symbol.dispose]: () => void server.close() }
}

async function respond(socket: Socket, find: Find): Promise<void> {
  let request = ''
  for await (const text of socket.setEncoding('utf8').iterator({ destroyOnReturn: false })) {
    request += text
    if (request.length > MAX_REQUEST) throw new Error('the request is too long')
  }
  const found = await find(z.string().parse(JSON.parse(request)), AbortSignal.timeout(TIMEOUT_MS))
  socket.end(JSON.stringify({ found: found ?? null }))
}

/**
 * Looks for a view in another process's outbox.
 * @throws Error if that process does not respond before `signal` aborts
 */
export async function askOwner(file: string, id: string, signal: AbortSignal): Promise<WaitingView | undefined> {
  const socket = connect({ path: socketOf(file), signal })
  socket.end(JSON.stringify(id))
  return Found.parse(JSON.parse(await text(socket))).found ?? undefined
}

function socketOf(file: string): string {
  return file.replace(/\.sqlite$/, '.socket')
}
