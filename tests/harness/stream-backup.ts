import { connect, createInbox, Empty, type Msg, type NatsConnection } from 'nats'
import { z } from 'zod'

const CHUNK_BYTES = 128 * 1024

const Backup = z.object({ config: z.looseObject({ name: z.string() }), state: z.looseObject({}) })
const Failure = z.object({ error: z.object({ description: z.string() }) })
const Target = z.object({ deliver_subject: z.string() })

/** A stream's configuration and state, and its content in chunks. */
export type StreamBackup = z.infer<typeof Backup> & { chunks: Uint8Array[] }

/** Backs up a stream on a running server, with the requests that `nats stream backup` sends. */
export async function backUpStream(url: string, name: string): Promise<StreamBackup> {
  await using nats = await open(url)
  const inbox = createInbox()
  const received = nats.connection.subscribe(inbox)
  const options = { deliver_subject: inbox, chunk_size: CHUNK_BYTES }
  const backup = Backup.parse(await request(nats.connection, `$JS.API.STREAM.SNAPSHOT.${name}`, options))
  const chunks: Uint8Array[] = []
  for await (const chunk of received) {
    // An empty message marks the end.
    if (chunk.data.length === 0) break
    chunks.push(chunk.data)
    chunk.respond()
  }
  return { ...backup, chunks }
}

/** Deletes a stream, and restores it with the requests that `nats stream restore` sends. */
export async function restoreStream(url: string, { chunks, ...backup }: StreamBackup): Promise<void> {
  await using nats = await open(url)
  const { name } = backup.config
  await request(nats.connection, `$JS.API.STREAM.DELETE.${name}`, {})
  const { deliver_subject } = Target.parse(await request(nats.connection, `$JS.API.STREAM.RESTORE.${name}`, backup))
  for (const chunk of [...chunks, Empty]) read(await nats.connection.request(deliver_subject, chunk))
}

async function open(url: string) {
  const connection = await connect({ servers: url })
  return { connection, [Symbol.asyncDispose]: () => connection.close() }
}

async function request(connection: NatsConnection, subject: string, body: object): Promise<unknown> {
  return read(await connection.request(subject, JSON.stringify(body)))
}

/** @throws Error with the description from an error response */
function read({ data }: Pick<Msg, 'data'>): unknown {
  const body: unknown = data.length === 0 ? {} : JSON.parse(new TextDecoder().decode(data))
  const failure = Failure.safeParse(body)
  if (failure.success) throw new Error(failure.data.error.description)
  return body
}
