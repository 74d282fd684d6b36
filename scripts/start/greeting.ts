import { services } from '../../services.ts'
import { toOrigin } from '../../shared/runtime/origin.ts'
import { toReachable } from './environment.ts'
import type { Plan } from './plan.ts'

const EMBEDDED = `
Running in embedded mode: nats-server was not found, so all services share one process, and the event log is a file.
Each view is still counted exactly once, but the services cannot fail or scale independently.
For the full system, install NATS and start again: apt install nats-server, brew install nats-server,
or https://github.com/nats-io/nats-server/releases. Or set NATS_URL.
`

type Started = Pick<Plan, 'mode' | 'services' | 'consul' | 'opsPort' | 'cdn' | 'env'> & {
  /** The token for the controls, if there are any. */
  token?: string | undefined
}

/** The message to print once everything is ready. */
export function greeting({ mode, services: started, consul, opsPort, cdn, env, token }: Started): string {
  const urlOf = (port = 0, host = env.HOST) => toOrigin(toReachable(host).replace(/^127\.0\.0\.1$/, 'localhost'), port)
  const line = (name: string, url: string) => `  ${name.padEnd(15)} ${url}\n`
  const addresses = started.map(({ name, port }) => line(name, urlOf(port)))
  if (cdn) addresses.push(line(cdn.server === 'nginx' ? 'cdn (nginx)' : 'cdn', urlOf(cdn.port)))
  if (consul) addresses.push(line('Consul', `http://localhost:${consul}/ui`))
  const edgePort = started.find(({ name }) => name === services.play.name)?.port
  const page = `${opsPort ? urlOf(opsPort, env.OPS_HOST || '127.0.0.1') : urlOf(edgePort)}/`
  return `
Ready.

${addresses.join('')}${mode === 'embedded' ? EMBEDDED : ''}
See: ${page}
${toControls(page, mode, token)}${cdn ? `Add: npm run seed${toFlag(edgePort)}, and press Play on the page\n` : ''}Try: curl -X POST ${new URL(urlOf(edgePort)).host}/play/asset/456/user/8

`
}

/** The token is in the URL fragment, which browsers do not send to the server. */
function toControls(origin: string, mode: Plan['mode'], token: string | undefined): string {
  if (token === undefined) return ''
  const controls = mode === 'embedded' ? '' : `Controls: ${origin}#controls=${token}\n`
  return `${controls}Tour: ${origin}tour#controls=${token}\n`
}

function toFlag(edgePort: number | undefined): string {
  return edgePort === services.play.port ? '' : ` -- --port ${edgePort}`
}
