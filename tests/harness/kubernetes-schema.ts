import { Ajv, type SchemaObject } from 'ajv'
import ts from 'typescript'

/** The file that defines the types of each API version in use. */
const FILES: Record<string, string> = {
  v1: 'kubernetes-types/core/v1.d.ts',
  'apps/v1': 'kubernetes-types/apps/v1.d.ts',
  'autoscaling/v2': 'kubernetes-types/autoscaling/v2.d.ts',
  'batch/v1': 'kubernetes-types/batch/v1.d.ts',
  'networking.k8s.io/v1': 'kubernetes-types/networking/v1.d.ts',
  'policy/v1': 'kubernetes-types/policy/v1.d.ts',
  'postgresql.cnpg.io/v1': '@kubernetes-models/cloudnative-pg/postgresql.cnpg.io/v1/index.d.ts',
}

/** Fields that every object must have, although the Kubernetes types make them optional. */
const REQUIRED = ['apiVersion', 'kind', 'metadata']

/**
 * Compiles the schemas in kubernetes-types and @kubernetes-models, which are generated from the Kubernetes OpenAPI
 * document and from CloudNativePG's code. Unknown fields are errors, as they are for the API server with
 * `--validate=strict`.
 * @returns a function that validates an object, and returns one line per problem
 */
export function createKubernetesSchema(): (object: { apiVersion: string; kind: string }) => string[] {
  const program = ts.createProgram(Object.values(FILES).map(toPath), {
    module: ts.ModuleKind.NodeNext,
    noEmit: true,
    strict: true,
    types: [],
  })
  const checker = program.getTypeChecker()
  const ajv = new Ajv({ allErrors: true })
  const compiled = new Map<string, ReturnType<Ajv['compile']>>()

  function compile(apiVersion: string, kind: string) {
    const file = program.getSourceFile(toPath(FILES[apiVersion] ?? ''))
    const symbol = file && checker.getSymbolAtLocation(file)
    const exported = symbol ? checker.getExportsOfModule(symbol) : []
    // Prefer the interface `I<kind>`: @kubernetes-models also exports a class for each kind.
    const found = exported.find(({ name }) => name === `I${kind}`) ?? exported.find(({ name }) => name === kind)
    if (!found) return undefined
    const { schema, definitions } = toJsonSchema(checker, checker.getDeclaredTypeOfSymbol(found))
    return ajv.compile({ type: 'object', allOf: [schema], required: REQUIRED, definitions })
  }

  return (object) => {
    const { apiVersion, kind } = object
    const name = `${apiVersion} ${kind}`
    const validate = compiled.get(name) ?? compile(apiVersion, kind)
    if (!validate) return [`schema: there is no kind ${name}`]
    compiled.set(name, validate)
    validate(object)
    return (validate.errors ?? []).map(({ instancePath, message, params }) => {
      return `schema: ${kind} ${instancePath} ${message} ${JSON.stringify(params)}`
    })
  }
}

function toPath(file: string): string {
  return `node_modules/${file}`
}

/**
 * Converts a type to a JSON schema that forbids additional properties. Interfaces become definitions, because they may
 * be recursive.
 */
function toJsonSchema(checker: ts.TypeChecker, root: ts.Type) {
  const definitions: Record<string, SchemaObject> = {}
  const names = new Map<ts.Type, string>()

  function convert(type: ts.Type): SchemaObject {
    if (type.isStringLiteral() || type.isNumberLiteral()) return { const: type.value }
    if (type.flags & ts.TypeFlags.String) return { type: 'string' }
    if (type.flags & ts.TypeFlags.Number) return { type: 'number' }
    if (type.flags & ts.TypeFlags.Boolean) return { type: 'boolean' }
    if (type.isUnion()) return { anyOf: type.types.filter(isDefined).map(convert) }
    if (type.flags & ts.TypeFlags.BooleanLiteral) return { type: 'boolean' }
    const [item] = checker.isArrayType(type) ? checker.getTypeArguments(type as ts.TypeReference) : []
    if (item) return { type: 'array', items: convert(item) }
    if (!(type.flags & ts.TypeFlags.Object)) throw new Error(`${checker.typeToString(type)} has no JSON schema`)
    return { $ref: `#/definitions/${define(type)}` }
  }

  function define(type: ts.Type): string {
    const existing = names.get(type)
    if (existing !== undefined) return existing
    const name = `type${names.size}`
    names.set(type, name)
    const entries = checker.getIndexTypeOfType(type, ts.IndexKind.String)
    const properties = type.getProperties().map((property) => {
      return [property.name, convert(checker.getNonNullableType(checker.getTypeOfSymbol(property)))] as const
    })
    const required = type.getProperties().filter(({ flags }) => !(flags & ts.SymbolFlags.Optional))
    definitions[name] = {
      type: 'object',
      properties: Object.fromEntries(properties),
      required: required.map(({ name }) => name),
      additionalProperties: entries ? convert(entries) : false,
    }
    return name
  }

  return { schema: convert(root), definitions }
}

function isDefined({ flags }: ts.Type): boolean {
  return !(flags & (ts.TypeFlags.Undefined | ts.TypeFlags.Null))
}
