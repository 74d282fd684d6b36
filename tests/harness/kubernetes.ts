import { readFileSync } from 'node:fs'
import { services } from '../../services.ts'
import { findUnknownSettings, heapFits } from './image-programs.ts'
import { findConnectionProblems, findDoctorProblems, findUrlProblems } from './kubernetes-connections.ts'
import { findAvailabilityProblems, findLifecycleProblems, findPortProblems } from './kubernetes-lifecycle.ts'
import { find, type KubernetesObject, parseManifests, type Workload, workloadsIn } from './kubernetes-manifests.ts'
import { createKubernetesSchema } from './kubernetes-schema.ts'

/** The uid that the image runs as. */
const USER = 10_001

/** Keys of the secret that CloudNativePG creates: https://cloudnative-pg.io/documentation/current/applications/ */
const DATABASE_KEYS = ['uri', 'username', 'password', 'dbname', 'host', 'port']

let schema: ReturnType<typeof createKubernetesSchema> | undefined
const deploying = readFileSync('docs/deploying.md', 'utf8')
const createdByCommands = secretsIn(deploying)

/** Returns one line for each problem in the manifests. */
export function findProblems(text: string): string[] {
  const objects = parseManifests(text)
  schema ??= createKubernetesSchema()
  const invalid = objects.flatMap(schema)
  if (invalid.length > 0) return invalid
  const workloads = workloadsIn(objects)
  const databases = objects.filter(({ kind }) => kind === 'Cluster').map(({ metadata }) => `${metadata.name}-app`)
  const secrets = { ...createdByCommands, ...Object.fromEntries(databases.map((name) => [name, DATABASE_KEYS])) }
  return [
    ...workloads.flatMap((workload) => [
      ...findSettingProblems(workload, objects),
      ...findSecretProblems(workload, secrets),
      ...findUrlProblems(workload, objects),
      ...findPrivileges(workload, objects),
      ...findResourceProblems(workload),
      ...findStorageProblems(workload, objects),
      ...(workload.name in services
        ? [...findPortProblems(workload, objects), ...findLifecycleProblems(workload)]
        : []),
      ...findAvailabilityProblems(workload, objects),
    ]),
    ...findDoctorProblems(objects, workloads),
    ...findConnectionProblems(objects, workloads),
  ]
}

/** Every environment variable must be one of the program's settings. */
function findSettingProblems({ name, container: { args, env, envFrom = [] } }: Workload, objects: KubernetesObject[]) {
  const maps = envFrom.map(({ configMapRef }) => find(objects, 'ConfigMap', configMapRef.name)?.data)
  const variables = [...env.map(({ name }) => name), ...maps.flatMap((data) => Object.keys(data ?? {}))]
  return [
    ...findUnknownSettings(args[0], variables),
    ...(maps.includes(undefined) ? ['there is no ConfigMap with its settings'] : []),
    ...(args[0] === name ? [] : [`runs ${args[0]}`]),
  ].map((problem) => `${name}: ${problem}`)
}

/** Verifies that each secret setting points to a key of a Secret that the documentation creates, mounted read-only. */
function findSecretProblems(
  { name, env, pod: { volumes = [] }, container: { volumeMounts = [] } }: Workload,
  secrets: Record<string, string[]>,
) {
  const files = volumeMounts.flatMap(({ name, mountPath, readOnly }) => {
    const secret = volumes.find((volume) => volume.name === name)?.secret?.secretName
    return readOnly && secret ? (secrets[secret] ?? []).map((key) => `${mountPath}/${key}`) : []
  })
  const settings = Object.entries(env).filter(([variable]) => variable.endsWith('_FILE'))
  return settings
    .filter(([, path]) => !files.includes(path))
    .map(([variable, path]) => `${name}: ${variable} is ${path}, which does not exist`)
}

/** The secrets that the commands in a document create, with their keys. */
function secretsIn(text: string): Record<string, string[]> {
  const commands = text.matchAll(/kubectl create secret generic (\S+) --from-literal[= ](\w+)=/g)
  return Object.fromEntries([...commands].map(([, name, key]) => [name, [key]]))
}

/** Requires the Pod Security Standard `restricted`, a read-only root file system, and no service account token. */
function findPrivileges({ name, pod, container }: Workload, objects: KubernetesObject[]): string[] {
  const { runAsNonRoot, runAsUser, seccompProfile } = pod.securityContext ?? {}
  const { allowPrivilegeEscalation, readOnlyRootFilesystem, capabilities } = container.securityContext ?? {}
  const account = find(objects, 'ServiceAccount', pod.serviceAccountName)
  const isRestricted =
    runAsNonRoot &&
    seccompProfile?.type === 'RuntimeDefault' &&
    allowPrivilegeEscalation === false &&
    capabilities?.drop?.includes('ALL')
  return [
    ...(isRestricted ? [] : [`${name}: is not restricted`]),
    ...(readOnlyRootFilesystem ? [] : [`${name}: can write to its root file system`]),
    ...(runAsUser === USER ? [] : [`${name}: runs as ${runAsUser}, which may not write to /data`]),
    ...(pod.automountServiceAccountToken === false && account?.automountServiceAccountToken === false
      ? []
      : [`${name}: gets a token`]),
    ...(pod.enableServiceLinks === false ? [] : [`${name}: gets variables of other Services`]),
  ]
}

/** The memory request must cover the measured usage. The limit must also cover the usage with a cold file cache. */
function findResourceProblems({ name, env, container: { resources } }: Workload): string[] {
  const { requests, limits } = resources ?? {}
  const [request, limit] = [requests?.memory, limits?.memory].map(toMebibytes)
  const measured = new RegExp(`^\\| ${name} \\| \\d+ \\| \\d+ \\| (\\d+) \\| \\d+ \\| (\\d+) \\|$`, 'm').exec(deploying)
  const [, used = 0, withFiles = 0] = (measured ?? []).map(Number)
  if (!request || !limit || !/^\d+m?$/.test(requests?.cpu ?? '')) return [`${name}: has no requests or limits`]
  return [
    ...(request <= limit && request >= used && limit >= withFiles
      ? []
      : [`${name}: its memory does not cover the measured usage`]),
    ...(name in services && !heapFits(env.NODE_OPTIONS, limit)
      ? [`${name}: its heap does not fit into ${limit} MiB`]
      : []),
  ]
}

function toMebibytes(quantity = ''): number {
  const [, number, unit] = /^(\d+)(Mi|Gi)$/.exec(quantity) ?? []
  return Number(number) * (unit === 'Gi' ? 1_024 : 1)
}

/** play must keep its outbox in a volume claim of its StatefulSet. */
function findStorageProblems(
  { name, object: { spec }, container: { volumeMounts = [] } }: Workload,
  objects: KubernetesObject[],
) {
  const claims = (spec?.volumeClaimTemplates ?? []).map(({ metadata }) => metadata.name)
  const data = volumeMounts.find(({ mountPath }) => mountPath === '/data')
  const governing = find(objects, 'Service', spec?.serviceName ?? '')
  const keepsData = data !== undefined && claims.includes(data.name) && governing?.spec?.clusterIP === 'None'
  return name === 'play' && !keepsData ? [`${name}: loses its outbox`] : []
}
