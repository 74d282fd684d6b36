import { Problem } from '../../shared/contracts/status.ts'
import { AssetCounts, UserCounts } from '../../shared/contracts/view-counts.ts'
import { ExplainedView, ViewNotFound } from '../../shared/contracts/view-explanation.ts'
import type { Secret } from '../../shared/runtime/secret.ts'
import { type Probe, probe } from '../http.ts'
import { plural } from '../plural.ts'
import { drawWaterfall } from './waterfall.ts'

/** The lines to print; `isKnown` is false if there is nothing to explain. */
export type Answer = { lines: string[]; isKnown: boolean }

type Edge = { play: string; operations: string; token: Secret | undefined }

/** Explains one view and draws its waterfall, based on play's responses. */
export async function explainView({ play, operations, token }: Edge, id: string): Promise<Answer> {
  const response = await probe(`${play}/views/${encodeURIComponent(id)}`, { token })
  const view = ExplainedView.safeParse(response.json).data
  if (view) {
    return { lines: [view.summary, ...toDetails(view), ...(await drawWaterfall(operations, id, token))], isKnown: true }
  }
  const absent = ViewNotFound.safeParse(response.json).data
  if (!absent) return unknown(`play at ${play}`, response)
  const oldest = absent.knownSince ?? 'none'
  return {
    lines: [
      `View ${id} is unknown.`,
      `Time of the oldest verdict: ${oldest}`,
      `Counted up to: ${absent.position ? `sequence ${absent.position.sequence}` : 'nothing yet'}`,
    ],
    isKnown: false,
  }
}

function toDetails({ assetId, userId, at, position, because, rule }: ExplainedView): string[] {
  return [
    ...(assetId === null ? [] : [`Play: asset ${assetId}${userId === null ? '' : ` by user ${userId}`} at ${at}`]),
    ...(position === null ? [] : [`Log: sequence ${position.sequence} of ${position.stream}`]),
    ...(rule === null ? [] : [`View rules: ${rule}`]),
    ...(because === null ? [] : [`Decided by: npm run why -- ${because.id}`]),
  ]
}

/** Explains an asset's counts. */
export async function explainAsset(reporting: string, id: string): Promise<Answer> {
  const response = await probe(`${reporting}/events/asset/${id}`)
  const counts = AssetCounts.safeParse(response.json).data
  if (!counts) return unknown(`reporting at ${reporting}`, response)
  const { viewers } = counts
  return { lines: [...toNumbers(`Asset ${id}`, counts), `By ${plural(viewers, 'distinct user')}.`], isKnown: true }
}

/** Explains a user's counts. */
export async function explainUser(reporting: string, id: string, token?: Secret): Promise<Answer> {
  const response = await probe(`${reporting}/events/user/${id}`, { token })
  const counts = UserCounts.safeParse(response.json).data
  if (!counts) return unknown(`reporting at ${reporting}`, response)
  return { lines: toNumbers(`User ${id}`, counts), isKnown: true }
}

function toNumbers(name: string, { views, qualified }: { views: number; qualified: number }): string[] {
  const summary = `${name}: ${plural(views, 'view')}, of which ${qualified} qualified.`
  if (views === qualified) return [summary]
  const others =
    'did not qualify, are pending, or have no verdict because a request or a release without view rules counted them.'
  return [summary, `The rest: ${plural(views - qualified, 'view')} that ${others}`]
}

function unknown(name: string, { outcome, json, text }: Probe): Answer {
  const problem = Problem.safeParse(json).data
  const failure = outcome === 'response' ? `${name} is a different program` : `${name} did not respond: ${text}`
  return { lines: [problem ? `${name} responded: ${problem.status}` : failure], isKnown: false }
}
