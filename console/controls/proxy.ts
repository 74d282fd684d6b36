import { Pool } from 'undici'
import { z } from 'zod'
import { Controls, withoutControls } from '../../shared/contracts/controls.ts'
import { UnavailableError } from '../../shared/runtime/unavailable-error.ts'

/** No control request takes this long. */
const TIMEOUT_MS = 12_000
const SOCKET = /^unix:(.+)$/

/** The socket on which the `npm start` supervisor accepts control requests; undefined if there are no controls. */
export const controlsUrl = z
  .string()
  .regex(SOCKET, { error: 'must be unix:<path>' })
  .optional()
  .meta({ description: 'Socket on which npm start accepts control requests; set by npm start; no controls if unset' })

type Reply = { status: number; body: unknown }

/** Forwards requests to the supervisor with the caller's token, because play has no token of its own. */
export type ControlsProxy = AsyncDisposable & {
  /** Returns controls in the state `off` if the supervisor does not respond. */
  read(authorization: string | undefined): Promise<Controls>
  /** @throws UnavailableError if the supervisor does not respond */
  post(path: string, authorization: string | undefined): Promise<Reply>
}

/** @param url a valid CONTROLS_URL */
export function createControlsProxy(url: string): ControlsProxy {
  const [, socketPath = ''] = SOCKET.exec(url) ?? []
  const pool = new Pool('http://localhost', { connect: { socketPath }, connections: 8 })

  async function send(method: 'GET' | 'POST', path: string, authorization: string | undefined): Promise<Reply> {
    const headers = authorization === undefined ? {} : { authorization }
    try {
      const { statusCode, body } = await pool.request({
        method,
        path,
        headers,
        signal: AbortSignal.timeout(TIMEOUT_MS),
      })
      return { status: statusCode, body: await body.json() }
    } catch (cause) {
      throw new UnavailableError('npm start is not responding', { cause })
    }
  }

  return {
    async read(authorization) {
      const reply = await send('GET', '/controls', authorization).catch(() => undefined)
      return Controls.safeParse(reply?.body).data ?? withoutControls('off', 'npm start is not responding.')
    },
    post: (path, authorization) => send('POST', path, authorization),
    [Symbol.asyncDispose]: () => pool.destroy(),
  }
}
