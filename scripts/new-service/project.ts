import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { Script } from 'node:vm'
import { programs } from '../../deploy/image/programs.ts'
import { serviceEntries, services } from '../../services.ts'
import { UsageError } from '../../shared/runtime/command-line.ts'
import { parseProcfile, portsOf } from '../start/procfile.ts'
import type { NewService } from './new-service.ts'

/** The highest port that stays valid when the edge is on the highest port that `npm start -- --port N` accepts. */
const MAX_PORT = 65_535 - 60_000 + services.play.port
const MIN_PORT = 1_024
const MAX_LENGTH = 40

const SERVICE_NAME_PATTERN = /^[a-z]+(-[a-z]+)*$/

/** Identifiers that the generated files use for something else, so a service cannot use them. */
const GENERATED = ['createApp', 'serve', 'runService', 'defineCatalogueService', 'AssetId', 'CatalogueDeps']

/** Returns the lowest port that is above the ports of all services and that `npm start` does not use. */
export function freePort(): number {
  const ports = readPorts()
  let port = Math.max(...serviceEntries.map(({ port }) => port)) + 1
  while (ports.has(port)) port += 1
  return port
}

/** @throws UsageError */
export function toPort(text: string): number {
  const port = Number(text)
  if (!/^\d{1,5}$/.test(text) || port < MIN_PORT || port > MAX_PORT)
    throw new UsageError(`--port is "${text}": it must be a port, ${MIN_PORT} to ${MAX_PORT}`)
  const owner = readPorts().get(port)
  if (owner !== undefined) throw new UsageError(`--port is ${port}, which ${owner} uses; ${freePort()} is free`)
  return port
}

/**
 * Checks that a name is well-formed.
 * @throws UsageError
 */
export function assertName(name: string): void {
  if (!SERVICE_NAME_PATTERN.test(name) || name.length > MAX_LENGTH)
    throw new UsageError(
      `"${name}" is not a valid name: use lower-case words with hyphens, such as video-tags, at most ${MAX_LENGTH} characters`,
    )
}

/**
 * Checks that no name of the new service is already in use.
 * @throws UsageError
 */
export function assertUnused({ name, identifier, type, urlSetting }: NewService): void {
  const inUse = (reason: string) => new UsageError(`the name "${name}" cannot be used: ${reason}`)
  if (serviceEntries.some((entry) => entry.name === name)) throw inUse('a service with this name already exists')
  if (programs.has(name)) throw inUse('the image has a program with this name')
  if (readProcesses().some((process) => process.name === name)) throw inUse('npm start has a process with this name')
  if (new RegExp(`^  ${name}:`, 'm').test(read('compose.yaml'))) throw inUse('it is in compose.yaml')
  for (const path of [name, `shared/contracts/${name}.ts`]) if (existsSync(path)) throw inUse(`${path} exists`)
  if (spawnSync('git', ['check-ignore', '--quiet', `${name}/`]).status === 0) throw inUse(`git ignores ${name}/`)
  if (!isIdentifier(identifier)) throw inUse(`${identifier} is a keyword in TypeScript`)
  if (identifier in globalThis) throw inUse(`${identifier} is a global name in JavaScript`)
  const generated = GENERATED.find((each) => each === identifier || each === type)
  if (generated) throw inUse(`the generated code uses ${generated} for something else`)
  if (type in globalThis) throw inUse(`${type} is a global object in JavaScript`)
  if (new RegExp(`\\b${identifier}\\b`).test(read('embedded/service.ts')))
    throw inUse(`embedded/service.ts uses ${identifier} for something else`)
  if (read('.env.example').includes(`# ${urlSetting}=`)) throw inUse(`${urlSetting} is already a setting`)
}

function readProcesses() {
  const files = ['Procfile', 'Procfile.cdn', 'Procfile.cluster', 'Procfile.consul']
  return files.flatMap((file) => parseProcfile(read(file)))
}

/** Returns the ports that `npm start` uses, with the name of the process on each. */
function readPorts(): Map<number, string> {
  return new Map([
    ...readProcesses().flatMap((process) => portsOf(process).map((port) => [port, process.name] as const)),
    ...serviceEntries.map(({ name, port }) => [port, name] as const),
  ])
}

function isIdentifier(text: string): boolean {
  try {
    new Script(`'use strict'; async () => { let ${text} }`)
    return true
  } catch {
    return false
  }
}

function read(file: string): string {
  return readFileSync(file, 'utf8')
}
