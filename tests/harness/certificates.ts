import { execFileSync, spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { failIfCiNeeds } from './ci-needs.ts'

/** True if OpenSSL is installed. */
export const hasOpenssl = failIfCiNeeds('openssl', spawnSync('openssl', ['version']).status === 0)

export type KeyPair = { cert: string; key: string }

export type CertificateAuthority = {
  /** The path of the authority's own certificate. */
  ca: string
  /** @param names subject alternative names, such as `IP:127.0.0.1` and `DNS:localhost` */
  issue(names: string[], options?: { days?: number }): KeyPair
}

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']

/** Creates a certificate authority. The names of its files in `directory` start with `name`. */
export function createCertificateAuthority(directory: string, name = 'ca'): CertificateAuthority {
  const run = (...args: string[]) => execFileSync('openssl', args, { stdio: 'pipe' })
  const path = (suffix: string) => join(directory, `${name}${suffix}`)
  const own = { cert: path('.pem'), key: path('-key.pem') }
  run('req', '-x509', ...NEW_KEY, '-subj', `/CN=${name}`, '-days', '2', '-keyout', own.key, '-out', own.cert)
  let issued = 0
  return {
    ca: own.cert,
    issue(names, { days = 2 } = {}) {
      issued += 1
      const [cert, key] = [path(`-${issued}.pem`), path(`-${issued}-key.pem`)]
      const [request, extensions] = [path(`-${issued}.csr`), path(`-${issued}.ext`)]
      writeFileSync(extensions, `subjectAltName=${names.join(',')}\n`)
      run('req', ...NEW_KEY, '-subj', '/CN=server', '-keyout', key, '-out', request)
      const signer = ['-CA', own.cert, '-CAkey', own.key, '-CAcreateserial']
      run('x509', '-req', '-in', request, ...signer, '-days', String(days), '-extfile', extensions, '-out', cert)
      return { cert, key }
    },
  }
}
