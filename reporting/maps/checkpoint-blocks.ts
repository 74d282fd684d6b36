import type { z } from 'zod'
import type { ByteReader } from './byte-reader.ts'
import { CorruptCheckpointError } from './checkpoint-format.ts'

/** Makes a block's content available, and returns its size. */
export async function fillBlock(reader: ByteReader): Promise<number> {
  await reader.fill(4)
  const size = reader.uint32()
  await reader.fill(size)
  return size
}

/** Reads a block, and returns a copy of its content. */
export async function readBlock(reader: ByteReader): Promise<Buffer> {
  return Buffer.from(reader.bytes(await fillBlock(reader)))
}

export async function readJson<Schema extends z.ZodType>(
  reader: ByteReader,
  schema: Schema,
): Promise<z.output<Schema>> {
  const text = (await readBlock(reader)).toString('utf8')
  const parsed = schema.safeParse(parseJson(text))
  if (!parsed.success) throw new CorruptCheckpointError('an entry is invalid', { cause: parsed.error })
  return parsed.data
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new CorruptCheckpointError('an entry is not JSON', { cause })
  }
}
