import { optionalFile } from '../runtime/settings.ts'

export const upstreamCa = optionalFile(
  "PEM file of the certificate authorities of services with https URLs; unset: Node's own",
)
