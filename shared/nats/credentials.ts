import { readFileSync } from 'node:fs'
import {
  type Authenticator,
  credsAuthenticator,
  nkeyAuthenticator,
  nkeys,
  tokenAuthenticator,
  usernamePasswordAuthenticator,
} from 'nats'
import { UsageError } from '../runtime/command-line.ts'
import type { Secret } from '../runtime/secret.ts'

const NONCE = 'nonce'

/** How to connect to NATS. */
export type NatsAccess = {
  /** Addresses without credentials, safe to log. */
  servers: readonly string[]
  /** A PEM file of certificate authorities, which is read for each connection. If it is set, TLS is required. */
  ca?: string | undefined
  /** Called for each connection, so that a renewed credentials file takes effect. */
  authenticate?: (() => Authenticator) | undefined
}

type Settings = {
  NATS_URL: readonly Secret[]
  NATS_CA?: string | undefined
  NATS_CREDS?: string | undefined
  NATS_NKEY?: Secret | undefined
}

/** @throws UsageError if more than one kind of credentials is set */
export function toNatsAccess({ NATS_URL, NATS_CA: ca, NATS_CREDS, NATS_NKEY }: Settings): NatsAccess {
  const login = NATS_URL.find((url) => toLogin(url) !== undefined)
  const authenticators = [
    NATS_CREDS && (() => credsAuthenticator(readFileSync(NATS_CREDS))),
    NATS_NKEY && (() => nkeyAuthenticator(Buffer.from(NATS_NKEY.reveal()))),
    login && (() => toAuthenticator(toLogin(login) ?? '')),
  ].filter((authenticate) => typeof authenticate === 'function')
  if (authenticators.length > 1) {
    throw new UsageError(
      'NATS_CREDS, NATS_NKEY and credentials in NATS_URL are mutually exclusive: set only one of them',
    )
  }
  return { servers: NATS_URL.map(String), ca, authenticate: authenticators[0] }
}

export function isCredsFile(path: string): boolean {
  try {
    return credsAuthenticator(readFileSync(path))(NONCE) !== undefined
  } catch {
    return false
  }
}

export function isUserSeed(text: string): boolean {
  try {
    return nkeys.fromSeed(Buffer.from(text)).getPublicKey().startsWith('U')
  } catch {
    return false
  }
}

function toLogin(url: Secret): string | undefined {
  return /([^/@]+)@/.exec(url.reveal())?.[1]
}

/** The client expects one set of credentials for all servers, separate from the addresses. */
function toAuthenticator(login: string): Authenticator {
  const [user = '', pass] = login.split(':').map(decodeURIComponent)
  return pass === undefined ? tokenAuthenticator(user) : usernamePasswordAuthenticator(user, pass)
}
