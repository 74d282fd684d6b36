import { UnavailableError } from '../runtime/unavailable-error.ts'

/** Signs relative URLs for a CDN. */
export type Signer = {
  /**
   * The URL at the CDN, which accepts it until `expires`.
   * @param expires in seconds since the Unix epoch
   * @throws UnsignableError
   */
  sign(url: string, expires: number): string
}

/** The stored URL of an asset cannot be signed, so that the asset is unavailable until its URL is replaced. */
export class UnsignableError extends UnavailableError {
  override name = 'UnsignableError'

  constructor(reason: string, options: ErrorOptions = {}) {
    super(`the URL of the asset cannot be signed: ${reason}`, options)
  }
}
