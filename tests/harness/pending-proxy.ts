import { startTcpProxy, type TcpProxy } from './tcp-proxy.ts'

/** The number of pending messages is the last token of the reply subject. The sizes of the message follow it. */
const NONE_PENDING = /(\$JS\.ACK\.\S+\.)0(?= \d+( \d+)?\r\n)/g

/**
 * Starts a proxy that makes a NATS server overstate the number of pending messages: if none are pending, each message
 * says that two are. nats-server 2.9 itself does so if messages are stored while it creates the consumer.
 */
export function startPendingProxy(url: string): Promise<TcpProxy> {
  const rewrite = (data: Buffer) => Buffer.from(data.toString('latin1').replace(NONE_PENDING, '$12'), 'latin1')
  return startTcpProxy(url, 0, { rewrite })
}
