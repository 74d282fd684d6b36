import { request } from 'undici'
import { type SigningSettings, signerOf } from '../../play/signing/settings.ts'
import { codeOf } from '../../shared/runtime/error-code.ts'
import { toReason } from '../../shared/runtime/reason.ts'
import { type Finding, fail, ok } from './finding.ts'

const CHECK_NAME = 'cdn'
const TIMEOUT_MS = 2_000
const VALID_S = 300
/** No file has this name, so a CDN that accepts the signature returns 404. */
const PATH = 'doctor-probe.mp4'

/** Checks that the CDN accepts the URLs that play signs, and no others. Skipped without CDN_BASE_URL. */
export async function checkCdn(settings: SigningSettings): Promise<Finding[]> {
  const signer = await signerOf(settings)
  const { CDN_BASE_URL: base = '', CDN_SIGNER: kind } = settings
  if (!signer) return []
  const directory = settings.CDN_PATHS?.[0]?.replace(/[^/]*$/, '') ?? ''
  const signed = signer.sign(`${directory}${PATH}`, Math.ceil(Date.now() / 1_000) + VALID_S)
  try {
    const [accepted, refused] = await Promise.all([signed, withWrongSignature(signed)].map(statusOf))
    return [diagnose({ base, kind, accepted, refused })]
  } catch (error) {
    return [fail(CHECK_NAME, `${base} is unreachable (${codeOf(error) ?? toReason(error)}): no video can be played`)]
  }
}

type Probed = { base: string; kind: string; accepted: number | undefined; refused: number | undefined }

function diagnose({ base, kind, accepted, refused }: Probed): Finding {
  if (refused !== 403)
    return fail(CHECK_NAME, `${base} returned ${refused}, not 403, for a URL with a wrong signature: check its setup`)
  if (accepted === 410)
    return fail(CHECK_NAME, `${base} rejects a new URL as expired: compare its clock with that of play`)
  // The storage behind CloudFront may return 403 for a missing file.
  if (accepted === 403 && kind === 'hmac')
    return fail(CHECK_NAME, `${base} refuses the URLs that play signs: give it the keys in CDN_KEYS, and reload it`)
  return ok(CHECK_NAME, kind === 'hmac' ? `${base} accepts the URLs that play signs` : `${base} refuses unsigned URLs`)
}

async function statusOf(url: string): Promise<number> {
  const { statusCode, body } = await request(url, { method: 'HEAD', signal: AbortSignal.timeout(TIMEOUT_MS) })
  await body.dump()
  return statusCode
}

/** The same URL, with a wrong signature of the same length. */
function withWrongSignature(url: string): string {
  return url.replace(/([/=])[\w~-]{43,}(?=[/&]|$)/, (text, before) => before + 'A'.repeat(text.length - 1))
}
