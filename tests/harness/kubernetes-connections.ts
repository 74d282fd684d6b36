import { services } from '../../services.ts'
import { find, type KubernetesObject, type Workload, workloadsIn } from './kubernetes-manifests.ts'
import { connectionsOf, type Endpoint, type NetworkPolicy } from './kubernetes-network.ts'

/** NATS and Postgres, with the Pod labels that the NATS chart and CloudNativePG set. */
const NATS = { name: 'nats', labels: { 'app.kubernetes.io/name': 'nats' }, port: 4_222 }
const POSTGRES = { name: 'postgres', labels: { 'cnpg.io/cluster': 'counts' }, port: 5_432 }

/** Endpoints other than the workloads, including some that must not be able to connect. */
const OTHERS: Endpoint[] = [
  NATS,
  POSTGRES,
  { name: 'gateway', namespace: { 'video-edge/access': 'gateway' } },
  { name: 'monitoring', namespace: { 'video-edge/access': 'monitoring' } },
  { name: 'dns', labels: { 'k8s-app': 'kube-dns' }, namespace: { 'kubernetes.io/metadata.name': 'kube-system' } },
  {
    name: 'operator',
    labels: { 'app.kubernetes.io/name': 'cloudnative-pg' },
    namespace: { 'kubernetes.io/metadata.name': 'cnpg-system' },
  },
  { name: 'other-pod' },
  { name: 'stranger', labels: { 'app.kubernetes.io/name': 'play' }, namespace: { team: 'other' } },
  { name: 'internet', isExternal: true },
]

/** URLs must name a Service, and one of its ports. */
export function findUrlProblems({ name, env }: Workload, objects: KubernetesObject[]): string[] {
  return Object.entries(env).flatMap(([variable, value]) =>
    endpointsIn(value).flatMap(({ service, port }) => {
      const ports =
        find(objects, 'Service', service)?.spec?.ports.map(({ port }) => port) ??
        (service === NATS.name ? [NATS.port] : [])
      return ports.includes(port) ? [] : [`${name}: nothing is reachable at ${variable}=${value}`]
    }),
  )
}

/** The doctor must read the outbox of every play instance. */
export function findDoctorProblems(objects: KubernetesObject[], workloads: Workload[]): string[] {
  const play = find(objects, 'StatefulSet', 'play')?.spec
  const pods = Array.from({ length: play?.replicas ?? 1 }, (_, n) => `play-${n}.${play?.serviceName}`)
  const doctor = workloads.find(({ name }) => name === 'doctor')
  const read = endpointsIn(doctor?.env.PLAY_URL ?? '').map(({ host }) => host)
  return read.join() === pods.join() ? [] : [`doctor: reads the outboxes of ${read}, not ${pods}`]
}

/** The servers in a list of URLs. A host such as `play-0.play-instances` is a pod behind the Service `play-instances`. */
function endpointsIn(value: string) {
  return value.split(',').flatMap((url) => {
    const [, host = '', port] = /^(?:http|nats):\/\/([\w.-]+):(\d+)$/.exec(url) ?? []
    return port === undefined ? [] : [{ host, service: host.replace(/^.*\./, ''), port: Number(port) }]
  })
}

/** The NetworkPolicies must allow exactly the connections that the settings and the other endpoints need. */
export function findConnectionProblems(objects: KubernetesObject[], workloads: Workload[]): string[] {
  const allowed = connectionsIn(objects)
  const needed = new Set(connectionsNeeded(objects, workloads))
  return [
    ...[...allowed.difference(needed)].map((connection) => `network: ${connection} is allowed`),
    ...[...needed.difference(allowed)].map((connection) => `network: ${connection} is not allowed`),
  ]
}

/** The connections that NetworkPolicies allow to and from the services, NATS and Postgres. */
export function connectionsIn(objects: readonly KubernetesObject[]): Set<string> {
  const workloads = workloadsIn(objects)
  const all = [...workloads, ...OTHERS]
  const policies = objects.flatMap(toPolicies)
  const inbound = connectionsOf(policies, all, [...workloads, NATS, POSTGRES])
  const outbound = connectionsOf(policies, workloads, all)
  return new Set([...inbound, ...outbound])
}

function toPolicies({ kind, spec }: KubernetesObject): NetworkPolicy[] {
  if (kind !== 'NetworkPolicy' || !spec?.podSelector || !spec.policyTypes) return []
  const { podSelector, policyTypes, ingress, egress } = spec
  return [{ podSelector, policyTypes, ...(ingress && { ingress }), ...(egress && { egress }) }]
}

/** The program in the pods that a Service selects. NATS has no Service in the manifests. */
function programOf(service: string, objects: KubernetesObject[]): string {
  return find(objects, 'Service', service)?.spec?.selector['app.kubernetes.io/name'] ?? service
}

function connectionsNeeded(objects: KubernetesObject[], workloads: Workload[]): string[] {
  const names = workloads.map(({ name }) => name)
  return [
    ...workloads.flatMap(({ name, env, container }) => [
      ...Object.values(env)
        .flatMap(endpointsIn)
        .map(({ service, port }) => `${name} → ${programOf(service, objects)}:${port}`),
      ...(env.DATABASE_URL_FILE ? [`${name} → ${POSTGRES.name}:${POSTGRES.port}`] : []),
      ...(container.envFrom?.some(
        ({ configMapRef }) => find(objects, 'ConfigMap', configMapRef.name)?.data?.AUTH_JWKS_URL,
      )
        ? [`${name} → internet:443`]
        : []),
      `${name} → dns:53`,
    ]),
    ...Object.values(services).map(({ name, port }) => `monitoring → ${name}:${name === 'play' ? 9_080 : port}`),
    ...names.filter((name) => name === 'doctor').map((name) => `${name} → play:9080`),
    'gateway → play:8080',
    'nats → nats:6222',
    'postgres → postgres:5432',
    'operator → postgres:8000',
  ]
}
