import { execFileSync, spawnSync } from 'node:child_process'
import { parseAllDocuments } from 'yaml'
import { failIfCiNeeds } from './ci-needs.ts'
import type { Labels, NetworkPolicy } from './kubernetes-network.ts'

/** True if kubectl is installed with Kustomize 5, which renders without a cluster. */
export const hasKubectl = failIfCiNeeds('kubectl', hasKustomize())

type Probe = { httpGet: { path: string; port: string } }

type Container = {
  image: string
  args: string[]
  env: { name: string; value: string }[]
  envFrom?: { configMapRef: { name: string } }[]
  ports?: { name: string; containerPort: number }[]
  resources?: { requests?: Labels; limits?: Labels }
  volumeMounts?: { name: string; mountPath: string; readOnly?: boolean }[]
  securityContext?: {
    allowPrivilegeEscalation?: boolean
    readOnlyRootFilesystem?: boolean
    capabilities?: { drop?: string[] }
  }
  lifecycle?: { preStop?: { sleep?: { seconds: number } } }
  startupProbe?: Probe
  livenessProbe?: Probe
  readinessProbe?: Probe
}

type Pod = {
  serviceAccountName: string
  automountServiceAccountToken?: boolean
  enableServiceLinks?: boolean
  securityContext?: { runAsNonRoot?: boolean; runAsUser?: number; seccompProfile?: { type: string } }
  containers: [Container]
  terminationGracePeriodSeconds?: number
  topologySpreadConstraints?: { topologyKey: string; labelSelector: { matchLabels: Labels } }[]
  volumes?: { name: string; secret?: { secretName: string } }[]
}

type Template = { metadata: { labels: Labels }; spec: Pod }

/** The union of the fields of all kinds. */
export type KubernetesObject = {
  apiVersion: string
  kind: string
  metadata: { name: string; labels?: Labels }
  automountServiceAccountToken?: boolean
  data?: Labels
  spec?: {
    template: Template
    jobTemplate?: { spec: { template: Template } }
    replicas?: number
    serviceName?: string
    clusterIP?: string
    selector: Labels & { matchLabels: Labels }
    ports: { name: string; port: number; targetPort: string }[]
    volumeClaimTemplates?: { metadata: { name: string } }[]
    scaleTargetRef: { kind: string; name: string }
    minReplicas: number
    maxReplicas: number
    postgresql?: { parameters: Labels }
  } & Partial<NetworkPolicy>
}

/** A program's workload, with its environment. */
export type Workload = {
  object: KubernetesObject
  name: string
  labels: Labels
  pod: Pod
  container: Container
  env: Labels
}

function hasKustomize(): boolean {
  const { stdout } = spawnSync('kubectl', ['version', '--client', '--output', 'json'], { encoding: 'utf8' })
  return /"kustomizeVersion": "v5/.test(stdout ?? '')
}

/** An overlay's manifests, as `kubectl apply --kustomize` sends them. */
export function render(overlay: string): string {
  return execFileSync('kubectl', ['kustomize', `deploy/kubernetes/overlays/${overlay}`], { encoding: 'utf8' })
}

export function parseManifests(text: string): KubernetesObject[] {
  return parseAllDocuments(text).map((document) => document.toJS())
}

export function workloadsIn(objects: readonly KubernetesObject[]): Workload[] {
  return objects.flatMap((object) => {
    const template = object.spec?.jobTemplate?.spec.template ?? object.spec?.template
    if (!template) return []
    const [container] = template.spec.containers
    const env = Object.fromEntries(container.env.map(({ name, value }) => [name, value]))
    return [
      { object, name: object.metadata.name, labels: template.metadata.labels, pod: template.spec, container, env },
    ]
  })
}

/** The object with the given kind and name. */
export function find(objects: readonly KubernetesObject[], kind: string, name: string): KubernetesObject | undefined {
  return objects.find((object) => object.kind === kind && object.metadata.name === name)
}

export function isSelected(selector: Labels | undefined, labels: Labels): boolean {
  return selector !== undefined && Object.entries(selector).every(([key, value]) => labels[key] === value)
}
