import { describe, expect, test } from 'vitest'
import { services } from '../../services.ts'
import { UsageError } from '../../shared/runtime/command-line.ts'
import { createNewService } from './new-service.ts'
import { assertName, assertUnused, freePort, toPort } from './project.ts'

describe("a service's name", () => {
  // These names are unlikely to be in use, even if the project already contains generated services.
  test.each(['unused', 'unused-name', 'a'.repeat(40)])('may be "%s"', (name) => {
    expect(() => assertName(name)).not.toThrow()
    expect(() => assertUnused(newService(name))).not.toThrow()
  })

  test.each(['', 'Rating', 'rating-', '-rating', 'video--tags', 'video_tags', 'a b', 'rating-2', '../rating', 'a/b'])(
    'cannot be "%s", which is malformed',
    (name) => expect(() => assertName(name)).toThrow(UsageError),
  )

  test('has at most 40 characters', () => {
    expect(() => assertName('a'.repeat(41))).toThrow(/40 characters/)
  })

  test.each([
    ['metadata', /a service with this name already exists/],
    ['doctor', /the image has a program/],
    ['nats', /npm start has a process/],
    ['postgres', /compose\.yaml/],
    ['shared', /shared exists/],
    ['view', /shared\/contracts\/view\.ts exists/],
    // After `npm start`, the folder exists.
    ['data', /git ignores data\/|data exists/],
    ['new', /new is a keyword/],
    ['await', /await is a keyword/],
    ['to-string', /toString is a global name/],
    ['constructor', /constructor is a global name/],
    ['create-app', /the generated code uses createApp/],
    ['run-service', /the generated code uses runService/],
    ['asset-id', /the generated code uses AssetId/],
    ['catalogue-deps', /the generated code uses CatalogueDeps/],
    ['map', /Map is a global object/],
    ['invalidations', /embedded\/service\.ts uses invalidations/],
    ['cdn-base', /CDN_BASE_URL is already a setting/],
  ])('cannot be "%s", which already has a meaning in the project or in TypeScript', (name, reason) => {
    expect(() => assertUnused(newService(name))).toThrow(UsageError)
    expect(() => assertUnused(newService(name))).toThrow(reason)
  })
})

describe("a service's port", () => {
  test("defaults to the first free port after the other services' ports", () => {
    const port = freePort()
    expect(port).toBeGreaterThan(services['queue-listener'].port)
    expect(toPort(String(port))).toBe(port)
  })

  test.each([
    ['8080', /play uses/],
    ['8085', /cdn uses/],
    ['8091', /metadata-2 uses/],
    ['4222', /nats(-1)? uses/],
    ['1023', /1024 to 13615/],
    ['13616', /1024 to 13615/],
    ['8e3', /1024 to 13615/],
    ['', /1024 to 13615/],
  ])('cannot be "%s"', (port, reason) => {
    expect(() => toPort(port)).toThrow(UsageError)
    expect(() => toPort(port)).toThrow(reason)
  })
})

function newService(name: string) {
  return createNewService({ kind: 'catalogue', name, port: freePort() })
}
