import { z } from 'zod'
import { optionalSecret } from '../runtime/secret-settings.ts'

/** The Consul agent's address, as the client library expects it. */
export type ConsulAddress = { host: string; port: number; secure: boolean; socketPath?: string }

const FORM =
  'must be the address of a Consul agent, such as 127.0.0.1:8500, https://consul:8501 or unix:///run/consul.sock'

/** `CONSUL_HTTP_ADDR`, in the forms that the Consul CLI accepts. */
const consulAddress = z
  .string()
  .transform(toAddress)
  .pipe(z.custom<ConsulAddress>((address) => address !== undefined, { error: FORM }))

/** The values that Go's `strconv.ParseBool` accepts, as in the Consul CLI. */
const goBoolean = z
  .enum(['1', 't', 'T', 'TRUE', 'true', 'True', '0', 'f', 'F', 'FALSE', 'false', 'False'], {
    error: 'must be true or false',
  })
  .transform((text) => '1tTT'.includes(text.charAt(0)))

export const discoverySettings = {
  CONSUL_HTTP_ADDR: consulAddress.optional().meta({ description: 'Consul agent; enables discovery' }),
  CONSUL_HTTP_TOKEN: optionalSecret('Token for the Consul agent'),
  CONSUL_HTTP_SSL: goBoolean.optional().meta({ description: 'Use HTTPS for the Consul agent' }),
  CONSUL_NAMESPACE: z.string().optional().meta({ description: 'Namespace in Consul Enterprise' }),
  ADVERTISE_HOST: z
    .string()
    .regex(/^[\w.:-]+$/, { error: 'must be a host name or an address' })
    .optional()
    .meta({ description: 'Address to register in Consul; unset: HOST' }),
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
