import { rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { readinessOf } from './harness/counting.ts'
import { doctor } from './harness/doctor-command.ts'
import { eventually } from './harness/eventually.ts'
import { metric } from './harness/plays.ts'
import { freePortRange, urlSettingsNextTo } from './harness/ports.ts'
import { hasPostgres, type PostgresServer, startPostgres } from './harness/postgres.ts'
import { startService } from './harness/service-process.ts'
import { createTempDirectory } from './harness/temp-directory.ts'

const FILE = 'checkpoint-reporting.bin'

/** Settings with unused ports, so that the doctor finds no service except reporting. */
let unused: Record<string, string>
beforeAll(async () => {
  unused = { ...urlSettingsNextTo(await freePortRange()), NATS_URL: 'nats://127.0.0.1:1' }
})

describe('about the checkpoint, the doctor', () => {
  let directory: Awaited<ReturnType<typeof createTempDirectory>>
  beforeEach(async () => {
    directory = await createTempDirectory('doctor')
    return () => directory[Symbol.asyncDispose]()
  })

  async function expectFindings(settings: Record<string, string>, findings: string[]) {
    await eventually(async () => {
      const { of } = await doctor({ ...unused, DATA_DIR: directory.path, ...settings })
      expect(of('checkpoint')).toEqual(findings.map((text) => expect.stringMatching(text)))
    })
  }

  test('warns if a checkpoint was set aside, or cannot be written', async () => {
    await writeFile(join(directory.path, FILE), 'corrupt')
    await using reporting = await startService('reporting', { DATA_DIR: directory.path, CHECKPOINT_EVERY: '100ms' })
    const REPORTING_URL = reporting.url
    await expectFindings({ REPORTING_URL }, [
      `^ok ${reporting.url} saves its counts$`,
      `^warn .*${FILE}\\.corrupt-\\d+ was set aside, because reporting could not read it: delete it`,
    ])
    await rm(directory.path, { recursive: true })
    await fetch(`${reporting.url}/events/asset/a/user/u`, { method: 'POST' })
    await eventually(async () => expect(await metric(reporting.url, /^checkpoint_failing/)).toBe(1))
    await expectFindings({ REPORTING_URL }, [`^warn ${reporting.url} cannot save its counts: free space on the disk`])
  })

  test('warns if reporting saves no counts, or the disk has no room for the next checkpoint', async () => {
    await using reporting = await startService('reporting', { CHECKPOINT_EVERY: '0s' })
    const file = join(directory.path, FILE)
    await writeFile(file, '')
    await truncate(file, 2 ** 42)
    await expectFindings({ REPORTING_URL: reporting.url }, [
      `^warn ${reporting.url} does not save its counts, because .*CHECKPOINT_EVERY is 0s`,
      `^warn ${file} takes 4194304 MiB, but the disk has less than twice that free: free some space$`,
    ])
  })
})

describe.skipIf(!hasPostgres)('about Postgres, the doctor', () => {
  let server: PostgresServer
  let DATABASE_URL: string
  beforeAll(async () => {
    server = await startPostgres()
  })
  beforeEach(async () => {
    DATABASE_URL = await server.createDatabase()
  })
  afterAll(() => server?.[Symbol.asyncDispose]())

  const startReporting = async () => {
    const reporting = await startService('reporting', { DATABASE_URL })
    await eventually(async () => expect((await readinessOf(reporting.url)).status).toBe('ready'))
    return reporting
  }
  const run = (...statements: string[]) =>
    server.use(DATABASE_URL, async (client) => {
      for (const statement of statements) await client.query(statement)
    })

  async function expectFindings(settings: Record<string, string>, findings: string[]) {
    await eventually(async () => {
      const { of } = await doctor({ ...unused, ...settings })
      expect(of('postgres')).toEqual(findings.map((text) => expect.stringMatching(text)))
    })
  }

  const UP = '^ok 127\\.0\\.0\\.1:\\d+/test\\d+ \\(Postgres \\d+\\) is up: '

  test("shows reporting's database as up, and requires DATABASE_URL to point to it", async () => {
    await using reporting = await startReporting()
    const REPORTING_URL = reporting.url
    await expectFindings({ REPORTING_URL, DATABASE_URL }, [`${UP}counts up to 0$`])
    await expectFindings({ REPORTING_URL }, ['^warn reporting uses Postgres: set DATABASE_URL here too'])
    await expectFindings({ REPORTING_URL, DATABASE_URL: await server.createDatabase() }, [
      `${UP}no counts yet$`,
      `^FAIL ${reporting.url} stores its counts in another database: `,
    ])
  })

  test('warns if DATABASE_URL is set, but reporting has its counts in memory', async () => {
    await using reporting = await startService('reporting')
    await expectFindings({ REPORTING_URL: reporting.url, DATABASE_URL }, [
      `${UP}no counts yet$`,
      `^warn ${reporting.url} has its counts in memory, although DATABASE_URL is set: .*npm run counts -- copy`,
    ])
  })

  test('fails if the numbers do not add up', async () => {
    await using reporting = await startReporting()
    await run('update reporting.state set qualified = qualified + 1')
    try {
      await eventually(async () => {
        const { of } = await doctor({ ...unused, REPORTING_URL: reporting.url, DATABASE_URL })
        expect(of('audit')).toEqual([
          expect.stringMatching(/^FAIL .* has 0 views, but 1 qualified \+ -1 pending = 0: npm run audit/),
        ])
      })
    } finally {
      await run('update reporting.state set qualified = qualified - 1')
    }
  })

  test('reports a different version of the schema', async () => {
    await (await startReporting())[Symbol.asyncDispose]()
    for (const [version, finding] of [
      [99, '^FAIL the schema of the counts has version 99, not \\d+: run the newer release$'],
      [0, '^warn the schema of the counts has version 0, not \\d+: reporting upgrades it'],
    ] as const) {
      await run(`update reporting.schema set version = ${version}`)
      await expectFindings({ DATABASE_URL }, [UP, finding])
    }
  })

  test('reports settings that endanger the counts, or make writes wait forever', async () => {
    try {
      await run(
        'alter system set full_page_writes = off',
        `alter system set synchronous_standby_names = 'standby'`,
        'select pg_reload_conf()',
      )
      await expectFindings({ DATABASE_URL }, [
        UP,
        '^FAIL .* may corrupt the counts if it crashes: set fsync=on and full_page_writes=on$',
        '^warn .* has synchronous_standby_names, but no standby is connected: start one; ',
      ])
    } finally {
      await run('alter system reset all', 'select pg_reload_conf()')
    }
  })

  test('fails if the database is read-only or unreachable', async () => {
    await run('alter database postgres set default_transaction_read_only = on')
    const readOnly = DATABASE_URL.replace(/[^/]+$/, 'postgres')
    await expectFindings({ DATABASE_URL: readOnly }, ['^FAIL 127.0.0.1:\\d+/postgres accepts no writes: promote it, '])
    await run('alter database postgres reset default_transaction_read_only')
    await expectFindings({ DATABASE_URL: 'postgres://user:secret@127.0.0.1:1/counts' }, [
      '^FAIL 127.0.0.1:1/counts is unreachable \\(.*ECONNREFUSED.*\\): start it, or fix DATABASE_URL; ',
    ])
  })
})
