import type { EventLog } from '../shared/event-log/event-log.ts'
import type { Service } from '../shared/service/service.ts'
import { createAdopter } from './adopter.ts'
import { createDirectAppend } from './direct-append.ts'
import { type createPlayMetrics, exposeOutbox } from './metrics.ts'
import type { Outbox } from './outbox.ts'
import type { OutboxFiles } from './outbox-files.ts'
import { createRecentViews } from './recent-views.ts'
import type { createRecorder } from './recorder.ts'
import { createSpooler } from './spooler.ts'

type Options = {
  eventLog: EventLog
  /** Records views while the log is unavailable. */
  outbox: Outbox | undefined
  /** The outboxes of all processes. */
  outboxFiles: Pick<OutboxFiles, 'openOrphans'> | undefined
  appendTimeoutMs: number
  metrics: Pick<ReturnType<typeof createPlayMetrics>, 'instrumentAppend'>
  createRecorder: typeof createRecorder
}

/** Records views in the log, or in the outbox while the log is unavailable. */
export function openRecording(
  { log, metrics: registry, resources }: Service,
  { eventLog, outbox, outboxFiles, appendTimeoutMs, metrics, createRecorder }: Options,
) {
  const spooler = outbox && resources.use(createSpooler({ eventLog, outbox, log, appendTimeoutMs }))
  const adopter =
    outboxFiles &&
    spooler &&
    resources.use(createAdopter({ files: outboxFiles, eventLog, log, onAcknowledged: spooler.name }))
  const backlog = outbox && (() => outbox.size() + (adopter?.size() ?? 0))
  if (backlog) exposeOutbox(registry, { size: backlog })
  const { append, producer } = spooler ?? createDirectAppend(eventLog)
  const recent = createRecentViews()
  const record = createRecorder({
    append: recent.observe(metrics.instrumentAppend(append)),
    timeoutMs: appendTimeoutMs,
  })
  return {
    record,
    recent,
    producer,
    /** The number of views in the outbox; undefined if there is no outbox. */
    backlog,
    /** Starts draining the outbox, and the outboxes of processes that have ended. */
    start(): void {
      spooler?.start()
      adopter?.start()
    },
  }
}
