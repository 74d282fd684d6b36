import { z } from 'zod'

// A strict schema for the values that deploy/kubernetes sets. The chart has no schema, and ignores a misspelt value.
// https://github.com/nats-io/k8s/tree/main/helm/charts/nats

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
