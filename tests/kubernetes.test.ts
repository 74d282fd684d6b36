import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { z } from 'zod'
import { databasePool } from '../reporting/postgres/settings.ts'
import { serviceEntries } from '../services.ts'
import { serviceNames } from './harness/each-service.ts'
import { natsValues } from './harness/helm-values.ts'
import { findProblems } from './harness/kubernetes.ts'
import { connectionsIn } from './harness/kubernetes-connections.ts'
import { find, hasKubectl, parseManifests, render, workloadsIn } from './harness/kubernetes-manifests.ts'

const OVERLAYS = ['demo', 'production']
const ROOT = 'deploy/kubernetes'

/** Matches connections from a service, except to DNS and the internet. */
const PICTURED = /^(play|metadata|cdnurl|reporting|queue-listener) → (?!dns|internet)/

/** Mistakes in the production manifests: the original text, its replacement, and the expected problem. */
const MISTAKES: [string, string, RegExp][] = [
  ['periodSeconds: 2', 'periodSecond: 2', /schema: .*periodSecond/],
  ['readOnlyRootFilesystem: true', 'readOnlyRootFileSystem: true', /schema: .*readOnlyRootFileSystem/],
  ['containerPort: 8080', "containerPort: '8080'", /schema: .*containerPort must be number/],
  ['unhealthyPodEvictionPolicy:', 'unhealthyPodEvictionPolicies:', /schema: .*unhealthyPodEvictionPolicies/],
  ['podAntiAffinityType: required', 'podAntiAffinity: required', /schema: Cluster \/spec\/affinity .*podAntiAffinity/],
  ['instances: 3', "instances: '3'", /schema: Cluster \/spec\/instances must be number/],
  ['averageUtilization: 70', 'averageUtilisation: 70', /schema: .*averageUtilisation/],
  ['kind: CronJob', 'kind: CronJobs', /schema: there is no kind batch\/v1 CronJobs/],
  ['podSelector:', 'podSelectors:', /schema: NetworkPolicy .*podSelectors/],
  ['- name: FED_BY_LOG', '- name: FED_BY_LOGS', /reporting: reporting has no setting FED_BY_LOGS/],
  ['PLAY_RATE:', 'PLAYS_RATE:', /play: play has no setting PLAYS_RATE/],
  ['- metadata\n        env:', '- metdata\n        env:', /metadata: the image has no program metdata/],
  ['value: http://reporting:8082', 'value: http://reporting:8083', /nothing is reachable at REPORTING_URL/],
  ['value: http://cdnurl:8083', 'value: http://cdnurls:8083', /nothing is reachable at CDNURL_URL/],
  [',http://play-2.play-instances:8080', '', /doctor: reads the outboxes of play-0.*play-1.*, not .*play-2/],
  ['play-2.play-instances:8080', 'play-2.play-instances:8081', /nothing is reachable at PLAY_URL/],
  ['secretName: counts-app', 'secretName: count-app', /reporting: DATABASE_URL_FILE is .*, which does not exist/],
  ['value: /run/secrets/read/token', 'value: /run/secrets/read/tokn', /READ_TOKEN_FILE is .*tokn/],
  ['containerPort: 8081', 'containerPort: 8091', /metadata: does not listen on .*8091/],
  ['targetPort: operations', 'targetPort: http', /play: its Service forwards 9080 to http/],
  ['path: /readyz', 'path: /ready', /is probed at .*\/ready$/],
  ['seconds: 5', 'seconds: 0', /stops while it still receives requests/],
  ['terminationGracePeriodSeconds: 20', 'terminationGracePeriodSeconds: 15', /is killed before it has stopped/],
  ['allowPrivilegeEscalation: false', 'allowPrivilegeEscalation: true', /is not restricted/],
  ['- ALL', '- NET_RAW', /is not restricted/],
  ['runAsUser: 10001', 'runAsUser: 1000', /runs as 1000/],
  ['automountServiceAccountToken: false', 'automountServiceAccountToken: true', /gets a token/],
  ['enableServiceLinks: false', 'enableServiceLinks: true', /gets variables of other Services/],
  ['memory: 640Mi', 'memory: 512Mi', /play: its heap does not fit into 512 MiB/],
  ['memory: 72Mi', 'memory: 32Mi', /queue-listener: its memory does not cover the measured usage/],
  ['mountPath: /data', 'mountPath: /date', /play: loses its outbox/],
  [
    'maxUnavailable: 1\n  selector:\n    matchLabels:\n      app.kubernetes.io/name: play',
    'maxUnavailable: 1\n  selector:\n    matchLabels:\n      app.kubernetes.io/name: plays',
    /play: has no PodDisruptionBudget/,
  ],
  [
    'kind: Deployment\n    name: reporting',
    'kind: StatefulSet\n    name: reporting',
    /reporting: is not scaled by its autoscaler/,
  ],
  ['video-edge/access: gateway', 'video-edge/acces: gateway', /network: gateway → play:8080 is not allowed/],
  [
    'name: counts\n  namespace: video-edge\nspec:',
    'name: views\n  namespace: video-edge\nspec:',
    /DATABASE_URL_FILE is .*, which does not exist/,
  ],
  ['cnpg.io/cluster: counts', 'cnpg.io/cluster: count', /network: .* → postgres:5432 is not allowed/],
  ['port: 6222', 'port: 6223', /network: nats → nats:6222 is not allowed/],
  ['- Ingress\n  - Egress', '- Egress', /network: other-pod → play:8080 is allowed/],
]

const production = hasKubectl ? render('production') : ''

