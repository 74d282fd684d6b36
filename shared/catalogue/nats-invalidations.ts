import type { NatsLink } from '../nats/link.ts'
import type { Invalidations } from './invalidations.ts'

/**
 * Invalidations as core NATS messages with an empty body, on the subject `changes.<service>.<id>`. A dot in an id is
 * encoded as `%2E`, because dots separate the tokens of a subject.
 */
export function createNatsInvalidations(nats: NatsLink): Invalidations {
  return {
    publish({ service, id }) {
      if (nats.state() === 'up') nats.connection().publish(`changes.${service}.${id.replaceAll('.', '%2E')}`)
    },
    subscribe(onInvalidation, onGap) {
      let isSubscribed = false
      nats.onUp((connection) => {
        // The client resubscribes automatically after a reconnect, but messages published in the meantime are lost.
        if (isSubscribed) return onGap()
        isSubscribed = true
        connection.subscribe('changes.*.*', {
          callback: (error, { subject }) => {
            const [, service, id] = subject.split('.')
            if (!error && service && id) onInvalidation({ service, id: id.replaceAll('%2E', '.') })
          },
        })
      })
    },
  }
}
