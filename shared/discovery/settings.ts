import { z } from 'zod'

/** Where the Consul agent is, in the words of its client library. */
export type ConsulAddress = { host: string; port: number; secure: boolean; socketPath?: string }

const FORM =
  'must be the address of a Consul agent, such as 127.0.0.1:8500, https://consul:8501 or unix:///run/consul.sock'

/** `CONSUL_HTTP_ADDR` as Consul's own command line reads it. */
const consulAddress = z
  .string()
  .transform(toAddress)
  .pipe(z.custom<ConsulAddress>((address) => address !== undefined, { error: FORM }))

/** What Go's `strconv.ParseBool` takes, which is what Consul's own command line does. */
const goBoolean = z
  .enum(['1', 't', 'T', 'TRUE', 'true', 'True', '0', 'f', 'F', 'FALSE', 'false', 'False'], {
    error: 'must be true or false',
  })
  .transform((text) => '1tTT'.includes(text.charAt(0)))

/** How a service finds the others, and is found. */
export const discoverySettings = {
  CONSUL_HTTP_ADDR: consulAddress.optional().meta({ description: 'Consul agent: turns discovery on' }),
  CONSUL_HTTP_TOKEN: z.string().optional().meta({ description: 'Token for the Consul agent' }),
  CONSUL_HTTP_SSL: goBoolean.optional().meta({ description: 'Whether the Consul agent is asked over HTTPS' }),
  CONSUL_NAMESPACE: z.string().optional().meta({ description: 'Namespace in Consul Enterprise' }),
  ADVERTISE_HOST: z
    .string()
    .regex(/^[\w.:-]+$/, { error: 'must be a host name or an address' })
    .optional()
    .meta({ description: 'Address that Consul tells the others; none tells the one that is listened on' }),
}

export type DiscoverySettings = z.output<z.ZodObject<typeof discoverySettings>>

function toAddress(text: string): ConsulAddress | undefined {
  const [, scheme = 'http', rest = ''] = /^(?:([a-z]+):\/\/)?(.+)$/.exec(text) ?? []
  if (scheme === 'unix') return { host: 'localhost', port: 80, secure: false, socketPath: rest }
  const url = URL.canParse(`${scheme}://${rest}`) ? new URL(`${scheme}://${rest}`) : undefined
  if (!url || !/^https?$/.test(scheme) || url.pathname !== '/' || url.search || url.username) return undefined
  const secure = scheme === 'https'
  return { host: url.hostname, port: Number(url.port) || (secure ? 443 : 80), secure }
}
