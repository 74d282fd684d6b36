import type { Plan } from './plan.ts'

const embedded = `
This is the embedded mode: no nats-server was found, so all services share one process, and the event log is a file.
Each view counts once here too, but the services do not fail one by one, and none can have a second instance.
For the real thing install NATS and start again: apt install nats-server, brew install nats-server,
or https://github.com/nats-io/nats-server/releases; or set NATS_URL.
`

/** What is printed once everything can be used. */
export function greeting({ mode, services, consul }: Pick<Plan, 'mode' | 'services' | 'consul'>): string {
  const line = (name: string, url: string) => `  ${name.padEnd(15)} ${url}\n`
  const own = services.map(({ name, port }) => line(name, `http://localhost:${port}`))
  const addresses = [...own, ...(consul ? [line('Consul', `http://localhost:${consul}/ui`)] : [])].join('')
  const edge = services.find(({ name }) => name === 'play')?.port
  return `
Ready.

${addresses}${mode === 'embedded' ? embedded : ''}
See: http://localhost:${edge}/
Try: curl -X POST localhost:${edge}/play/asset/456/user/8

`
}
