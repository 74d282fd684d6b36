import { expect, test } from 'vitest'
import { createShardSelector } from './sharded-map.ts'

test.each([
  ['that are numbers', (index: number) => String(index)],
  [
    'with a long common prefix and suffix',
    (index: number) => `${'user-'.repeat(10)}${index}@${'example.'.repeat(5)}com`,
  ],
  [
    'whose characters all have the same low bits',
    (index: number) => index.toString(2).padStart(20, '0').replaceAll('1', 'p'),
  ],
])('ids %s spread evenly over 256 shards', (_, toId) => {
  const toShard = createShardSelector()
  const sizes = new Map<number, number>()
  const ids = 200_000
  for (let index = 0; index < ids; index += 1) {
    const shard = toShard(toId(index))
    sizes.set(shard, (sizes.get(shard) ?? 0) + 1)
  }
  expect(sizes.size).toBe(256)
  expect(Math.max(...sizes.values())).toBeLessThan((2 * ids) / 256)
})
