import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runAudit } from './harness/audit-command.ts'
import { type CertificateAuthority, createCertificateAuthority, hasOpenssl } from './harness/certificates.ts'
import { runCounts } from './harness/counts-command.ts'
import { doctor } from './harness/doctor-command.ts'
import { eventually } from './harness/eventually.ts'
import { startConfiguredNats, tlsWith } from './harness/nats-config.ts'
import { type NatsServer, natsVersion } from './harness/nats-server.ts'
import { getJson, play, views } from './harness/plays.ts'
import { startService } from './harness/service-process.ts'
import { type System, startSystem } from './harness/system.ts'
import { createTempDirectory } from './harness/temp-directory.ts'

describe.skipIf(!natsVersion || !hasOpenssl)('with NATS over TLS,', () => {
  const stack = new AsyncDisposableStack()
  let authority: CertificateAuthority
  let other: CertificateAuthority
  let nats: NatsServer
  let system: System
  let env: Record<string, string>
  beforeAll(async () => {
    const directory = stack.use(await createTempDirectory('nats-tls'))
    authority = createCertificateAuthority(directory.path)
    other = createCertificateAuthority(directory.path, 'other')
    const login = 'authorization { user: alice, password: "the-password" }'
    nats = stack.use(await startConfiguredNats(login, tlsWith(authority.issue(['IP:127.0.0.1']))))
    const NATS_URL = nats.url.replace('nats://', 'tls://alice:the-password@')
    system = stack.use(await startSystem({ NATS_URL, NATS_CA: authority.ca }))
    env = { ...system.env, DATA_DIR: system.dataDir }
  })
  afterAll(() => stack.disposeAsync())

  test('plays are counted, and the commands read the log', async () => {
    await eventually(async () => expect((await play(system.play.url, '456', 'tls')).status).toBe(200))
    await eventually(async () => expect(await views(system.reporting.url, 'user', 'tls')).toBeGreaterThan(0))
    expect(await runAudit(env)).toMatchObject({ status: 0, text: expect.stringContaining('agrees with the log') })
    expect(await runCounts(env)).toMatchObject({ status: 0 })
    await eventually(async () => expect((await doctor(env)).of('nats')).toEqual([expect.stringMatching(/^ok /)]))
  })

  test.each(['metadata', 'cdnurl', 'queue-listener', 'play'])(
    'with another NATS_CA, %s reports on /readyz and in its log that the certificate is refused',
    async (name) => {
      await using service = await startService(name, { ...system.env, NATS_CA: other.ca })
      const reason = expect.stringMatching(
        /^the certificate of tls:\/\/127\.0\.0\.1:\d+ is refused: .*(verify|signed|issuer)/,
      )
      await eventually(async () =>
        expect(await getJson(`${service.url}/readyz`)).toMatchObject({
          dependencies: { nats: 'down' },
          reasons: { nats: reason },
        }),
      )
      await eventually(() => {
        const warnings = service.lines().filter((line) => line.includes('cannot connect to NATS yet'))
        expect(warnings.map((line) => JSON.parse(line))).toMatchObject([{ reason }])
      })
    },
  )

  test('with another NATS_CA, the commands report that the certificate is refused', async () => {
    const given = { ...env, NATS_CA: other.ca }
    const { of } = await doctor(given)
    expect(of('nats')).toEqual([
      expect.stringMatching(
        /^FAIL tls:\S+ cannot be used with TLS \(the certificate .*\): fix NATS_CA, or its certificate;/,
      ),
    ])
    expect(await runAudit(given)).toMatchObject({
      status: 1,
      text: expect.stringContaining('the log is not available'),
    })
    expect(await runCounts(given)).toMatchObject({ text: expect.stringContaining('is refused') })
  })
})
