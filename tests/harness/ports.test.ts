import { expect, test } from 'vitest'
import { startChild } from './child.ts'
import { freePort, freePorts } from './ports.ts'

test('no port is chosen twice, even while nothing listens on it', async () => {
  const ports = await Promise.all(Array.from({ length: 500 }, freePort))
  expect(new Set(ports).size).toBe(500)
  const first = await freePorts(3)
  for (const port of [first, first + 1, first + 2]) expect(ports).not.toContain(port)
})

test('another process does not choose a reserved port', async () => {
  const reserved = new Set(await Promise.all(Array.from({ length: 1_000 }, freePort)))
  const script = `
    import { freePort } from './tests/harness/ports.ts'
    for (let n = 0; n < 200; n += 1) console.log(await freePort())`
  await using child = startChild(process.execPath, ['--input-type=module', '-e', script])
  expect(await child.ended).toBe(0)
  expect(child.lines).toHaveLength(200)
  expect(child.lines.filter((port) => reserved.has(Number(port)))).toEqual([])
})
