import { serve } from '@hono/node-server'
import { Hono } from 'hono'

/** The baseline: a Hono app that returns a play's JSON and does nothing else. */
const app = new Hono().post('/play/asset/:assetId/user/:userId', (c) =>
  c.json({
    id: c.req.param('assetId'),
    title: 'A title of usual length',
    genre: 'drama',
    summary: 'A summary of one or two sentences, about as long as the summary of a film usually is.',
    url: `https://cdn.example.com/${c.req.param('assetId')}.mp4`,
    userviews: 1,
    assetviews: 1,
  }),
)

const port = Number(process.argv[process.argv.indexOf('--port') + 1])
const server = serve({ fetch: app.fetch, port, hostname: '127.0.0.1' }, () => {
  process.stdout.write(`${JSON.stringify({ msg: 'listening', url: `http://127.0.0.1:${port}` })}\n`)
})
process.once('SIGTERM', () => {
  server.close()
  if ('closeAllConnections' in server) server.closeAllConnections()
})
