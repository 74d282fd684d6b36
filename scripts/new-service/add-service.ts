import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { type FileEdit, PlaceError } from './edit.ts'
import { edits } from './edits.ts'
import { toManifests } from './manifests.ts'
import type { NewService } from './new-service.ts'
import { toFiles } from './templates.ts'

type Added = { created: string[]; changed: string[] }

/**
 * Adds a service to the project in the current directory. Computes all contents before it writes the first file, so an
 * error leaves the project unchanged.
 * @throws PlaceError
 */
export function addService(service: NewService): Added {
  const manifests = toManifests(service)
  const files = new Map([...toFiles(service), ...manifests.files])
  const changes = new Map([...edits, ...manifests.edits].map((each) => [each[0], applyEdit(each, service)]))
  for (const [file, text] of [...files, ...changes]) {
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, text)
  }
  format([...files.keys(), ...changes.keys()].filter((file) => file.endsWith('.ts')))
  return { created: [...files.keys()], changed: [...changes.keys()] }
}

function applyEdit([file, edit]: FileEdit, service: NewService): string {
  try {
    return edit(readFileSync(file, 'utf8'), service)
  } catch (error) {
    if (!(error instanceof PlaceError)) throw error
    throw new PlaceError(`cannot edit ${file}: ${error.message}`)
  }
}

/** Formats the files, because line breaks and the order of imports depend on the service's name. */
function format(files: string[]): void {
  execFileSync('node_modules/.bin/biome', ['check', '--write', '--log-level=error', ...files], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
}
