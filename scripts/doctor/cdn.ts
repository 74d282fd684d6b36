import { type SigningSettings, signerOf } from '../../play/signing/settings.ts'
import { codeOf } from '../../shared/runtime/error-code.ts'
import { toReason } from '../../shared/runtime/reason.ts'
import { readCdnStatus } from '../http.ts'
import { type Finding, findingsAbout } from './finding.ts'

const { ok, fail } = findingsAbout('cdn')

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
    const probes = [readCdnStatus(signed), readCdnStatus(withWrongSignature(signed))] as const
    const [accepted, refused] = await Promise.all(probes)
    return [diagnose({ base, kind, accepted, refused })]
  } catch (error) {
    return [fail(`${base} is unreachable (${codeOf(error) ?? toReason(error)}): no video can be played`)]
  }
}

type Probed = { base: string; kind: string; accepted: number; refused: number }

function diagnose({ base, kind, accepted, refused }: Probed): Finding {
  // The storage behind CloudFront may return 403 for a missing file.
  const isForbidden = accepted === 403 && kind === 'hmac'
  if (refused !== 403)
    return fail(`${base} returned ${refused}, not 403, for a URL with a wrong signature: check its setup`)
  if (accepted === 410) return fail(`${base} rejects a new URL as expired: compare its clock with play's`)
  if (isForbidden) return fail(`${base} refuses the URLs that play signs: give it the keys in CDN_KEYS, and reload it`)
  if (![200, 403, 404].includes(accepted))
    return fail(`${base} returned ${accepted} for a URL that play signs: check its setup, and the storage behind it`)
  return ok(kind === 'hmac' ? `${base} accepts the URLs that play signs` : `${base} refuses unsigned URLs`)
}

/** Replaces the signature of a URL with a wrong one of the same length. */
function withWrongSignature(url: string): string {
  return url.replace(/([/=])[\w~-]{43,}(?=[/&]|$)/, (text, before) => before + 'A'.repeat(text.length - 1))
}
