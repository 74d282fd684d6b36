import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { request } from 'undici'
import { withResources } from './resources.ts'

type Batch = { views: { assetId: string; userId: string }[] }

/** What queue-listener appears to do with the tour's views: forward them correctly, drop them, or count each twice. */
export type Fault = 'none' | 'drops' | 'doubles'

/** A proxy in front of reporting, which makes queue-listener appear to have a fault. */
export type FaultyListener = AsyncDisposable & { url: string; target: string; fault: Fault }

export async function startFaultyListener(): Promise<FaultyListener> {
  await using stack = new AsyncDisposableStack()
  const server = createServer((incoming, outgoing) => {
    forward(proxy, incoming, outgoing).catch(() => outgoing.destroy())
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  stack.defer(() => {
    server.close()
    server.closeAllConnections()
  })
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the proxy has no port')
  const fault: Fault = 'none'
  const proxy: FaultyListener = withResources({ url: `http://127.0.0.1:${address.port}`, target: '', fault }, stack)
  return proxy
}

async function forward(proxy: FaultyListener, incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
  const { method = 'GET', url = '/', headers } = incoming
  const sent = await buffer(incoming)
  const isBatch = method === 'POST' && url === '/events'
  const body = isBatch && proxy.fault === 'drops' ? withoutTour(sent) : sent
  const { host: _, 'content-length': __, connection: ___, 'transfer-encoding': ____, ...rest } = headers
  const response = await request(proxy.target + url, {
    method,
    headers: rest,
    body: method === 'GET' ? null : body,
    headersTimeout: 0,
    bodyTimeout: 0,
  })
  if (isBatch && proxy.fault === 'doubles' && response.statusCode === 200) await countAgain(proxy.target, sent)
  outgoing.writeHead(response.statusCode, response.headers)
  response.body.on('error', () => outgoing.destroy()).pipe(outgoing)
  outgoing.on('close', () => response.body.destroy())
}

const isTour = ({ userId }: Batch['views'][number]) => userId.startsWith('tour-')

function withoutTour(body: Buffer): Buffer {
  const batch: Batch = JSON.parse(body.toString())
  return Buffer.from(JSON.stringify({ ...batch, views: batch.views.filter((view) => !isTour(view)) }))
}

async function countAgain(reporting: string, body: Buffer): Promise<void> {
  const { views }: Batch = JSON.parse(body.toString())
  for (const { assetId, userId } of views.filter(isTour)) {
    const { body } = await request(`${reporting}/events/asset/${assetId}/user/${userId}`, { method: 'POST' })
    await body.dump()
  }
}
