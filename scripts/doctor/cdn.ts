import { signerOf } from '../../play/signing/settings.ts'
import { codeOf } from '../../shared/runtime/error-code.ts'
import { toReason } from '../../shared/runtime/reason.ts'
import { readCdnStatus } from '../http.ts'
import { type Finding, findingsAbout } from './finding.ts'
import type { System } from './system.ts'

const { ok, fail } = findingsAbout('cdn')

const VALID_S = 300
/** No file has this name, so a CDN that accepts the signature returns 404. */
const PATH = 'doctor-probe.mp4'

/** Checks that the CDN accepts the URLs that play signs, and no others. Skipped without CDN_BASE_URL. */
export async function* checkCdn({ settings }: System): AsyncGenerator<Finding> {
  const signer = await signerOf(settings)
  if (!signer) return
  const { CDN_BASE_URL: base, CDN_SIGNER: kind, CDN_PATHS: [prefix = ''] = [] } = settings
  const path = prefix.replace(/[^/]*$/, PATH)
  const signed = signer.sign(path, Math.ceil(Date.now() / 1_000) + VALID_S)
  try {
    const [accepted, refused] = await Promise.all([readCdnStatus(signed), readCdnStatus(withWrongSignature(signed))])
    const problem = describeProblem(kind, accepted, refused)
    if (problem) yield fail(`${base} ${problem}`)
    else yield ok(kind === 'hmac' ? `${base} accepts the URLs that play signs` : `${base} refuses unsigned URLs`)
  } catch (error) {
    yield fail(`${base} is unreachable (${codeOf(error) ?? toReason(error)}): no video can be played`)
  }
}

function describeProblem(kind: string, accepted: number, refused: number): string | undefined {
  if (refused !== 403) return `returned ${refused}, not 403, for a URL with a wrong signature: check its setup`
  if (accepted === 410) return "rejects a new URL as expired: compare its clock with play's"
  // The storage behind CloudFront may return 403 for a missing file.
  if (accepted === 404 || accepted === 200 || (accepted === 403 && kind !== 'hmac')) return undefined
  if (accepted === 403) return 'refuses the URLs that play signs: give it the keys in CDN_KEYS, and reload it'
  return `returned ${accepted} for a URL that play signs: check its setup, and the storage behind it`
}

/** Replaces the signature of a URL with a wrong one of the same length. */
function withWrongSignature(url: string): string {
  return url.replace(/([/=])[\w~-]{43,}(?=[/&]|$)/, (text, before) => before + 'A'.repeat(text.length - 1))
}
