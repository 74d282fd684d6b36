import type { NatsLink } from '../nats/link.ts'
import type { Invalidations } from './invalidations.ts'

/**
 * Invalidations as core NATS messages with an empty body, on the subject `changes.<service>.<id>`. A dot in an id is
 * encoded as `%2E`, because dots separate a subject's tokens.
 */
export function createNatsInvalidations(nats: NatsLink): Invalidations {
  return {
    publish({ service, id }) {
      if (nats.state() === 'up') nats.connection().publish(`changes.${service}.${id.replaceAll('.', '%2E')}`)
    },
    subscribe(onInvalidation, onGap) {
      let isFirst = true
      nats.onUp((connection) => {
        connection.subscribe('changes.*.*', {
          callback(error, message) {
            // If the NATS user is not allowed to subscribe, the client calls back with an error and an empty message.
            if (error) return
            const [, service, id] = message.subject.split('.')
            if (service && id) onInvalidation({ service, id: id.replaceAll('%2E', '.') })
          },
        })
        // Messages published between two connections are lost.
        if (!isFirst) onGap()
        isFirst = false
      })
    },
  }
}
