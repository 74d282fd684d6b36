export type Labels = Record<string, string>

type Selector = { matchLabels?: Labels; matchExpressions?: { key: string; operator: string; values?: string[] }[] }
type Peer = { podSelector?: Selector; namespaceSelector?: Selector; ipBlock?: unknown }
type Rule = { from?: Peer[]; to?: Peer[]; ports?: { port: number; protocol?: string }[] }

/** A NetworkPolicy's `spec`. */
export type NetworkPolicy = { podSelector: Selector; policyTypes: string[]; ingress?: Rule[]; egress?: Rule[] }

/** A client or a server. A pod without `namespace` is in the policies' namespace. */
export type Endpoint = { name: string; labels?: Labels; namespace?: Labels; isExternal?: boolean }

/**
 * The connections that the policies allow, such as `play → metadata:8081`, on the ports that they mention.
 * https://kubernetes.io/docs/concepts/services-networking/network-policies/
 */
export function connectionsOf(
  policies: readonly NetworkPolicy[],
  sources: readonly Endpoint[],
  targets: readonly Endpoint[],
): string[] {
  const rules = policies.flatMap(({ ingress = [], egress = [] }) => [...ingress, ...egress])
  const ports = [...new Set(rules.flatMap(({ ports = [] }) => ports.map(({ port }) => port)))]
  return sources.flatMap((from) =>
    targets.flatMap((to) =>
      ports.filter((port) => isAllowed(policies, from, to, port)).map((port) => `${from.name} → ${to.name}:${port}`),
    ),
  )
}

function isAllowed(policies: readonly NetworkPolicy[], from: Endpoint, to: Endpoint, port: number): boolean {
  return permits(policies, 'Egress', from, to, port) && permits(policies, 'Ingress', to, from, port)
}

/** True if no policy selects the endpoint, or if a policy that selects it allows the peer. */
function permits(
  policies: readonly NetworkPolicy[],
  type: 'Ingress' | 'Egress',
  endpoint: Endpoint,
  peer: Endpoint,
  port: number,
): boolean {
  const isOurs = !endpoint.namespace && !endpoint.isExternal
  const selecting = policies.filter(({ podSelector, policyTypes }) => {
    return isOurs && policyTypes.includes(type) && matches(podSelector, endpoint.labels)
  })
  const rules = selecting.flatMap(({ ingress = [], egress = [] }) => (type === 'Ingress' ? ingress : egress))
  return selecting.length === 0 || rules.some((rule) => allows(rule, peer, port))
}

function allows({ from, to, ports }: Rule, peer: Endpoint, port: number): boolean {
  const peers = from ?? to
  const isPort = ports === undefined || ports.some((allowed) => allowed.port === port)
  return isPort && (peers === undefined || peers.some((allowed) => isPeer(allowed, peer)))
}

function isPeer(
  { podSelector, namespaceSelector, ipBlock }: Peer,
  { labels, namespace, isExternal }: Endpoint,
): boolean {
  if (ipBlock) return isExternal === true
  if (isExternal) return false
  const isNamespace = namespaceSelector ? matches(namespaceSelector, namespace ?? {}) : namespace === undefined
  return isNamespace && (!podSelector || matches(podSelector, labels))
}

function matches({ matchLabels = {}, matchExpressions = [] }: Selector, labels: Labels = {}): boolean {
  if (matchExpressions.some(({ operator }) => operator !== 'In')) throw new Error('only the operator In is implemented')
  return (
    Object.entries(matchLabels).every(([key, value]) => labels[key] === value) &&
    matchExpressions.every(({ key, values = [] }) => values.includes(labels[key] ?? ''))
  )
}
