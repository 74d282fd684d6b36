import { readFile } from 'node:fs/promises'
import { buffer } from 'node:stream/consumers'
import { services, urlsOf } from '../../services.ts'
import { writeToken } from '../../shared/http/write-token.ts'
import { UsageError } from '../../shared/runtime/command-line.ts'
import { loadSettings } from '../../shared/runtime/settings.ts'
import { edgePortOption, loadEnvironment, runCommand } from '../command.ts'
import { plural } from '../plural.ts'
import { CallError, createDeadLetterClient } from './client.ts'
import { heading, toBody, toDetails, toRows } from './table.ts'

const name = 'npm run dead-letters'
const entry = services['queue-listener']
const DEFAULT_WIDTH = 100

const usage = `Usage: npm run dead-letters [-- COMMAND]

Dead letters are messages in the log that are not counted, because they are not valid views.

  list               lists the dead letters that are neither replayed nor deleted (default)
  show N             prints the dead letter with sequence N; --body prints only its body, to edit it in a file
  replay N [FILE]    appends the dead letter's views to the log, only once; FILE, or - for standard input, replaces
                     its body
  delete N           deletes the dead letter; its views are never counted

FILE contains a corrected body: a CloudEvent or an array of CloudEvents, with the ids of the original events. Example:

  npm run --silent dead-letters -- show 7 --body >letter.json
  npm run dead-letters -- replay 7 letter.json

  --port N            the edge's port, as for npm start: queue-listener listens on N+${entry.port - services.play.port}. Overrides
                      QUEUE_LISTENER_URL

  QUEUE_LISTENER_URL  queue-listener's URL (default: http://127.0.0.1:${entry.port})
  WRITE_TOKEN         token that queue-listener requires (default: none)

Flags override environment variables, which override .env, which overrides the defaults.`

const options = { ...edgePortOption, body: { type: 'boolean', default: false } } as const
type Flags = { port?: string | undefined; body: boolean }
type Client = ReturnType<typeof createDeadLetterClient>

await runCommand({ name, usage, options, dotEnv: true, takesArguments: true }, async (flags, [command, ...rest]) => {
  const work = toWork(command ?? 'list', rest, flags)
  try {
    await work(createDeadLetterClient(loadTarget(flags)))
    return 0
  } catch (error) {
    if (!(error instanceof CallError)) throw error
    process.stderr.write(`${name}: ${error.message}\n`)
    return 1
  }
})

/** @throws UsageError */
function toWork(command: string, given: string[], { body: bodyOnly }: Flags): (client: Client) => Promise<void> {
  if (bodyOnly && command !== 'show') throw new UsageError('only show accepts --body')
  const [first, file] = given
  switch (command) {
    case 'list':
      expectAtMost(0, given)
      return list
    case 'show': {
      const sequence = toSequence(first, given, 1)
      return async (client) => {
        const letter = await client.get(sequence)
        const output = bodyOnly ? toBody(letter) : toDetails(letter)
        if (typeof output !== 'string' && process.stdout.isTTY) {
          throw new CallError(`the body of ${sequence} is not valid UTF-8: write it to a file`)
        }
        process.stdout.write(output)
      }
    }
    case 'replay': {
      const sequence = toSequence(first, given, 2)
      return async (client) => {
        const { views, sequence: stored } = await client.replay(sequence, await readCorrected(file))
        process.stdout.write(`Replayed ${sequence}: ${plural(views, 'view')}, at sequence ${stored} in the log.\n`)
      }
    }
    case 'delete': {
      const sequence = toSequence(first, given, 1)
      return async (client) => {
        await client.delete(sequence)
        process.stdout.write(`Deleted ${sequence}. Its views are not counted.\n`)
      }
    }
    default:
      throw new UsageError(`unknown command ${JSON.stringify(command)}; --help lists the commands`)
  }
}

async function list(client: Client): Promise<void> {
  const width = process.stdout.columns ?? (Number(process.env.COLUMNS) || DEFAULT_WIDTH)
  let count = 0
  for await (const letters of client.pages()) {
    if (count === 0 && letters.length > 0) process.stdout.write(heading)
    process.stdout.write(toRows(letters, width))
    count += letters.length
  }
  process.stdout.write(count === 0 ? 'No dead letters.\n' : `${plural(count, 'dead letter')}.\n`)
}

function expectAtMost(max: number, given: string[]): void {
  if (given.length > max)
    throw new UsageError(`unexpected argument ${JSON.stringify(given[max])}; --help shows the usage`)
}

function toSequence(text: string | undefined, given: string[], maxArguments: number): number {
  expectAtMost(maxArguments, given)
  const sequence = /^\d{1,16}$/.test(text ?? '') ? Number(text) : 0
  if (sequence >= 1 && Number.isSafeInteger(sequence)) return sequence
  const problem =
    text === undefined ? 'the sequence number is missing' : `${JSON.stringify(text)} is not a sequence number`
  throw new UsageError(`${problem}; list prints the sequence numbers`)
}

/** @throws UsageError if the file cannot be read */
async function readCorrected(file: string | undefined): Promise<Uint8Array | undefined> {
  if (file === undefined) return undefined
  if (file === '-') return buffer(process.stdin)
  try {
    return await readFile(file)
  } catch {
    throw new UsageError(`cannot read the file ${JSON.stringify(file)}`)
  }
}

/** @throws UsageError */
function loadTarget({ port }: Flags) {
  const shape = { QUEUE_LISTENER_URL: urlsOf(entry), WRITE_TOKEN: writeToken }
  const { QUEUE_LISTENER_URL, WRITE_TOKEN } = loadSettings(shape, { args: [], env: loadEnvironment(port) })
  return { origin: QUEUE_LISTENER_URL[0] ?? '', token: WRITE_TOKEN?.sent }
}