describe.skipIf(!hasKubectl)('deploy/kubernetes', () => {
  describe.each(OVERLAYS)('%s', (overlay) => {
    const text = hasKubectl ? render(overlay) : ''
    const objects = parseManifests(text)

    test('has no problems', () => {
      expect(findProblems(text)).toEqual([])
    })

    test('allows services only the connections in the README diagram, to NATS and Postgres, and from play to queue-listener', () => {
      const between = [...connectionsIn(objects)].filter((connection) => PICTURED.test(connection))
      expect(between.sort()).toEqual([
        'cdnurl → nats:4222',
        'metadata → nats:4222',
        'play → cdnurl:8083',
        'play → metadata:8081',
        'play → nats:4222',
        'play → queue-listener:8084',
        'play → reporting:8082',
        'queue-listener → nats:4222',
        'queue-listener → reporting:8082',
        'reporting → postgres:5432',
      ])
    })

    test('runs every service, all from one image', () => {
      const workloads = workloadsIn(objects)
      expect(workloads.map(({ name }) => name).sort()).toEqual([...serviceNames, 'doctor'].sort())
      expect(new Set(workloads.map(({ container }) => container.image)).size).toBe(1)
    })

    test('labels each service, so that an upgrade can be applied service by service', () => {
      for (const { name, object } of workloadsIn(objects).filter(({ name }) => name !== 'doctor')) {
        expect(object.metadata.labels?.['app.kubernetes.io/name']).toBe(name)
      }
    })

    test('enforces restricted Pod Security in its namespace', () => {
      const labels = objects.find(({ kind }) => kind === 'Namespace')?.metadata.labels
      expect(labels).toMatchObject({ 'pod-security.kubernetes.io/enforce': 'restricted' })
    })
  })

  /** https://prometheus.io/docs/prometheus/latest/configuration/configuration/#kubernetes_sd_config */
  const discovery = z.tuple([
    z.strictObject({
      role: z.literal('pod'),
      namespaces: z.strictObject({ names: z.tuple([z.literal('video-edge')]) }),
    }),
  ])

  test("lets Prometheus scrape each service's metrics port, under the job name that the alerts use", () => {
    const { scrape_configs: jobs } = parse(readFileSync(`${ROOT}/prometheus.yml`, 'utf8'))
    discovery.parse(jobs[0].kubernetes_sd_configs)
    const [keep, job] = jobs[0].relabel_configs
    const pattern = new RegExp(`^${keep.regex}$`)
    const kept = workloadsIn(parseManifests(production)).flatMap(({ name, labels, container }) =>
      (container.ports ?? []).flatMap((port) =>
        pattern.test([labels['app.kubernetes.io/part-of'], labels['app.kubernetes.io/name'], port.name].join(';'))
          ? [[name, port.containerPort] as const]
          : [],
      ),
    )
    const expected = serviceEntries.map(({ name, port }) => [name, name === 'play' ? 9_080 : port] as const)
    expect(new Map(kept)).toEqual(new Map(expected))
    expect(kept.length).toBe(expected.length)
    expect(job).toEqual({ source_labels: ['__meta_kubernetes_pod_label_app_kubernetes_io_name'], target_label: 'job' })
  })

  test.each(MISTAKES)('has a problem after the change %s → %s', (from, to, problem) => {
    expect(production).toContain(from)
    expect(findProblems(production.replaceAll(from, to))).toContainEqual(expect.stringMatching(problem))
  })
})

describe('with the Helm charts,', () => {
  const deploying = readFileSync('docs/deploying.md', 'utf8')
  const read = (overlay: string) => readFileSync(`${ROOT}/overlays/${overlay}/nats-values.yaml`, 'utf8')
  const nats = (overlay: string) => natsValues.parse(parse(read(overlay)))

  test.each(OVERLAYS)(
    'the %s overlay sets only values that exist in the NATS chart, and names the chart version',
    (overlay) => {
      nats(overlay)
      const [, version] = /chart nats (\d+\.\d+\.\d+)/.exec(read(overlay)) ?? []
      expect(deploying).toContain(
        `helm install nats nats --repo https://nats-io.github.io/k8s/helm/charts/ --version ${version} `,
      )
    },
  )

  test('a misspelt value is detected', () => {
    const values = parse(read('production').replace('fileStore:', 'filestore:'))
    expect(natsValues.safeParse(values).error?.issues).toContainEqual(expect.objectContaining({ keys: ['filestore'] }))
  })

  test('the commands in docs/deploying.md install the versions in its table', () => {
    const installed = [...deploying.matchAll(/^helm install \w+ (\S+) --repo (\S+) --version (\S+)/gm)]
    expect(installed.map(([, chart]) => chart)).toEqual(['nats', 'cloudnative-pg'])
    for (const [, chart, repository, version] of installed) {
      expect(deploying).toMatch(new RegExp(`^\\| \`${chart}\`.* \\| ${version} \\| ${repository} \\|$`, 'm'))
    }
  })

  test.skipIf(!hasKubectl)('the log has as many replicas as NATS has servers', () => {
    const replicas = workloadsIn(parseManifests(production)).map(({ env }) => env.EVENTS_REPLICAS)
    expect(new Set(replicas)).toEqual(new Set([undefined, String(nats('production').config.cluster?.replicas)]))
  })
})

test.skipIf(!hasKubectl)(
  'Postgres accepts enough connections for all reporting instances that the autoscaler may start',
  () => {
    const objects = parseManifests(production)
    const connections =
      (find(objects, 'HorizontalPodAutoscaler', 'reporting')?.spec?.maxReplicas ?? 0) * databasePool.parse(undefined)
    expect(connections).toBeGreaterThan(0)
    const accepted = find(objects, 'Cluster', 'counts')?.spec?.postgresql?.parameters.max_connections
    expect(connections).toBeLessThan(Number(accepted))
  },
)
