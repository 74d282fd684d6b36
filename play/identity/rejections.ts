/**
 * Why a request is rejected, with the HTTP status and the text for the client. The texts go into the header
 * `www-authenticate`, so they must be printable ASCII without quotes.
 */
export const rejections = {
  missing: { status: 401, text: 'send the header authorization: Bearer <token>' },
  repeated: { status: 400, text: 'send only one authorization header' },
  'too-long': { status: 401, text: 'the token is longer than 8,192 characters' },
  malformed: { status: 401, text: 'the token is not a valid JWT' },
  algorithm: { status: 401, text: 'the token is not signed with RS256, ES256 or EdDSA' },
  key: { status: 401, text: 'the token is signed with a key that the identity provider does not publish' },
  signature: { status: 401, text: "the token's signature is invalid" },
  issuer: { status: 401, text: 'the token is from another issuer' },
  audience: { status: 401, text: 'the token is for another audience' },
  expired: { status: 401, text: 'the token has expired' },
  'not-yet-valid': { status: 401, text: 'the token is not valid yet' },
  claims: { status: 401, text: 'the token needs a subject (sub) and an expiry (exp), and its times must be numbers' },
  subject: { status: 403, text: "the token's subject is not a valid user id" },
  user: { status: 403, text: 'the token belongs to another user' },
} as const

export type Rejection = keyof typeof rejections

/** Thrown if a request is rejected because of its token. */
export class TokenRejected extends Error {
  override name = 'TokenRejected'
  readonly rejection: Rejection

  constructor(rejection: Rejection) {
    super(rejections[rejection].text)
    this.rejection = rejection
  }
}
