import { type App, type Listening, listen } from './listen.ts'
import type { Service } from './service.ts'

/**
 * Serves `app`, and makes the service known to the others. Disposing takes that back before it stops listening.
 * @throws ListenError
 */
export async function serve(app: App, service: Service, at: { port: number; host: string }): Promise<Listening> {
  await using stack = new AsyncDisposableStack()
  const { name, log, health, discovery } = service
  const server = stack.use(await listen(app, { ...at, log }))
  const isReady = async () => (await health.readiness()).status === 'ready'
  stack.use(discovery.register({ name, host: at.host, port: server.port, isReady }))
  const open = stack.move()
  return { ...server, [Symbol.asyncDispose]: () => open.disposeAsync() }
}
