import { z } from 'zod'

// The values that deploy/kubernetes sets, strictly: a chart ignores a misspelt one. Neither chart is on npm, and that of
// NATS has no schema. https://github.com/nats-io/k8s/tree/main/helm/charts/nats
// https://github.com/cloudnative-pg/charts/tree/main/charts/cluster

const size = z.string().regex(/^\d+(Mi|Gi)$/)
const resources = z.strictObject({
  requests: z.strictObject({ cpu: z.string(), memory: size }),
  limits: z.strictObject({ memory: size }),
})
const securityContext = z.strictObject({
  allowPrivilegeEscalation: z.literal(false),
  readOnlyRootFilesystem: z.literal(true),
  capabilities: z.strictObject({ drop: z.tuple([z.literal('ALL')]) }),
})

export const natsValues = z.strictObject({
  config: z.strictObject({
    cluster: z.strictObject({ enabled: z.literal(true), replicas: z.int() }).optional(),
    jetstream: z.strictObject({
      enabled: z.literal(true),
      fileStore: z.strictObject({ pvc: z.strictObject({ size }) }),
      merge: z.strictObject({ sync_interval: z.literal('always') }),
    }),
  }),
  container: z.strictObject({
    env: z.strictObject({ GOMEMLIMIT: z.string().regex(/^\d+MiB$/) }),
    merge: z.strictObject({ resources, securityContext }),
  }),
  reloader: z.strictObject({ merge: z.strictObject({ securityContext }) }),
  podTemplate: z.strictObject({
    topologySpreadConstraints: z
      .strictObject({
        'kubernetes.io/hostname': z.strictObject({ maxSkew: z.int(), whenUnsatisfiable: z.literal('DoNotSchedule') }),
      })
      .optional(),
    merge: z.strictObject({
      spec: z.strictObject({
        automountServiceAccountToken: z.literal(false),
        securityContext: z.strictObject({
          runAsNonRoot: z.literal(true),
          runAsUser: z.int(),
          runAsGroup: z.int(),
          fsGroup: z.int(),
          seccompProfile: z.strictObject({ type: z.literal('RuntimeDefault') }),
        }),
      }),
    }),
  }),
  natsBox: z.strictObject({ enabled: z.literal(false) }),
})

export const postgresValues = z.strictObject({
  fullnameOverride: z.string(),
  version: z.strictObject({ postgresql: z.string() }),
  cluster: z.strictObject({
    instances: z.int(),
    storage: z.strictObject({ size }),
    walStorage: z.strictObject({ enabled: z.literal(true), size }).optional(),
    resources,
    affinity: z.strictObject({ topologyKey: z.string() }).optional(),
    enableSuperuserAccess: z.literal(false),
    enablePDB: z.boolean().optional(),
    postgresql: z
      .strictObject({
        parameters: z.strictObject({ max_connections: z.string(), shared_buffers: z.string() }),
        synchronous: z.strictObject({ method: z.enum(['any', 'first']), number: z.int() }),
      })
      .optional(),
  }),
})
