import { expect, test } from 'vitest'
import { sleep } from '../../shared/runtime/sleep.ts'
import { mapServices, serviceNames } from './each-service.ts'

test('if a service does not start, mapServices rejects after all other services have started', async () => {
  const started: string[] = []
  const starting = mapServices(async (name) => {
    if (name === 'metadata') throw new Error('the port is in use')
    await sleep(10)
    started.push(name)
  })
  await expect(starting).rejects.toThrow('the port is in use')
  expect(started.toSorted()).toEqual(serviceNames.filter((name) => name !== 'metadata').toSorted())
})
