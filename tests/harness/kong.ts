import { z } from 'zod'

// A strict schema for the parts of the declarative format 3.0 that deploy/kong/kong.yaml uses. Kong publishes the
// schema of its entities in Lua, and decK publishes one in JSON (https://github.com/Kong/go-database-reconciler);
// neither is on npm. The file matches decK's schema, except that decK requires a `secret`, which Kong would generate.

const address = z.string().regex(/^[\w.-]+:\d+$/)
const name = z.string().regex(/^[\w.~-]+$/)
const milliseconds = z.int().min(1)

const jwt = z.strictObject({
  name: z.literal('jwt'),
  config: z.strictObject({
    claims_to_verify: z.array(z.enum(['exp', 'nbf'])),
    run_on_preflight: z.boolean().optional(),
    uri_param_names: z.array(z.string()).optional(),
  }),
})

const rateLimiting = z.strictObject({
  name: z.literal('rate-limiting'),
  config: z.strictObject({
    minute: z.int().min(1),
    limit_by: z.enum(['consumer', 'credential', 'ip', 'service', 'header', 'path']),
    policy: z.enum(['local', 'cluster', 'redis']),
  }),
})

const plugins = z.array(z.discriminatedUnion('name', [jwt, rateLimiting]))

const route = z.strictObject({
  name,
  hosts: z.array(z.string()),
  methods: z.array(z.enum(['GET', 'POST', 'OPTIONS'])),
  /** Prefixes, or regular expressions if they start with `~`. */
  paths: z.array(z.string().regex(/^~?\//)),
  strip_path: z.boolean(),
  preserve_host: z.boolean(),
  response_buffering: z.boolean().optional(),
})

const service = z.strictObject({
  name,
  host: z.string(),
  retries: z.int().min(0).max(32_767),
  connect_timeout: milliseconds,
  read_timeout: milliseconds,
  routes: z.array(route),
  plugins: plugins.optional(),
})

const upstream = z.strictObject({
  name,
  targets: z.array(z.strictObject({ target: address })),
  healthchecks: z.strictObject({
    passive: z.strictObject({
      healthy: z.strictObject({ successes: z.int().min(0).max(255) }),
      unhealthy: z.strictObject({ tcp_failures: z.int().min(0).max(255) }),
    }),
    active: z.strictObject({
      http_path: z.string().startsWith('/'),
      timeout: z.number(),
      healthy: z.strictObject({ interval: z.number(), successes: z.int() }),
      unhealthy: z.strictObject({ interval: z.number(), tcp_failures: z.int() }),
    }),
  }),
})

const consumer = z.strictObject({
  username: z.string(),
  jwt_secrets: z.array(z.strictObject({ key: z.string(), algorithm: z.literal('RS256'), rsa_public_key: z.string() })),
})

export const kongConfig = z.strictObject({
  _format_version: z.literal('3.0'),
  upstreams: z.array(upstream),
  services: z.array(service),
  plugins,
  consumers: z.array(consumer),
})
