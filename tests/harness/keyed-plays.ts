/** Plays an asset, optionally with an idempotency key, which must not contain quotes. */
export async function playAs(
  edge: string,
  userId: string,
  { assetId = '456', key }: { assetId?: string; key?: string },
) {
  const headers: Record<string, string> = key === undefined ? {} : { 'idempotency-key': `"${key}"` }
  const response = await fetch(`${edge}/play/asset/${assetId}/user/${userId}`, { method: 'POST', headers })
  const body = (await response.json()) as { userviews?: number | null; degraded?: string[]; status?: string }
  return { status: response.status, viewId: response.headers.get('view-id'), body }
}

/** Gets a view's explanation from an edge. */
export async function explain(edge: string, viewId: string | null) {
  const response = await fetch(`${edge}/views/${encodeURIComponent(viewId ?? '')}`)
  return { status: response.status, body: (await response.json()) as Record<string, unknown> }
}
