import { optionalFile } from '../runtime/settings.ts'

export const upstreamCa = optionalFile(
  "PEM file of certificate authorities for services with https URLs; unset: Node's own certificate authorities",
)
