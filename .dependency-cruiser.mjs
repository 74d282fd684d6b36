import { services } from './services.ts'

const anyOf = (names) => `(${names.join('|')})`
const service = anyOf(Object.keys(services))

/** The directories of shared/, lowest layer first. Each directory imports only from lower layers. */
const LAYERS = [
  ['runtime', 'contracts'],
  ['tracing', 'nats', 'discovery', 'signing', 'records'],
  ['event-log', 'stores', 'service'],
  ['http', 'client'],
  ['live', 'catalogue'],
]

const isTest = '(\\.test(-suite)?\\.ts$|^tests/|^shared/testing/)'
/** The benchmark and the screenshot script start the whole system with the test harness. */
const usesHarness = '^scripts/(bench/|screenshot\\.ts$)'

const layerRules = LAYERS.flatMap((directories, level) =>
  directories.map((directory) => ({
    name: `layer-${directory}`,
    comment: `shared/${directory} imports only lower layers of shared: ${LAYERS.slice(0, level).flat().join(', ') || 'none'}.`,
    severity: 'error',
    from: { path: `^shared/${directory}/`, pathNot: isTest },
    to: { path: '^shared/', pathNot: `^shared/${anyOf([directory, ...LAYERS.slice(0, level).flat()])}/` },
  })),
)

const rules = [
  {
    name: 'no-main',
    comment: 'main.ts files are entry points; nothing imports them.',
    from: {},
    to: { path: '(^|/)main\\.ts$' },
  },
  {
    name: 'shared-is-independent',
    comment: 'shared/ depends neither on a service nor on services.ts.',
    from: { path: '^shared/', pathNot: isTest },
    to: { pathNot: '^(shared|node_modules)/', dependencyTypesNot: ['core'] },
  },
  {
    name: 'services-are-independent',
    comment: 'No service imports another; code that two services need belongs in shared/.',
    from: { path: `^${service}/` },
    to: { path: `^${service}/`, pathNot: '^$1/' },
  },
  {
    name: 'console-is-independent',
    comment: 'play mounts the console; the console imports no service.',
    from: { path: '^console/' },
    to: { path: `^(${service}|embedded)/` },
  },
  {
    name: 'cdn-is-independent',
    comment: 'cdn/ stands in for a CDN, so it must not depend on any service.',
    from: { path: '^cdn/' },
    to: { path: `^(${service}|embedded|console)/` },
  },
  {
    name: 'embedded-is-on-top',
    comment: 'embedded/ composes the services; nothing imports it.',
    from: { pathNot: `^embedded/|${isTest}` },
    to: { path: '^embedded/' },
  },
  {
    name: 'no-clients-in-apps',
    comment: 'app.ts takes plain functions; service.ts connects them to HTTP clients, NATS and discovery.',
    from: { path: '/app\\.ts$' },
    to: { path: '^shared/(client|nats|discovery|event-log)/|^node_modules/(undici|nats|consul)/' },
  },
  {
    name: 'nats-in-shared',
    comment: 'Only shared/ uses the NATS client library, so that the library can be replaced in one place.',
    from: { pathNot: `^shared/|${isTest}` },
    to: { path: '^node_modules/nats/' },
  },
  {
    name: 'no-test-code',
    comment: 'Only tests import tests/ and shared/testing/.',
    from: { pathNot: `${isTest}|${usesHarness}` },
    to: { path: '^(tests|shared/testing)/' },
  },
  {
    name: 'no-circular',
    comment: 'No circular dependencies.',
    from: {},
    to: { circular: true },
  },
  {
    name: 'layer-unknown',
    comment: 'Every directory of shared/ is listed in LAYERS; there are no files directly in shared/.',
    from: { path: '^shared/', pathNot: `${isTest}|^shared/${anyOf(LAYERS.flat())}/` },
    to: {},
  },
  ...layerRules,
]

/** `npm run check` enforces these rules; tests/layers.test.ts verifies that each of them catches a violation. */
export default {
  forbidden: rules.map((rule) => ({ severity: 'error', ...rule })),
  options: {
    doNotFollow: { path: 'node_modules' },
    preserveSymlinks: true,
    // Check type-only imports too.
    tsPreCompilationDeps: true,
    enhancedResolveOptions: {
      extensions: ['.ts', '.js'],
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default'],
    },
  },
}
