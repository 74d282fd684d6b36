import { expect, test } from 'vitest'
import { services } from '../../services.ts'
import { startHttpServer } from '../../shared/testing/http-server.ts'
import { inspect } from './services.ts'

test('a dependency that is down only briefly is reported as up', async () => {
  let probes = 0
  await using server = await startHttpServer((request, response) => {
    if (request.url !== '/readyz') return void response.end('{}')
    probes += 1
    response.end(JSON.stringify({ status: 'ready', dependencies: { metadata: probes === 1 ? 'down' : 'up' } }))
  })
  const { dependencies } = await inspect({ service: services.play, origin: server.url, operations: server.url })
  expect(dependencies).toEqual({ metadata: 'up' })
})
