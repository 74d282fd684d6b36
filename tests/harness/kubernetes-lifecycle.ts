import { services } from '../../services.ts'
import { LIVENESS, PROBES, READINESS } from '../../shared/contracts/probes.ts'
import { SHUTDOWN_MS } from '../../shared/service/run-service.ts'
import { isSelected, type KubernetesObject, type Workload } from './kubernetes-manifests.ts'

/** Container ports and Services must match the ports on which the service listens. Probes must use its probe paths. */
export function findPortProblems({ name, labels, env, container }: Workload, objects: KubernetesObject[]): string[] {
  const own = Object.values(services).find((service) => service.name === name)?.port
  const expected = { http: own, ...(env.OPS_PORT && { operations: Number(env.OPS_PORT) }) }
  const ports = Object.fromEntries((container.ports ?? []).map(({ name, containerPort }) => [name, containerPort]))
  const selecting = objects.filter(({ kind, spec }) => kind === 'Service' && isSelected(spec?.selector, labels))
  const wrong = selecting.flatMap(({ spec }) =>
    (spec?.ports ?? []).filter(({ port, targetPort }) => ports[targetPort] !== port),
  )
  const { startupProbe, livenessProbe, readinessProbe } = container
  const probes = [startupProbe, livenessProbe, readinessProbe].map((probe) => probe?.httpGet)
  const paths = probes.map((probe) => probe?.path)
  return [
    ...(JSON.stringify(ports) === JSON.stringify(expected)
      ? []
      : [`${name}: does not listen on ${JSON.stringify(ports)}`]),
    ...(selecting.some(({ metadata }) => metadata.name === name) ? [] : [`${name}: has no Service`]),
    ...wrong.map(({ port, targetPort }) => `${name}: its Service forwards ${port} to ${targetPort}`),
    ...(probes.every((probe) => probe?.port === 'http' && PROBES.has(probe.path)) &&
    paths.join() === [LIVENESS, LIVENESS, READINESS].join()
      ? []
      : [`${name}: is probed at ${paths.join()}`]),
  ]
}

/** `preStop` must delay the shutdown until the Pod's endpoint is removed. The shutdown then takes up to SHUTDOWN_MS. */
export function findLifecycleProblems({ name, pod, container }: Workload): string[] {
  const drainS = container.lifecycle?.preStop?.sleep?.seconds ?? 0
  const graceS = pod.terminationGracePeriodSeconds ?? 30
  return [
    ...(drainS > 0 ? [] : [`${name}: stops while it still receives requests`]),
    ...(graceS * 1_000 > drainS * 1_000 + SHUTDOWN_MS ? [] : [`${name}: is killed before it has stopped`]),
  ]
}

/** Workloads with multiple instances must be spread over nodes, and survive the drain of one node. */
export function findAvailabilityProblems(
  { name, labels, object, pod }: Workload,
  objects: KubernetesObject[],
): string[] {
  const scaler = objects.find(
    ({ kind, spec }) => kind === 'HorizontalPodAutoscaler' && spec?.scaleTargetRef.name === name,
  )?.spec
  const budget = objects.find(
    ({ kind, spec }) => kind === 'PodDisruptionBudget' && isSelected(spec?.selector.matchLabels, labels),
  )
  const instances = scaler?.minReplicas ?? object.spec?.replicas ?? 1
  const isSpread = pod.topologySpreadConstraints?.some(({ labelSelector }) =>
    isSelected(labelSelector.matchLabels, labels),
  )
  if (instances < 2) return budget ? [`${name}: blocks the drain of its node`] : []
  return [
    ...(budget ? [] : [`${name}: has no PodDisruptionBudget`]),
    ...(isSpread ? [] : [`${name}: may run on one node only`]),
    ...(scaler && (object.spec?.replicas !== undefined || scaler.scaleTargetRef.kind !== object.kind)
      ? [`${name}: is not scaled by its autoscaler`]
      : []),
  ]
}
