/** Plays an asset. Returns the status and the parsed body of the response. */
export async function play(edge: string, assetId: string, userId: string) {
  const response = await fetch(`${edge}/play/asset/${assetId}/user/${userId}`, { method: 'POST' })
  return { status: response.status, body: await response.json() }
}

/** The views that reporting has counted for an asset or a user. */
export async function views(reporting: string, by: 'asset' | 'user', id: string): Promise<number> {
  const { views = 0 } = (await getJson(`${reporting}/events/${by}/${id}`)) as { views?: number }
  return views
}

export async function getJson(url: string): Promise<unknown> {
  const response = await fetch(url)
  return response.json()
}

/** The sum of all matching samples in `/metrics`. */
export async function metric(service: string, line: RegExp): Promise<number> {
  const text = await (await fetch(`${service}/metrics`)).text()
  const values = text.split('\n').filter((sample) => line.test(sample))
  return values.reduce((sum, sample) => sum + Number(sample.split(' ').at(-1)), 0)
}
