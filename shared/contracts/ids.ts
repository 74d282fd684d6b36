import { z } from 'zod'

export const MAX_ID_LENGTH = 128

/** An id after percent-decoding. The pattern makes ids safe in URLs, file names and terminals. */
const id = z.string().regex(new RegExp(`^[A-Za-z0-9][A-Za-z0-9._@~-]{0,${MAX_ID_LENGTH - 1}}$`), {
  error: `must be 1 to ${MAX_ID_LENGTH} characters of A-Z a-z 0-9 . _ @ ~ - and start with a letter or digit`,
})

export const AssetId = id.meta({ description: 'The id of an asset', examples: ['456'] })
export type AssetId = z.infer<typeof AssetId>

export const UserId = id.meta({ description: 'The id of a user', examples: ['8'] })
export type UserId = z.infer<typeof UserId>

export const AssetParams = z.object({ assetId: AssetId })
export type AssetParams = z.infer<typeof AssetParams>

export const UserParams = z.object({ userId: UserId })
export type UserParams = z.infer<typeof UserParams>
