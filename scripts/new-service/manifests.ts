import { existsSync, readFileSync } from 'node:fs'
import { services } from '../../services.ts'
import { after, type FileEdit } from './edit.ts'
import type { NewService } from './new-service.ts'

const ROOT = 'deploy/kubernetes'
/** The service whose manifests are copied. */
const MODEL = services.cdnurl

/** Returns a service's manifest, by path, and the changes to other manifests, if deploy/kubernetes exists. */
export function toManifests(service: NewService): { files: Map<string, string>; edits: readonly FileEdit[] } {
  const model = manifestOf(MODEL.name)
  if (!existsSync(model)) return { files: new Map(), edits: [] }
  return { files: new Map([[manifestOf(service.name), toManifest(readFileSync(model, 'utf8'), service)]]), edits }
}

function manifestOf(name: string): string {
  return `${ROOT}/base/${name}.yaml`
}

/** Copies cdnurl's manifest. For an empty service, removes what only a catalogue needs. */
function toManifest(model: string, { kind, ...service }: NewService): string {
  const text = rename(model, service)
  if (kind === 'catalogue') return text
  return text
    .replace(/^ +- name: (NATS_URL|WRITE_TOKEN_FILE)\n +value: .*\n/gm, '')
    .replace(/^ {10}volumeMounts:\n(?: {12}.*\n)+/m, '')
    .replace(/^ {6}volumes:\n(?: {8}.*\n)+/m, '')
    .replace(/^ {2}policyTypes: .*\n/m, '  policyTypes: [Ingress]\n')
    .replace(/^ {2}egress:\n(?: {4}.*\n?)+/m, '')
}

const edits: readonly FileEdit[] = [
  [`${ROOT}/base/kustomization.yaml`, (text, { name }) => after(text, /^ {2}- cdnurl\.yaml\n/m, `  - ${name}.yaml\n`)],
  [`${ROOT}/base/network.yaml`, (text, service) => onlyCatalogue(service, text, /(?<=values: \[.*)cdnurl(?=.*\])/)],
  [`${ROOT}/base/doctor.yaml`, toDoctor],
  [`${ROOT}/prometheus.yml`, (text, { name }) => after(text, /(?<=^ +regex: .*\|)cdnurl(?=\|)/m, `|${name}`)],
  [`${ROOT}/overlays/production/disruption.yaml`, toDocument],
  [`${ROOT}/overlays/production/sizes.yaml`, toDocument],
  [`${ROOT}/overlays/production/kustomization.yaml`, toProduction],
]

function toDoctor(text: string, service: NewService): string {
  return copyAfter(
    copyAfter(text, /^ +- name: CDNURL_URL\n.*\n/m, service),
    /^ +- to:\n(?: {8}.*\n)*? {14}app\.kubernetes\.io\/name: cdnurl\n.*\n.*\n/m,
    service,
  )
}

function toProduction(text: string, service: NewService): string {
  const withReplicas = copyAfter(text, /^ {2}- name: cdnurl\n {4}count: \d+\n/m, service)
  return onlyCatalogue(service, withReplicas, /(?<=name: .*\|cdnurl)(?:\|[a-z-]+)*$/m, '|')
}

/** Adds a copy of the YAML document for cdnurl. */
function toDocument(text: string, service: NewService): string {
  const document = text.split(/^---\n/m).find((document) => /^ {2}name: cdnurl$/m.test(document)) ?? ''
  return `${text}---\n${rename(document, service)}`
}

function copyAfter(text: string, place: RegExp, service: NewService): string {
  const [match = ''] = place.exec(text) ?? []
  return after(text, place, rename(match, service))
}

/** Adds the name to a list of the services that use NATS, if the service is a catalogue. */
function onlyCatalogue({ kind, name }: NewService, text: string, place: RegExp, separator = ', '): string {
  return kind === 'catalogue' ? after(text, place, `${separator}${name}`) : text
}

function rename(text: string, { name, port, urlSetting }: Omit<NewService, 'kind'>): string {
  return text
    .replaceAll(MODEL.urlSetting, urlSetting)
    .replaceAll(MODEL.name, name)
    .replaceAll(String(MODEL.port), String(port))
}
