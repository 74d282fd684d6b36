import type { ByteReader } from './byte-reader.ts'
import { readJson } from './checkpoint-blocks.ts'
import {
  CorruptCheckpointError,
  Header,
  HeaderWithoutRules,
  MAGIC,
  UnknownVersionError,
  VERSION,
  VERSION_WITHOUT_RULES,
} from './checkpoint-format.ts'
import { createTotals } from './totals.ts'

/** A header of any version. `rules` is undefined if no view has been judged. */
export type CheckpointHeader = Omit<Header, 'rules'> & { rules: string | undefined }

/** @throws CorruptCheckpointError, UnknownVersionError, or what `reader` throws */
export async function readHeader(reader: ByteReader): Promise<CheckpointHeader> {
  await reader.fill(MAGIC.length + 4)
  if (reader.latin1(MAGIC.length) !== MAGIC) throw new CorruptCheckpointError('it is not a checkpoint')
  const version = reader.uint32()
  if (version === VERSION) return readJson(reader, Header)
  if (version === VERSION_WITHOUT_RULES) return withoutRules(await readJson(reader, HeaderWithoutRules))
  const read = `${VERSION_WITHOUT_RULES} and ${VERSION}`
  throw new UnknownVersionError(`its format version is ${version}, but this release reads versions ${read}`)
}

function withoutRules(header: HeaderWithoutRules): CheckpointHeader {
  const notQualified = { asset: 0, user: 0 }
  return {
    ...header,
    rules: undefined,
    clock: 0,
    seriesSince: {},
    totals: { ...createTotals(), pending: header.views },
    sizes: { ...header.sizes, notQualified, viewers: 0, judged: [], verdictPages: 0, keyPages: 0, steps: 0 },
  }
}
