import { UnavailableError } from '../runtime/unavailable-error.ts'

/** Signs relative URLs for a CDN. */
export type Signer = {
  /**
   * Returns the signed URL, which the CDN accepts until `expires`.
   * @param expires in seconds since the Unix epoch
   * @throws UnsignableError
   */
  sign(url: string, expires: number): string
}

/** An asset's stored URL cannot be signed, so the asset is unavailable until its URL is replaced. */
export class UnsignableError extends UnavailableError {
  override name = 'UnsignableError'

  constructor(reason: string, options: ErrorOptions = {}) {
    super(`the asset's URL cannot be signed: ${reason}`, options)
  }
}
