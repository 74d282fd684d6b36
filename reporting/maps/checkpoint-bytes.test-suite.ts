import { createHash } from 'node:crypto'
import { decodeCheckpoint, type Judging } from './checkpoint-decoder.ts'
import { encodeCheckpoint } from './checkpoint-encoder.ts'
import type { CountState } from './count-state.ts'
import { freezeState } from './frozen-state.ts'

export async function encode(state: CountState): Promise<Buffer> {
  await using frozen = freezeState(state)
  return Buffer.concat(Array.from(encodeCheckpoint(frozen), (chunk) => Uint8Array.from(chunk)))
}

/** Decodes with short reads, as a disk may deliver them. */
export function decode(bytes: Buffer, { size = bytes.length, ...judging }: Judging & { size?: number } = {}) {
  let at = 0
  const read = async (target: Uint8Array) => {
    const length = bytes.copy(target, 0, at, at + Math.min(target.length, 50_000))
    at += length
    return length
  }
  return decodeCheckpoint(read, size, judging)
}

/** Replaces the rules version in a checkpoint, and updates its checksum. */
export function withRules(bytes: Buffer, rules: string): Buffer {
  const content = bytes.subarray(0, -32)
  content.write(rules, content.indexOf('"v1"') + 1)
  return Buffer.concat([content, createHash('sha256').update(content).digest()])
}
