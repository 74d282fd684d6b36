import type { Dispatcher } from 'undici'

type JsonRequest = Pick<Dispatcher.DispatchOptions, 'path' | 'headers' | 'body'> & {
  method: 'GET' | 'POST'
  signal: AbortSignal
}

/**
 * Sends a request, and resolves to the response's status and parsed JSON body. Unlike undici's `request()`, it creates
 * no stream for the response, so a call takes a quarter less CPU time and produces less garbage.
 * @throws an undici error, the abort reason of `signal`, or SyntaxError if the body is not JSON
 */
export function requestJson(
  dispatcher: Pick<Dispatcher, 'dispatch'>,
  { signal, ...options }: JsonRequest,
): Promise<{ status: number; body: unknown }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; body: unknown }>()
  const chunks: Buffer[] = []
  let status = 0
  let controller: Dispatcher.DispatchController | undefined

  function abort(): void {
    controller?.abort(signal.reason)
    reject(signal.reason)
  }
  function end(settle: () => void): void {
    signal.removeEventListener('abort', abort)
    settle()
  }

  if (signal.aborted) return Promise.reject(signal.reason)
  signal.addEventListener('abort', abort)
  dispatcher.dispatch(options, {
    onRequestStart(started) {
      controller = started
      // If the call was aborted while it waited for a connection, throw, so that the next call can use the connection.
      signal.throwIfAborted()
    },
    onResponseStart(_, statusCode) {
      status = statusCode
    },
    onResponseData(_, chunk) {
      chunks.push(chunk)
    },
    onResponseEnd: () =>
      end(() => {
        try {
          resolve({ status, body: JSON.parse(toText(chunks)) })
        } catch (error) {
          reject(error)
        }
      }),
    onResponseError: (_, error) => end(() => reject(error)),
  })
  return promise
}

function toText([first, ...others]: Buffer[]): string {
  if (first === undefined) return ''
  return others.length === 0 ? first.toString() : Buffer.concat([first, ...others]).toString()
}
