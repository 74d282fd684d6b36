import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { pino } from 'pino'
import { createSqliteEventLog } from '../../shared/event-log/sqlite-event-log.ts'
import { eventually } from './eventually.ts'
import type { NatsServer } from './nats-server.ts'

/** Waits until the stream exists, then appends bodies to it as another program would. */
export function publishRaw(nats: NatsServer, bodies: string[], subject = 'events.view.tv'): Promise<void> {
  return nats.use(async (connection) => {
    const js = connection.jetstream()
    for (const body of bodies) await eventually(() => js.publish(subject, body))
  })
}

/** Appends bodies to embedded mode's log in a DATA_DIR that no process uses. */
export async function insertRaw(dataDir: string, bodies: string[]): Promise<void> {
  const file = join(dataDir, 'events.sqlite')
  // Opening the log creates its tables.
  await createSqliteEventLog({ file, log: pino({ level: 'silent' }) })[Symbol.asyncDispose]()
  const db = new DatabaseSync(file)
  const insert = db.prepare('INSERT INTO messages (data, stored_at) VALUES (?, ?)')
  for (const body of bodies) insert.run(body, new Date().toISOString())
  db.close()
}
