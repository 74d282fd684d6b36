import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import { getJson } from './plays.ts'

/** The subset of JSON Schema that the documents use. */
export type Schema = {
  $ref?: string
  type?: string
  enum?: unknown[]
  const?: unknown
  anyOf?: Schema[]
  minimum?: number
  exclusiveMinimum?: number
  maximum?: number
  minLength?: number
  maxLength?: number
  pattern?: string
  format?: string
  items?: Schema
  minItems?: number
  maxItems?: number
  properties?: Record<string, Schema>
  required?: string[]
  additionalProperties?: Schema | false
  default?: unknown
  examples?: unknown[]
}

/** `x-itemSchema` is the schema of each line in a body of newline-delimited JSON. */
export type Media = { schema: Schema; example?: unknown; 'x-itemSchema'?: Schema }
type Content = Record<string, Media>
type Described = { headers?: Record<string, { required?: boolean; schema: Schema }>; content?: Content }

export type Parameter = { in: 'path' | 'query' | 'header'; name: string; required?: boolean; schema: Schema }

export type Operation = {
  id: string
  method: string
  /** The path, with its parameters in braces, such as `/url/asset/{assetId}`. */
  path: string
  parameters: Parameter[]
  requestBody?: { content: Content }
  responses: Record<string, Described>
  security?: object[]
}

export type OpenApi = {
  operations: Operation[]
  /** Returns true if a value matches a schema in the document. */
  accepts(schema: Schema, value: unknown): boolean
  /** @throws Error that names each mismatch */
  expectValid(schema: Schema, value: unknown): void
  /** Resolves a reference. Returns any other schema unchanged. */
  resolve(schema: Schema): Schema
}

type Document = {
  paths: Record<string, Record<string, Omit<Operation, 'id' | 'method' | 'path'>>>
  components: { schemas: Record<string, Schema> }
}

/** Loads the OpenAPI document of a running service. */
export async function loadOpenApi(origin: string): Promise<OpenApi> {
  const { paths, components } = close((await getJson(`${origin}/openapi.json`)) as Document)
  const ajv = new Ajv2020({ strict: true, allowUnionTypes: true, allErrors: true })
  addFormats.default(ajv)
  ajv.addVocabulary(['components'])
  const compiled = new Map<Schema, ValidateFunction>()

  function validator(schema: Schema): ValidateFunction {
    const validate = compiled.get(schema) ?? ajv.compile({ ...schema, components })
    compiled.set(schema, validate)
    return validate
  }

  return {
    operations: Object.entries(paths).flatMap(([path, item]) =>
      Object.entries(item).map(([method, operation]) => ({
        ...operation,
        id: `${method.toUpperCase()} ${path}`,
        parameters: operation.parameters ?? [],
        method: method.toUpperCase(),
        path,
      })),
    ),
    accepts: (schema, value) => validator(schema)(value),
    expectValid(schema, value) {
      const validate = validator(schema)
      if (!validate(value)) throw new Error(`${ajv.errorsText(validate.errors)} in ${JSON.stringify(value)}`)
    },
    resolve(schema) {
      const name = schema.$ref?.replace('#/components/schemas/', '')
      return name === undefined ? schema : (components.schemas[name] as Schema)
    },
  }
}

/**
 * The document allows unknown fields, so that later releases can add fields to responses. The tests forbid unknown
 * fields, because every field must be documented.
 */
function close<Node>(node: Node): Node {
  if (typeof node !== 'object' || node === null) return node
  if (Array.isArray(node)) return node.map(close) as Node
  const closed = Object.fromEntries(Object.entries(node).map(([key, value]) => [key, close(value)]))
  return ('properties' in node ? { additionalProperties: false, ...closed } : closed) as Node
}
