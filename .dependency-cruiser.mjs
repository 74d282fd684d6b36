import { services } from './services.ts'

const anyOf = (names) => `(${names.join('|')})`
const service = anyOf(Object.keys(services))

/** The directories of shared/, lowest layer first. A directory imports only directories of lower layers. */
const LAYERS = [
  ['runtime', 'contracts'],
  ['tracing', 'nats', 'discovery'],
  ['event-log', 'stores', 'service'],
  ['http', 'client'],
  ['live', 'catalogue'],
]

const isTest = '(\\.test\\.ts$|^tests/|^shared/testing/)'
/** The benchmark and the screenshot start whole systems, as the tests do. */
const usesHarness = '^scripts/(bench/|screenshot\\.ts$)'

const layerRules = LAYERS.flatMap((directories, height) =>
  directories.map((directory) => ({
    name: `layer-${directory}`,
    comment: `shared/${directory} imports only lower layers of shared: ${LAYERS.slice(0, height).flat().join(', ') || 'none'}.`,
    severity: 'error',
    from: { path: `^shared/${directory}/`, pathNot: isTest },
    to: { path: '^shared/', pathNot: `^shared/${anyOf([directory, ...LAYERS.slice(0, height).flat()])}/` },
  })),
)

const rules = [
  {
    name: 'no-main',
    comment: 'A main.ts runs a process; nothing imports it.',
    from: {},
    to: { path: '(^|/)main\\.ts$' },
  },
  {
    name: 'shared-is-independent',
    comment: 'shared/ knows no service, nor the list of them.',
    from: { path: '^shared/', pathNot: isTest },
    to: { pathNot: '^(shared|node_modules)/', dependencyTypesNot: ['core'] },
  },
  {
    name: 'services-are-independent',
    comment: 'No service imports another; what two of them need is in shared/.',
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
    name: 'embedded-is-on-top',
    comment: 'embedded/ composes the services; nothing imports it.',
    from: { pathNot: `^embedded/|${isTest}` },
    to: { path: '^embedded/' },
  },
  {
    name: 'apps-know-functions',
    comment: 'app.ts knows functions; HTTP clients, NATS and discovery meet in service.ts.',
    from: { path: '/app\\.ts$' },
    to: { path: '^shared/(client|nats|discovery|event-log)/|^node_modules/(undici|nats|consul)/' },
  },
  {
    name: 'nats-in-shared',
    comment: 'Only shared/ uses the NATS client, so that replacing it is one change.',
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
    comment: 'No circle of files.',
    from: {},
    to: { circular: true },
  },
  ...layerRules,
]

/** Checks the layers; `npm run check` runs it, and tests/layers.test.ts breaks each rule. */
export default {
  forbidden: rules.map((rule) => ({ severity: 'error', ...rule })),
  options: {
    doNotFollow: { path: 'node_modules' },
    preserveSymlinks: true,
    // Type imports count.
    tsPreCompilationDeps: true,
    enhancedResolveOptions: {
      extensions: ['.ts', '.js'],
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default'],
    },
  },
}
