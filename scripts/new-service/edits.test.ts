import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { edits } from './edits.ts'
import { toManifests } from './manifests.ts'
import { createNewService } from './new-service.ts'

const kinds = ['catalogue', 'empty'] as const

test.each(kinds.flatMap((first) => kinds.map((second) => [first, second] as const)))(
  'after a service of kind %s, a second service, of kind %s, can be added to the same files',
  (first, second) => {
    const services = [
      createNewService({ kind: first, name: 'rating', port: 8101 }),
      createNewService({ kind: second, name: 'video-tags', port: 8102 }),
    ]
    for (const [file, edit] of services.flatMap((service) => [...edits, ...toManifests(service).edits])) {
      const once = services.slice(0, 1).reduce(edit, readFileSync(file, 'utf8'))
      const twice = services.reduce(edit, readFileSync(file, 'utf8'))
      const isUnchanged = second === 'empty' && twice === once
      expect(isUnchanged || /video[-_]?tags/i.test(twice), file).toBe(true)
    }
  },
)
